"""Live snapshots, and the superseded versions that only they keep alive.

A version lives in the interval [its commit_ts, the commit_ts that superseded it): snapshots in
there see it, no other does. When it is superseded, every one of those snapshots is already live or
never will be (new ones start later), so its fate is sealed: it goes when the last of them ends.

    ts         1    2    3    4    5    6    7
    a          a1             a4        a6
    snapshots       S2   S3        S5

    a4 is superseded at 6: S5, the newest live snapshot before 6, sees it, so S5 *holds* it.
    a1 was superseded at 4: the newest before 4 was S3, so S3 holds it, though S2 sees it too.
    S3 ends:  the snapshot before it, S2, is at or after a1's commit_ts, so S2 holds a1 from now on.
    S2 ends:  no snapshot before it sees a1, so a1 is freed.

Rule: each superseded version that is kept is held by exactly one live snapshot, the newest that
sees it. So a snapshot's end looks only at what it held, never at the store: exact collection at a
cost by what is freed. (SAP HANA's interval collection and Steam reach the same set by visiting
chains; see Böttcher et al., "Scalable Garbage Collection for In-Memory MVCC Systems", VLDB 2019.)

A snapshot may have held a million versions; freeing them at one go would stall everybody. So an
ended snapshot stays here as *ending* until `collect` has worked off what it held, in bounded steps.

What the live ones keep is counted in bytes, too (`Pins`): all of it, and what each keeps alone, which is what its end
would free. Each version is counted with the oldest and the newest that see it, so an end moves a few sums, no versions.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import heappop, heappush

__all__ = ["LiveSnapshots", "Pins", "TimestampCounts"]

# What a kept version takes beside its value, measured on CPython 3.11: a node, a place in a heap, the value's header.
VERSION_BYTES = 200


class TimestampCounts:
    """How many transactions use each timestamp, in order; adding at the newest end costs O(1).

    `in_order`: the timestamps, to be looked at only.
    """

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.in_order: list[int] = []

    def __len__(self) -> int:
        return len(self.in_order)

    def __contains__(self, ts: int) -> bool:
        return ts in self._counts

    def __iter__(self) -> Iterator[int]:
        return iter(self.in_order)

    @property
    def oldest(self) -> int | None:
        return self.in_order[0] if self.in_order else None

    def count(self, ts: int) -> int:
        """How many use this timestamp."""
        return self._counts.get(ts, 0)

    def before(self, ts: int) -> int | None:
        """The newest timestamp in use before `ts`."""
        at = bisect_left(self.in_order, ts)
        return self.in_order[at - 1] if at else None

    def from_on(self, ts: int) -> int | None:
        """The oldest timestamp in use at or after `ts`."""
        at = bisect_left(self.in_order, ts)
        return self.in_order[at] if at < len(self.in_order) else None

    def add(self, ts: int) -> None:
        count = self._counts.get(ts)
        if count is None:
            self._counts[ts] = 1
            insort(self.in_order, ts)
        else:
            self._counts[ts] = count + 1

    def remove(self, ts: int) -> bool:
        """Take one use of `ts` away; whether it was the last."""
        left = self._counts[ts] - 1
        if left:
            self._counts[ts] = left
            return False
        del self._counts[ts]
        del self.in_order[bisect_left(self.in_order, ts)]
        return True


class _Oldest:
    """The versions whose oldest snapshot is one and the same: their bytes, by their newest."""

    __slots__ = ("sizes",)

    def __init__(self) -> None:
        self.sizes: dict[_Newest, int] = {}


class _Newest:
    """The versions whose newest snapshot is one and the same: where their bytes are."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: set[_Oldest] = set()


