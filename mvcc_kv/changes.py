"""Following a database's commits in Python: `db.changes()`.

    for change in db.changes(prefix="user:"):      blocks until the next commit
        ...                                        change.commit_ts, change.puts, change.deletes

One thread iterates. Another may call `close`, which takes effect within `LOOK_UP_S`: the wait for a commit is cut
into pieces, between which the feed looks whether it is still wanted. (A remote feed that is just making a lost
connection anew finishes that first.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Self

from mvcc_kv.api import Changes, ChangeStream, CommittedWrites
from mvcc_kv.errors import BadRequestError, SnapshotGoneError
from mvcc_kv.values import Expiring, decode_key, decode_time, decode_value

__all__ = ["ChangeFeed", "check_feed_arguments"]

LOOK_UP_S = 0.2


class ChangeFeed:
    """Commits from some point on, in order and none left out: an iterator that waits for the next one.

    It ends at `close`, or when nothing came for `timeout_s`. To go on later, or elsewhere, begin anew from `ts`.

    >>> import mvcc_kv
    >>> db = mvcc_kv.open(":memory:")
    >>> feed = db.changes(timeout_s=0)
    >>> db["fruit"] = ["apple"]
    >>> del db["fruit"]
    >>> [(change.commit_ts, change.puts, change.deletes) for change in feed]
    [(1, {'fruit': ['apple']}, []), (2, {}, ['fruit'])]
    >>> feed.ts
    2
    """

    def __init__(
        self,
        stream: ChangeStream,
        require_database: Callable[[], object],
        timeout_s: float | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._require_database = require_database
        self._timeout_s = timeout_s
        self._now = now
        self._in_use = Lock()  # held while a thread is in the stream
        self._is_over = False

    @property
    def ts(self) -> int:
        """Every commit up to this one was given out, or changed no key under the prefix."""
        return self._stream.ts

    def close(self) -> None:
        """End the iteration, and give up what it holds. From any thread; calling it again does nothing."""
        self._is_over = True
        with self._in_use:
            self._stream.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Changes:
        """The next commit. Raises `SnapshotGoneError` if it has fallen behind what is kept: then it is over.

        The evidence is `lost`, the first and the last commit that are missing, and `resync_at`: read the state, at that
        timestamp or a later one, and begin anew from there. A server that doesn't come back is an `UnavailableError`.
        """
        until_s = None if self._timeout_s is None else self._now() + self._timeout_s
        while not self._is_over:
            left_s = LOOK_UP_S if until_s is None else min(max(until_s - self._now(), 0.0), LOOK_UP_S)
            found = self._look(left_s)
            if found is not None:
                return _changes(found)
            if until_s is not None and self._now() >= until_s:
                break
        self.close()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _look(self, timeout_s: float) -> CommittedWrites | None:
        try:
            with self._in_use:
                if self._is_over:
                    return None
                self._require_database()
                return self._stream.next(timeout_s)
        except SnapshotGoneError as gone:
            self.close()
            raise _fell_behind(self.ts, gone.evidence["oldest_ts"]) from None
        except BaseException:
            self.close()
            raise


def check_feed_arguments(from_ts: object, timeout_s: object) -> None:
    """Raise `BadRequestError` for what no feed can begin with."""
    if from_ts is not None and (not isinstance(from_ts, int) or isinstance(from_ts, bool) or from_ts < 0):
        raise BadRequestError(f"from_ts is a commit_ts, or None for now, not {from_ts!r}")
    if timeout_s is not None and (not isinstance(timeout_s, int | float) or not timeout_s >= 0):
        raise BadRequestError(f"timeout_s is a number of seconds, or None to wait for ever, not {timeout_s!r}")


def _fell_behind(ts: int, oldest_ts: int) -> SnapshotGoneError:
    return SnapshotGoneError(
        f"this feed fell behind: the commits {ts + 1} to {oldest_ts} are not kept any more; read the state at or after "
        f"{oldest_ts}, and begin anew from there",
        lost=[ts + 1, oldest_ts],
        resync_at=oldest_ts,
        oldest_ts=oldest_ts,
    )


def _changes(commit: CommittedWrites) -> Changes:
    return Changes(
        commit.commit_ts,
        decode_time(commit.time_us) if commit.time_us else None,
        commit.label,
        {decode_key(key): decode_value(value) for key, value in commit.writes if value is not None},
        [decode_key(key) for key, value in commit.writes if value is None],
        {decode_key(key): decode_time(value.expires_us) for key, value in commit.writes if isinstance(value, Expiring)},
    )
