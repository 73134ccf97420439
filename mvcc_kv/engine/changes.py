"""Following the commits: where a feed may begin, and the feed of an embedded store.

    from_ts  41         | 42  43  44 ...            everything after it is told, once, in order
             ^ seen     | ^ told next

A feed is a place in the store's history and nothing more: the store keeps no list of those who follow, and nobody
who follows holds anything back. Who falls so far behind that the history has let go of commits after his place is told
that instead, and by then the history knows no more than that they were.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from mvcc_kv.api import CommittedWrites
from mvcc_kv.errors import BadRequestError, SnapshotGoneError

__all__ = [
    "CHANGES_BUFFER_BYTES",
    "COMMITS_AT_ONCE",
    "ChangeSource",
    "StoreChanges",
    "commits_after",
    "feed_begin",
    "has_news",
]

CHANGES_BUFFER_BYTES = 16 * 1024 * 1024
COMMITS_AT_ONCE = 100  # that a follower is given: some hundred microseconds' work


class ChangeSource(Protocol):
    """What a feed needs of a store."""

    @property
    def visible_ts(self) -> int: ...
    @property
    def reachable_ts(self) -> int: ...
    @property
    def oldest_ts(self) -> int: ...
    def keep_changes(self, bytes_max: int) -> None: ...
    def commits_after(self, ts: int, limit: int) -> list[CommittedWrites]: ...


class AwaitedSource(ChangeSource, Protocol):
    """One whose next commit a thread can wait for."""

    def wait_past(self, ts: int, timeout_s: float | None) -> bool: ...


def feed_begin(store: ChangeSource, from_ts: int | None, *, bytes_max: int, seen_ts: int = 0) -> int:
    """The commit after which a feed begins: `from_ts`, or now. From here on the store keeps what it will have to tell.

    "Now" is nothing that somebody who has seen the commit at `seen_ts` knows already. Raises `SnapshotGoneError`
    (evidence `oldest_ts`) and `BadRequestError`.
    """
    store.keep_changes(bytes_max)
    oldest_ts, newest_ts = store.oldest_ts, max(store.reachable_ts, seen_ts)
    if from_ts is None:
        return max(store.visible_ts, seen_ts, oldest_ts)
    if from_ts > newest_ts:
        raise BadRequestError(f"{from_ts} is in the future: the newest commit is {newest_ts}")
    if from_ts < oldest_ts:
        raise SnapshotGoneError(
            f"the commits after {from_ts} are not kept any more, only those after {oldest_ts}: read the state at or "
            f"after {oldest_ts}, and begin there",
            oldest_ts=oldest_ts,
        )
    return from_ts


def has_news(store: ChangeSource, ts: int) -> bool:
    """Whether `commits_after` the one at `ts` has something to say."""
    return ts < store.visible_ts and store.oldest_ts <= store.visible_ts


def commits_after(store: ChangeSource, ts: int, limit: int = COMMITS_AT_ONCE) -> list[CommittedWrites]:
    """The next visible commits, `limit` at most, in order. Raises `SnapshotGoneError` if they are kept no more.

    But if what is kept no more is not all visible yet, the answer is none: it may turn out that it never was.
    """
    return store.commits_after(ts, limit) if has_news(store, ts) else []


class StoreChanges:
    """The commits of a store of this process. Satisfies `api.ChangeStream`; belongs to one thread at a time.

    Commits that it has fetched and not given out yet, a hundred at most, stay in memory on its account.
    """

    def __init__(self, store: AwaitedSource, prefix: bytes, from_ts: int) -> None:
        self.ts = from_ts
        self._store = store
        self._prefix = prefix
        self._fetched: deque[CommittedWrites] = deque()

    def next(self, timeout_s: float) -> CommittedWrites | None:
        """The next commit, or None; see `api.ChangeStream`."""
        found = self._next()
        if found is None and self._store.wait_past(max(self.ts, self._store.oldest_ts - 1), timeout_s):
            found = self._next()
        return found

    def close(self) -> None:
        """There is nothing to put away."""

    def _next(self) -> CommittedWrites | None:
        if not self._fetched:
            self._fetched.extend(commits_after(self._store, self.ts))
        while self._fetched:
            commit = self._fetched.popleft()
            self.ts = commit.commit_ts
            found = commit.under(self._prefix)
            if found is not None:
                return found
        return None