class Pins:
    """How many bytes of superseded versions live snapshots keep, by the oldest and the newest that see them.

    When a snapshot ends, what it was the oldest of goes over to the one after it, what it was the newest of to the one
    before. Of the two sets of sums the smaller one moves, so that a sum moves O(log n) times in its life.
    """

    def __init__(self) -> None:
        self.total_bytes = 0
        self._oldest: dict[int, _Oldest] = {}
        self._newest: dict[int, _Newest] = {}

    def alone_bytes(self, ts: int) -> int:
        """What only the snapshot at `ts` keeps."""
        oldest, newest = self._oldest.get(ts), self._newest.get(ts)
        return 0 if oldest is None or newest is None else oldest.sizes.get(newest, 0)

    def add(self, oldest_ts: int, newest_ts: int, size_bytes: int) -> None:
        """A version is kept by the live snapshots from `oldest_ts` to `newest_ts`."""
        self.total_bytes += size_bytes
        oldest = self._oldest.get(oldest_ts)
        if oldest is None:
            oldest = self._oldest[oldest_ts] = _Oldest()
        newest = self._newest.get(newest_ts)
        if newest is None:
            newest = self._newest[newest_ts] = _Newest()
        oldest.sizes[newest] = oldest.sizes.get(newest, 0) + size_bytes
        newest.rows.add(oldest)

    def end(self, ts: int, before: int | None, after: int | None) -> None:
        """The snapshot at `ts`, between those two live ones, has ended."""
        oldest, newest = self._oldest.pop(ts, None), self._newest.pop(ts, None)
        if oldest is not None and newest is not None and newest in oldest.sizes:
            self.total_bytes -= oldest.sizes.pop(newest)
            newest.rows.discard(oldest)
        if oldest is not None and oldest.sizes:
            assert after is not None, "a newer snapshot sees these"
            self._oldest[after] = _joined_oldest(oldest, self._oldest.get(after))
        if newest is not None and newest.rows:
            assert before is not None, "an older snapshot sees these"
            self._newest[before] = _joined_newest(newest, self._newest.get(before))

    def check(self, users: TimestampCounts) -> None:
        """Verify that the book-keeping agrees with itself."""
        assert all(ts in users for ts in (*self._oldest, *self._newest))
        newest_ts = {newest: ts for ts, newest in self._newest.items()}
        sums = {(ts, newest_ts[it]): size for ts, oldest in self._oldest.items() for it, size in oldest.sizes.items()}
        assert sum(sums.values()) == self.total_bytes
        assert all(oldest <= newest for oldest, newest in sums)
        oldest_ts = {oldest: ts for ts, oldest in self._oldest.items()}
        assert sums.keys() == {(oldest_ts[row], ts) for ts, newest in self._newest.items() for row in newest.rows}


def _joined_oldest(one: _Oldest, other: _Oldest | None) -> _Oldest:
    if other is None:
        return one
    if len(one.sizes) > len(other.sizes):
        one, other = other, one
    for newest, size_bytes in one.sizes.items():
        other.sizes[newest] = other.sizes.get(newest, 0) + size_bytes
        newest.rows.discard(one)
        newest.rows.add(other)
    return other


def _joined_newest(one: _Newest, other: _Newest | None) -> _Newest:
    if other is None:
        return one
    if len(one.rows) > len(other.rows):
        one, other = other, one
    for oldest in one.rows:
        oldest.sizes[other] = oldest.sizes.get(other, 0) + oldest.sizes.pop(one)
        other.rows.add(oldest)
    return other


