"""BACKUP: every item of one snapshot, in as many replies as that takes.

    BACKUP  ->  {"commit_ts": 42, "items": [...], "next": "f"}     each reply is made when the client has room for it,
                {"commit_ts": 42, "items": [...], "next": "q"}     one a turn: others are served in between
                {"commit_ts": 42, "items": [...], "next": null}    the last

It is a command of its own kind, outside any transaction: SCANs in one would count against the limit of a
transaction's commands. Its snapshot is live until the last reply, or until the client is gone.
"""

from __future__ import annotations

from mvcc_kv.api import KeyRange
from mvcc_kv.protocol.replies import backup_reply
from mvcc_kv.server.scans import bounded_page
from mvcc_kv.server.served import ServedTransaction

__all__ = ["Backup"]

_REPLY_KEYS = 500  # about a millisecond's work


class Backup:
    """The replies, one after the other: a `Stream`. Ends the snapshot after the last, or at `close`."""

    def __init__(self, snapshot: ServedTransaction, keys: KeyRange) -> None:
        self._snapshot = snapshot
        self._rest: KeyRange | None = keys

    @property
    def ts(self) -> int:
        """The commit that it is of."""
        return self._snapshot.start_ts

    @property
    def is_over(self) -> bool:
        """Whether there are no more replies."""
        return self._rest is None

    @property
    def is_ready(self) -> bool:
        return self._rest is not None

    @property
    def gives_way(self) -> bool:
        return False

    def more(self, bytes_max: int) -> bytes:
        """The next reply, which is bounded as it is."""
        assert self._rest is not None, "it is not over"
        page, _ = bounded_page(self._snapshot.scan, self._rest, limit=_REPLY_KEYS, reverse=False)
        if page.next is None:
            self.close()
        else:
            self._rest = self._rest.resumed(page.next, reverse=False)
        return backup_reply(self._snapshot.start_ts, page, may_expire=self._snapshot.may_expire)

    def finish(self) -> None:
        """It ends anyway."""

    def close(self) -> None:
        """End the snapshot. Calling it again does nothing."""
        self._rest = None
        self._snapshot.rollback()
