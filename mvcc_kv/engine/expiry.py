"""Expiry: which keys go by themselves, and when.

    put(a, until 12:00)      commit 7      watched: a 12:00
    put(b, until 12:05)      commit 8      watched: a 12:00, b 12:05
    put(a)                   commit 9      watched: b 12:05; a's place in the heap is stale
    12:05 comes              commit 10     deletes b: a commit like any other

That a key's time is up is data, told by its newest value (`values.Expiring`); that it is gone is a commit, which the
store makes at the first call that finds it due. So a snapshot's view doesn't change while it lives, whoever wrote the
key meanwhile has lost to that commit, and logs, history and feeds know no more than deletions.

Between the moment and the commit, or that commit's way to the disk, the key is *overdue*:

    time         12:05                      ......                commit 10 is visible
    get(b)         nothing                                          nothing
    begin          sees no b for as long as it lives, since its own moment is past b's
    an older one   still sees b

Rule: as long as a value that was visible last may be overdue, `may_expire` is true; where it is false, reads do
nothing for expiry at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush

from mvcc_kv.engine.chains import Version
from mvcc_kv.values import Expiring

__all__ = ["EXPIRED_AT_ONCE", "EXPIRED_BYTES_AT_ONCE", "Expiries"]

# What one commit takes away: some milliseconds' work, and with what it supersedes far less than a record can hold.
EXPIRED_AT_ONCE = 2_000
EXPIRED_BYTES_AT_ONCE = 16 * 1024 * 1024
_STALE_MIN = 64


class Expiries:
    """The keys whose newest value is there until some moment, and which of them are due.

    `next_us`: the earliest of those moments; None if there is none. A thread may look at it without the store's lock.
    """

    def __init__(self) -> None:
        self.next_us: int | None = None
        self.may_expire = False
        self.watched: dict[bytes, int] = {}  # by key, when it expires
        self._heap: list[tuple[int, bytes]] = []  # and some that are stale: the key expires later, sooner or never
        self._changed_ts = 0  # the last commit that took an expiry away, or put another in its place

    def __len__(self) -> int:
        return len(self.watched)

    def note(self, commit_ts: int, writes: Mapping[bytes, bytes | None]) -> None:
        """A commit writes these."""
        watched = self.watched
        for key, value in writes.items():
            expires_us = value.expires_us if type(value) is Expiring else None
            if watched.get(key) == expires_us:
                continue
            self.may_expire, self._changed_ts = True, commit_ts
            if expires_us is None:
                del watched[key]
            else:
                watched[key] = expires_us
                heappush(self._heap, (expires_us, key))
        self._tidy()

    def clear(self, commit_ts: int) -> None:
        """A commit deletes every key."""
        if self.watched:
            self.may_expire, self._changed_ts = True, commit_ts
            self.watched.clear()
            self._rebuild()

    def fill(self, items: Mapping[bytes, bytes]) -> None:
        """Take in what a store is being filled with."""
        if Expiring not in set(map(type, items.values())):
            return
        self.watched = {key: value.expires_us for key, value in items.items() if isinstance(value, Expiring)}
        self.may_expire = True
        self._rebuild()

    def published(self, ts: int) -> None:
        """Every commit up to `ts` is visible: perhaps nothing that can be seen expires any more."""
        self.may_expire = bool(self.watched) or ts < self._changed_ts

    def due(self, now_us: int) -> Iterator[bytes]:
        """The keys whose time is up, earliest first, some perhaps twice. `put_back` those that didn't go."""
        while self._heap and self._heap[0][0] <= now_us:
            expires_us, key = heappop(self._heap)
            if self.watched.get(key) == expires_us:
                yield key

    def put_back(self, keys: Iterable[bytes]) -> None:
        """These were due, and could not be taken away."""
        for key in keys:
            if key in self.watched:
                heappush(self._heap, (self.watched[key], key))
        self._tidy()

    def _tidy(self) -> None:
        """Drop what is stale from the heap's top, and all of it when it is more than what is not."""
        heap, watched = self._heap, self.watched
        if len(heap) > 2 * len(watched) + _STALE_MIN:
            self._rebuild()
            return
        while heap and watched.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        self.next_us = heap[0][0] if heap else None

    def _rebuild(self) -> None:
        self._heap = [(expires_us, key) for key, expires_us in self.watched.items()]
        heapify(self._heap)
        self.next_us = self._heap[0][0] if self._heap else None

    def check(self, heads: Iterable[tuple[bytes, Version]], visible_ts: int) -> None:
        """Verify that exactly those keys are watched whose newest value expires."""
        newest = {key: head[1].expires_us for key, head in heads if type(head[1]) is Expiring}
        assert self.watched == newest, "the newest values tell which keys expire"
        assert set(self._heap) >= {(expires_us, key) for key, expires_us in newest.items()}
        assert len(self._heap) <= 2 * len(newest) + _STALE_MIN, "what is stale goes in time"
        assert self.next_us == min(newest.values(), default=None)
        assert self.may_expire or (not newest and visible_ts >= self._changed_ts)