class LiveSnapshots:
    """The timestamps being read, each with the superseded versions it holds."""

    def __init__(self) -> None:
        self.pins = Pins()
        self._users = TimestampCounts()
        self._order: list[int] = []  # users' timestamps and ending ones
        self._held: dict[int, list[tuple[int, bytes]]] = {}  # per timestamp a heap of (-commit_ts, key)
        self.ending: dict[int, None] = {}  # in the order of their ends

    @property
    def oldest(self) -> int | None:
        """The oldest timestamp that somebody reads; None if nobody does."""
        return self._users.oldest

    @property
    def is_empty(self) -> bool:
        """Whether nobody reads at any timestamp, and nothing is left of who did: no version is held."""
        return not self._order

    @property
    def has_garbage(self) -> bool:
        """Whether `collect` has work to do."""
        return bool(self.ending)

    def begin(self, ts: int) -> None:
        """Somebody reads at `ts` from now on."""
        self._users.add(ts)
        self.ending.pop(ts, None)
        if ts not in self._held:
            self._held[ts] = []
            insort(self._order, ts)

    def alone_bytes(self, ts: int) -> int:
        """What would be freed if the reader of `ts` ended: nothing as long as there are several."""
        return self.pins.alone_bytes(ts) if self._users.count(ts) == 1 else 0

    def end(self, ts: int) -> None:
        """One reader of `ts` is done; what nobody sees any more is left to `collect`."""
        if not self._users.remove(ts):
            return
        self.pins.end(ts, self._users.before(ts), self._users.from_on(ts))
        if self._held[ts]:
            self.ending[ts] = None
        else:
            self._forget(ts)

    def hold(self, commit_ts: int, superseded_ts: int, key: bytes, value_bytes: int = 0) -> bool:
        """Have the newest snapshot that sees the key's version of `commit_ts` hold it; False if none sees it."""
        at = bisect_left(self._order, superseded_ts)
        if at == 0 or self._order[at - 1] < commit_ts:
            return False
        heappush(self._held[self._order[at - 1]], (-commit_ts, key))
        newest = self._users.before(superseded_ts)
        if newest is not None and newest >= commit_ts:  # else only an ending snapshot sees it
            oldest = self._users.from_on(commit_ts)
            assert oldest is not None, "newest is one"
            self.pins.add(oldest, newest, VERSION_BYTES + len(key) + value_bytes)
        return True

    def hold_newest(self, commit_ts: int, key: bytes, value_bytes: int) -> bool:
        """As `hold` of a version that was superseded just now, and so by a commit that is newer than every snapshot."""
        order = self._order
        if not order or order[-1] < commit_ts:
            return False
        heappush(self._held[order[-1]], (-commit_ts, key))
        readers = self._users.in_order
        if readers and readers[-1] >= commit_ts:  # else only an ending snapshot sees it
            oldest = readers[bisect_left(readers, commit_ts)]
            self.pins.add(oldest, readers[-1], VERSION_BYTES + len(key) + value_bytes)
        return True

    def collect(self, steps_max: int) -> Iterator[tuple[int, bytes]]:
        """Work off ended snapshots; yields `(commit_ts, key)` of each version that nobody sees any more.

        Takes at most `steps_max` steps, each of which frees a version or hands one down.
        """
        while self.ending and steps_max > 0:
            ts = next(iter(self.ending))
            held = self._held[ts]
            before = self._before(ts)
            while held and steps_max > 0 and -held[0][0] > before:
                steps_max -= 1
                negative_ts, key = heappop(held)
                yield -negative_ts, key
            if held and steps_max > 0:
                steps_max -= self._hand_down(ts, before, steps_max)
            if not self._held[ts]:
                del self.ending[ts]
                self._forget(ts)

    def _before(self, ts: int) -> int:
        """The snapshot before `ts`; -1, which no version is at or before, if it is the oldest."""
        at = bisect_left(self._order, ts)
        return self._order[at - 1] if at else -1

    def _hand_down(self, ts: int, before: int, steps_max: int) -> int:
        """Give what `ts` still holds, all of it seen by `before` too, to that one; returns the steps taken.

        The smaller of the two heaps moves, so that a version moves O(log n) times in its life.
        """
        if len(self._held[before]) < len(self._held[ts]):
            self._held[ts], self._held[before] = self._held[before], self._held[ts]
        held, heir = self._held[ts], self._held[before]
        steps = min(steps_max, len(held))
        for _ in range(steps):
            heappush(heir, held.pop())
        return max(steps, 1)

    def _forget(self, ts: int) -> None:
        del self._held[ts]
        del self._order[bisect_left(self._order, ts)]

    def holders(self) -> Iterator[tuple[int, int, bytes]]:
        """Every `(snapshot, commit_ts, key)` held, for checks."""
        for ts, held in self._held.items():
            for negative_ts, key in held:
                yield ts, -negative_ts, key

    def may_hold(self, holder: int, commit_ts: int, superseded_ts: int) -> bool:
        """Whether `holder` may hold a version of that interval: the newest that sees it does; for checks.

        But an ending snapshot and its heir may each hold, for a while, what the other is to.
        """
        at = bisect_left(self._order, superseded_ts)
        if not at or self._order[at - 1] < commit_ts:
            return False
        newest = self._order[at - 1]
        return holder == newest or self._heir(holder) == self._heir(newest)

    def _heir(self, ts: int) -> int:
        """The newest live snapshot at or before `ts`; -1 if there is none."""
        while ts in self.ending:
            ts = self._before(ts)
        return ts

    def check(self) -> None:
        """Verify that the book-keeping agrees with itself."""
        self.pins.check(self._users)
        assert self._order == sorted(self._held)
        assert set(self._users).isdisjoint(self.ending)
        assert sorted([*self._users, *self.ending]) == self._order
