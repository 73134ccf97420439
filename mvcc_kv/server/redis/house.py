"""What all Redis sessions of one server share: who is there, where scans stand, what was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mvcc_kv.protocol.resp.requests import BULK_BYTES_MAX
from mvcc_kv.server.redis.cursors import Cursors

if TYPE_CHECKING:
    from mvcc_kv.server.redis.session import RedisSession

__all__ = ["House"]


class House:
    """`sessions`: by id, in the order of coming. `calls`: how often each command was executed, by name.

    `bulk_bytes_max`: how long an argument may be.
    """

    def __init__(self) -> None:
        self.sessions: dict[int, RedisSession] = {}
        self.cursors = Cursors()
        self.bulk_bytes_max = BULK_BYTES_MAX
        self.calls: dict[str, int] = {}
        self._last_id = 0

    def enter(self, session: RedisSession) -> int:
        """Somebody has come; the number that he goes by."""
        self._last_id += 1
        self.sessions[self._last_id] = session
        return self._last_id

    def leave(self, session: RedisSession) -> None:
        """Somebody is gone. Calling it again does nothing."""
        self.sessions.pop(session.id, None)
