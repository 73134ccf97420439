"""A server's change feed, on a connection of its own, which may be lost and made anew.

    CHANGES {"from": 41}  ->  42 43 44   --lost--   dial, refused; pause; dial, CHANGES {"from": 44}  ->  45 46 ...

The commits that came and were not given out yet when the connection was lost are asked for again, or given out first;
either way each comes once. A connection on which nothing comes for long, not even a heartbeat, counts as lost too: the
way to the server may have vanished without a word. Where a server is silent by choice that costs a connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from mvcc_kv.api import CommittedWrites
from mvcc_kv.client.connection import Connection, ConnectionLostError
from mvcc_kv.client.core import GarbageError
from mvcc_kv.client.decoding import FeedLine, decode_feed_line
from mvcc_kv.client.encoding import encode_changes
from mvcc_kv.client.inquiry import FIRST_PAUSE_S, PAUSE_MAX_S, Patience
from mvcc_kv.errors import SnapshotGoneError, UnavailableError

__all__ = ["FeedTimeouts", "RemoteChanges"]


@dataclass(frozen=True, slots=True)
class FeedTimeouts:
    """`again_s`: how long a lost server is waited for. `silence_s`: after so long without a word it counts as lost."""

    again_s: float = 5.0
    silence_s: float = 30.0


class RemoteChanges:
    """The commits of a server. Satisfies `api.ChangeStream`; belongs to one thread at a time.

    One that is forgotten closes its connection.
    """

    def __init__(
        self,
        dial: Callable[[], Connection],
        prefix: bytes,
        from_ts: int | None,
        *,
        timeouts: FeedTimeouts,
        patience: Patience,
    ) -> None:
        self._dial = dial
        self._prefix = prefix
        self._timeouts = timeouts
        self._patience = patience
        self._connection: Connection | None = None
        self._lines: deque[msgspec.Raw] = deque()
        self._heard_at = 0.0
        self._begin(from_ts)
        self.ts = self._line().ts

    def next(self, timeout_s: float) -> CommittedWrites | None:
        """The next commit, or None; see `api.ChangeStream`.

        Raises `UnavailableError` if the connection was lost and can't be made anew in time.
        """
        found = self._next()
        if found is None:
            self._hear(timeout_s)
            found = self._next()
        return found

    def close(self) -> None:
        """Close the connection. Calling it again does nothing."""
        connection, self._connection = self._connection, None
        self._lines.clear()
        if connection is not None:
            connection.close()

    def __del__(self) -> None:
        self.close()

    def _next(self) -> CommittedWrites | None:
        while self._lines:
            line = self._line()
            if line.lost:
                raise SnapshotGoneError(f"the commits up to {line.ts} are not kept any more", oldest_ts=line.ts)
            self.ts = line.ts
            if line.commit is not None:
                return line.commit
        return None

    def _line(self) -> FeedLine:
        try:
            return decode_feed_line(self._lines.popleft())
        except GarbageError as error:
            assert self._connection is not None, "it came from somewhere"
            raise self._connection.lose(error) from None

    def _hear(self, timeout_s: float) -> None:
        connection = self._connection
        if connection is None:  # it was closed
            return
        try:
            self._lines.extend(connection.hear(timeout_s))
            now_s = self._patience.now()
            if self._lines:
                self._heard_at = now_s
            elif now_s - self._heard_at > self._timeouts.silence_s:
                raise connection.lose(TimeoutError(f"nothing came for {self._timeouts.silence_s:g} s"))
        except ConnectionLostError as lost:
            self._begin_anew(lost)

    def _begin_anew(self, lost: UnavailableError) -> None:
        """Make a new connection, and go on where the last one ended."""
        until_s = self._patience.now() + self._timeouts.again_s
        pause_s = FIRST_PAUSE_S
        while lost.retryable:
            try:
                self._begin(self.ts)
                return
            except UnavailableError as error:
                lost = error
            left_s = until_s - self._patience.now()
            if left_s <= 0:
                break
            self._patience.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        raise lost

    def _begin(self, from_ts: int | None) -> None:
        connection = self._dial()
        until_s = self._patience.now() + self._timeouts.silence_s
        try:
            connection.follow(encode_changes(self._prefix, from_ts))
            while not (lines := connection.hear(max(until_s - self._patience.now(), 0.0))):
                if self._patience.now() >= until_s:
                    raise connection.lose(TimeoutError(f"no answer within {self._timeouts.silence_s:g} s"))
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._lines = deque(lines)
        self._heard_at = self._patience.now()
