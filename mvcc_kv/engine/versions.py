"""Every version there is: linked by commits, seen by snapshots, taken away when nobody can see it any more.

    commit 7 of a      linked        on top of a's chain, not seen yet; a's version of 4 waits in `superseded`
    publish(7)         visible       a4 goes at once, or is held by the newest live snapshot that sees it
    that one ends      collected     a4 is handed down to the snapshot before it, or goes

Beside the chains there is what open transactions can still clash with (`clashes.py`), and, where it is retained, what
the last commits changed (`history.py`). Everything here runs under the store's lock, but for `get`.

Rules:
  - Versions newer than `visible_ts` are linked but not yet seen: their record may still be on its way to the disk.
    They count for validation. Collection looks at a superseded version once its successor is visible.
  - A tombstone with nothing below it is kept only while a transaction that could still clash with it is open, or the
    retained history reaches back behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain as chained
from itertools import islice, pairwise

from mvcc_kv.api import CommittedWrites, KeyRange, KeyVersion, Page, VersionPage
from mvcc_kv.engine.chains import Version, versions, visible
from mvcc_kv.engine.clashes import Marks
from mvcc_kv.engine.expiry import Expiries
from mvcc_kv.engine.freeing import SupersededVersion, free, ripe
from mvcc_kv.engine.history import CommitHistory, Superseded
from mvcc_kv.engine.index import ScanBounds, VersionIndex, overwrite, seen_at
from mvcc_kv.engine.opened import OpenTransactions
from mvcc_kv.engine.snapshots import VERSION_BYTES
from mvcc_kv.errors import SnapshotGoneError, Winner
from mvcc_kv.values import Expiring

__all__ = ["Versions", "gone"]


@dataclass(slots=True)
class _Cleared:
    """A commit that deleted all `keys`. `below`: what is still to be taken from under the first of its tombstones."""

    commit_ts: int
    keys: list[bytes]
    below: list[Version]

    @property
    def used_bytes(self) -> int:
        """What both take."""
        sizes = sum(map(len, self.keys)) + sum(map(len, self.keys[: len(self.below)]))
        values = sum(len(version[1] or b"") for version in self.below)
        return VERSION_BYTES * (len(self.keys) + len(self.below)) + sizes + values


class Versions:
    """The versions of a store whose open transactions are `opened`."""

    def __init__(self, opened: OpenTransactions, history: CommitHistory | None, collect_steps: int) -> None:
        self.index = VersionIndex()
        self.heads = self.index.heads
        self.marks = Marks()
        self.history = history
        self.expiries = Expiries()
        self.visible_ts = 0
        self._now_us = 0  # as far as we were told
        self._opened = opened
        self._live = opened.snapshots  # as far as they are in the books: newcomers hold nothing and have not ended
        self.ending = self._live.ending  # where it is calm, that is all that there may be to collect
        self._collect_steps = collect_steps
        self._superseded: list[SupersededVersion] = []  # in the order of commits, until these are published
        self._cleared: deque[_Cleared] = deque()  # what was superseded by deleting everything
        self._emptied: deque[_Cleared] = deque()  # of which only tombstones are left to us
        self._cleared_bytes = 0  # of both

    # Reading

    @property
    def oldest_ts(self) -> int:
        """The oldest timestamp that can be read, and whose following commits are known."""
        return self.visible_ts if self.history is None else self.history.base_ts

    def get(self, ts: int, key: bytes) -> bytes | None:
        """What a live snapshot at `ts` sees of the key. Needs no lock."""
        head = self.heads.get(key)
        if head is not None and head[0] > ts:
            head = visible(head[2], ts)
        return None if head is None else head[1]

    def get_past(self, ts: int, key: bytes) -> bytes | None:
        """What there was of the key at `ts`. Raises `SnapshotGoneError`."""
        self.must_be_retained(ts)
        head = self.heads.get(key)
        return None if head is None else self._seen_in_the_past(ts, key, head)

    def page(
        self, ts: int, keys: KeyRange, limit: int, reverse: bool, bounds: ScanBounds | None, overdue_us: int = 0
    ) -> Page:
        """One page of a live snapshot at `ts`, less what is there until `overdue_us` or sooner."""
        return self.index.page(ts, seen_at(ts), keys, limit, reverse, bounds, overdue_us)

    def page_past(self, ts: int, keys: KeyRange, limit: int, reverse: bool, bounds: ScanBounds | None) -> Page:
        """One page of what there was at `ts`. Raises `SnapshotGoneError`."""
        self.must_be_retained(ts)
        return self.index.page(ts, partial(self._seen_in_the_past, ts), keys, limit, reverse, bounds)

    def _seen_in_the_past(self, ts: int, key: bytes, head: Version) -> bytes | None:
        history = self.history
        if head[0] <= ts or history is None or not history.has(key):
            return head[1]  # nothing has changed it since
        found = history.at(ts, key)
        return None if found is None else found[1]

    def must_be_retained(self, ts: int) -> None:
        """Raise `SnapshotGoneError` if the past at `ts` can't be read."""
        if self.history is None or ts < self.history.base_ts:
            raise gone(f"what was at {ts} is kept no more", self.oldest_ts)

    def history_page(self, ts: int, key: bytes, limit: int, before_ts: int | None) -> VersionPage:
        """The key's versions that are known at `ts`, newest first: those retained, and those that snapshots keep."""
        before_ts = ts + 1 if before_ts is None else min(before_ts, ts + 1)
        found: dict[int, bytes | None] = {}
        retained = () if self.history is None else self.history.versions(key, before_ts)
        held = ((version[0], version[1]) for version in versions(self.heads.get(key)) if version[0] < before_ts)
        for commit_ts, value in chained(islice(retained, limit + 1), held):
            found[commit_ts] = value
        newest = sorted(found.items(), reverse=True)
        page = [self._told(*version) for version in newest[:limit]]
        return VersionPage(page, page[-1].commit_ts if len(newest) > limit else None, min(self.oldest_ts, ts))

    def _told(self, commit_ts: int, value: bytes | None) -> KeyVersion:
        info = None if self.history is None else self.history.info(commit_ts)
        if info is None:
            return KeyVersion(commit_ts, value, None, self.marks.winner(commit_ts).label)
        return KeyVersion(commit_ts, value, info.time_us, info.label)

    # Commits

    def newest(self, key: bytes) -> bytes | None:
        """The key's newest value, visible or not."""
        head = self.heads.get(key)
        return None if head is None else head[1]

    def winner(self, commit_ts: int) -> Winner:
        """The commit, as it is told to those who have lost to it."""
        info = None if self.history is None else self.history.info(commit_ts)
        return self.marks.winner(commit_ts) if info is None else Winner(commit_ts, info.label)

    def to_be_superseded(self, keys: Iterable[bytes]) -> dict[bytes, Superseded] | None:
        """For those of the keys that have a value, the version that a write now takes the place of.

        None where no history is retained: nobody needs it.
        """
        if self.history is None:
            return None
        head_of = self.heads.get
        return {key: (head[0], head[1]) for key in keys if (head := head_of(key)) is not None and head[1] is not None}

    def link(self, commit_ts: int, writes: Mapping[bytes, bytes | None], added: Collection[bytes]) -> bool:
        """Put a commit's versions on top of their chains, not seen yet. `added`: those that were made by adding.

        Whether keys may expire then.
        """
        marks = self.marks
        expires = self.expiries.may_expire
        for key, value in writes.items():
            if type(value) is Expiring:
                expires = True
            if value is None or added or not marks.is_empty:
                marks.note(key, self.heads.get(key), commit_ts, deletes=value is None, adds=key in added)
            below = self.index.link(commit_ts, key, value)
            if below is not None:
                self._superseded.append((commit_ts, below[0], key, len(below[1] or b"")))
        if expires:
            self.expiries.note(commit_ts, writes)
        return expires

    def take_in(self, new_keys: int, superseded: list[SupersededVersion]) -> None:
        """Versions were linked by somebody else, who tells what `link` would have counted."""
        self.index.keys += new_keys
        self.index.versions += new_keys + len(superseded)
        self._superseded.extend(superseded)

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing but what is newest and visible, as far as one can tell without looking at chains."""
        waits = self._superseded or self._cleared or self._emptied or self.ending
        return not waits and self.history is None and not self.marks.used_bytes

    def keys_with_value(self) -> list[bytes]:
        """Every key whose newest version is a value, visible or not; in no order."""
        return self.index.with_value()

    def link_clear(self, commit_ts: int, keys: Collection[bytes], *, is_seen_at_once: bool) -> None:
        """As `link` of a commit that deletes these, which are all that there are.

        If nobody can see what was before, it goes as a whole. Else what each key held goes in `collect`, bit by bit,
        and then, when nobody can clash with them any more, the tombstones; so these need no marks.
        """
        self.expiries.clear(commit_ts)
        if is_seen_at_once and self.is_seen_by_none:
            self._clear()
            return
        below = self.index.link_deletions(commit_ts, keys)
        self.marks.note_clear(below)
        self._cleared.append(_Cleared(commit_ts, list(keys), below))
        self._cleared_bytes += self._cleared[-1].used_bytes

    @property
    def is_seen_by_none(self) -> bool:
        """Whether nobody can see, or clash with, any version but the newest visible ones."""
        if self._superseded or self._cleared or self._live.has_garbage:
            return False  # what waits to be taken out of its chain must be there
        return not len(self._opened) and self.history is None

    def retain(self, commit: CommittedWrites, superseded: Mapping[bytes, Superseded] | None) -> None:
        """Take a commit into history, if there is one."""
        if self.history is not None and superseded is not None:
            self.history.append(commit, superseded)

    def publish(self, ts: int, now_us: int) -> None:
        """Let snapshots see every commit up to `ts`; look at the versions that they superseded."""
        published, self.visible_ts, self._now_us = ts - self.visible_ts, ts, now_us
        if self.expiries.may_expire:
            self.expiries.published(ts)
        if self.history is not None:
            self.history.trim(now_us, ts, 2 * published + 1)  # so that it can't grow, however many come at once
        superseded = self._superseded
        if (self._cleared or len(superseded) > self._collect_steps) and self._is_cleared:
            self._clear()
        if not superseded:
            return
        if self._opened.snapshots.is_empty and not self._cleared:
            self._free_superseded(ts)
        else:
            self._hold_or_free_superseded(ts)

    def _free_superseded(self, ts: int) -> None:
        """Let go of what commits up to `ts` superseded: no snapshot sees any of it. See `freeing.py`."""
        superseded = self._superseded
        waiting = len(superseded)
        lone = free(self.heads, superseded, ts)
        self.index.versions -= waiting - len(superseded)
        for key in lone:
            self._drop_if_alone(key, self.heads[key])

    def _hold_or_free_superseded(self, ts: int) -> None:
        """Have each version that commits up to `ts` superseded held by a snapshot that sees it, or let go of it."""
        superseded, live = self._superseded, self._opened.snapshots
        count = ripe(superseded, ts)
        unseen: dict[bytes, set[int]] = {}
        for superseded_ts, commit_ts, key, value_bytes in superseded[:count]:
            if not live.hold(commit_ts, superseded_ts, key, value_bytes):
                unseen.setdefault(key, set()).add(commit_ts)
        del superseded[:count]
        for key, timestamps in unseen.items():
            if len(timestamps) == 1:
                self._free(timestamps.pop(), key)
            else:
                self._free_all(timestamps, key)

    @property
    def _is_cleared(self) -> bool:
        """Whether every key was deleted, for everybody to see: so nobody can see, or clash with, what is left here."""
        newest_ts = self._superseded[-1][0] if self._superseded else 0
        if self._cleared:
            newest_ts = max(newest_ts, self._cleared[-1].commit_ts)
        is_for_all = newest_ts <= self.visible_ts and not self._live.has_garbage
        return is_for_all and not self.index.keys and not len(self._opened) and self.history is None

    def _clear(self) -> None:
        """Let go of everything at once; one by one takes four times as long."""
        self._superseded.clear()
        self._cleared.clear()
        self._emptied.clear()
        self._cleared_bytes = 0
        self.index.clear()
        self.marks.clear()

    # Filling

    def restore(self, commit_ts: int, items: Mapping[bytes, bytes], now_us: int) -> None:
        """The state at `commit_ts`. What history knows may be of the commits up to there; else it begins there."""
        assert not self.heads, "restore is for a new store"
        self.visible_ts = commit_ts
        history = self.history
        if history is not None and history.newest_ts != commit_ts:
            history.begin(commit_ts)
        known_ts = commit_ts if history is None else history.base_ts  # what history hasn't, was there before it
        self.index.fill(known_ts, items)
        if history is not None:
            self._restore_newest(history, now_us)
        self.expiries.fill(items)

    def _restore_newest(self, history: CommitHistory, now_us: int) -> None:
        """Take the newest versions that history knows of as they were, tombstones too: the past needs those."""
        while history.trim(now_us, self.visible_ts):
            pass
        for commit_ts, key, value in sorted(history.newest()):
            self.heads[key] = (commit_ts, value, None)
            if value is None:
                self.marks.remember_tombstone(key, commit_ts)
                self.index.versions += 1

    # Collection

    @property
    def has_garbage(self) -> bool:
        """Whether `collect` has work to do."""
        if self._live.has_garbage or self._has_cleared:
            return True
        if not self.marks.is_empty and self.marks.has_expired(self._horizon()):
            return True
        return self.history is not None and self.history.has_expired(self._now_us, self.visible_ts)

    @property
    def pinned_bytes_at_most(self) -> int:
        """`pinned_bytes`, and the marks that history would keep anyway."""
        return self._live.pins.total_bytes + self._cleared_bytes + self.marks.used_bytes

    @property
    def pinned_bytes(self) -> int:
        """What open transactions keep alive: old versions that they see, and marks that they may clash with.

        Where history is retained, this looks at each mark that it doesn't need; what it does is not theirs.
        """
        if self.history is None:
            return self.pinned_bytes_at_most
        base_ts = self.history.base_ts
        emptied_bytes = sum(it.used_bytes for it in self._emptied if it.commit_ts > base_ts)
        return self._live.pins.total_bytes + self._cleared_bytes - emptied_bytes + self.marks.bytes_up_to(base_ts)

    @property
    def frees_marks(self) -> bool:
        """Whether marks are there, or what was cleared, that only wait to be collected."""
        return self._has_cleared or self.marks.has_expired(self._horizon())

    def marks_kept_bytes(self) -> int:
        """What the oldest transaction that may write keeps of marks, alone."""
        ends = [self._opened.next_writer_ts, None if self.history is None else self.history.base_ts]
        return self.marks.bytes_up_to(min((ts for ts in ends if ts is not None), default=None))

    def trim(self, now_us: int) -> None:
        """It is so late now; let go of what is too old."""
        self._now_us = now_us
        self.collect()

    def collect(self, steps_max: int | None = None) -> None:
        """Free up to about `steps_max` versions that nobody can see any more."""
        steps_max = self._collect_steps if steps_max is None else steps_max
        if self.history is not None and self.history.has_expired(self._now_us, self.visible_ts):
            self.history.trim(self._now_us, self.visible_ts, steps_max)
        if self._live.has_garbage:
            for commit_ts, key in self._opened.snapshots.collect(steps_max):
                self._free(commit_ts, key)
        if self._has_cleared:
            steps_max -= self._collect_cleared(steps_max)
        if self.marks.is_empty:
            return
        horizon = self._horizon()
        while steps_max > 0 and self.marks.has_expired(horizon):
            steps_max -= 1
            tombstone = self.marks.expire(horizon)
            if tombstone is not None and self.heads[tombstone[0]] == (tombstone[1], None, None):
                self._drop(tombstone[0])

    @property
    def _has_cleared(self) -> bool:
        """Whether there is something left of what was deleted as a whole, which may be taken away by now."""
        if not self._cleared and not self._emptied:
            return False
        if self._cleared and self._cleared[0].commit_ts <= self.visible_ts:
            return True
        return bool(self._emptied) and self._emptied[0].commit_ts <= self._horizon()

    def _collect_cleared(self, steps_max: int) -> int:
        """Take some of that away; how much."""
        if self._cleared and self._cleared[0].commit_ts <= self.visible_ts:
            return self._hand_over(self._cleared[0], steps_max)
        return self._drop_emptied(self._emptied[0], steps_max)

    def _hand_over(self, cleared: _Cleared, steps_max: int) -> int:
        """Give versions to the snapshots that see them, or let go of them."""
        below, live = cleared.below, self._opened.snapshots
        steps = min(steps_max, len(below))
        for _ in range(steps):
            key, (commit_ts, value, _) = cleared.keys[len(below) - 1], below.pop()
            size = len(value or b"")
            self._cleared_bytes -= VERSION_BYTES + len(key) + size
            if not live.hold(commit_ts, cleared.commit_ts, key, size):
                self._free(commit_ts, key)
        if not below:
            self._emptied.append(self._cleared.popleft())
        return steps

    def _drop_emptied(self, emptied: _Cleared, steps_max: int) -> int:
        """Let go of tombstones that are there still, and have nothing below them that is held."""
        steps = min(steps_max, len(emptied.keys))
        for _ in range(steps):
            key = emptied.keys.pop()
            self._cleared_bytes -= VERSION_BYTES + len(key)
            if self.heads.get(key) == (emptied.commit_ts, None, None):
                self._drop(key)
        if not emptied.keys:
            self._emptied.popleft()
        return steps

    def _horizon(self) -> int:
        """No transaction that is open, or will be, can clash with a commit at or before this timestamp."""
        oldest = self._opened.oldest_writer_ts
        horizon = self.visible_ts if oldest is None else min(oldest, self.visible_ts)
        return horizon if self.history is None else min(horizon, self.history.base_ts)

    def _free(self, commit_ts: int, key: bytes) -> None:
        """Take a superseded version out of its chain; a tombstone that is left alone goes when it may."""
        head = self.heads[key]
        older = head[2]
        if older is not None and older[0] == commit_ts and head[1] is not None:  # by far the most
            overwrite(self.heads, key, (head[0], head[1], older[2]))
            self.index.versions -= 1
        else:
            self._drop_if_alone(key, self.index.take_out(commit_ts, key))

    def _free_all(self, timestamps: set[int], key: bytes) -> None:
        """The same with several of one key, which a flush of the log leaves where all write it."""
        self._drop_if_alone(key, self.index.take_out_all(timestamps, key))

    def _drop_if_alone(self, key: bytes, head: Version) -> None:
        if head[1] is None and head[2] is None and head[0] <= self._horizon():
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        """Take a lone tombstone's key out of the index."""
        self.index.drop(key)
        self.marks.forget_tombstone(key)

    # Looking in

    def check(self, commit_ts: int) -> None:
        """Verify every invariant; cost by the size of the store. Raises `AssertionError`."""
        self._opened.snapshots.check()
        chains = self.index.chains()
        assert list(self.heads) == sorted(chains), "the index is in order"
        assert self.index.versions == sum(map(len, chains.values()))
        assert self.index.keys == sum(chain[0][1] is not None for chain in chains.values())
        assert self.visible_ts <= commit_ts
        self._check_chains(chains, commit_ts)
        self.expiries.check(self.heads.items(), self.visible_ts)
        heads = {key: chain[0] for key, chain in chains.items()}
        cleared = (*self._cleared, *self._emptied)
        self.marks.check(heads, self._horizon(), [it.commit_ts for it in cleared])
        assert self._cleared_bytes == sum(it.used_bytes for it in cleared)
        if self.history is not None:
            self.history.check()
            assert self.history.newest_ts == commit_ts

    def _check_chains(self, chains: dict[bytes, list[Version]], commit_ts: int) -> None:
        waiting = {(version_ts, key) for _, version_ts, key, _ in self._superseded}
        waiting |= {(head[0], key) for it in self._cleared for key, head in zip(it.keys, it.below, strict=False)}
        held = {(version_ts, key): snapshot for snapshot, version_ts, key in self._opened.snapshots.holders()}
        assert len(held) == sum(1 for _ in self._opened.snapshots.holders()), "a version is held once"
        assert waiting.isdisjoint(held)
        kept = set()
        for key, chain in chains.items():
            timestamps = [version[0] for version in chain]
            assert timestamps == sorted(set(timestamps), reverse=True), "timestamps fall along a chain"
            assert timestamps[0] <= commit_ts
            for newer, version in pairwise(timestamps):
                kept.add((version, key))
                if (version, key) not in waiting:
                    assert self._opened.snapshots.may_hold(held[version, key], version, newer), (
                        "the newest that sees it holds it"
                    )
            if timestamps[0] <= self._horizon() and chain[0][1] is None and not self.has_garbage:
                assert len(chain) > 1, "a lone tombstone goes with the last that could clash with it"
        assert kept == waiting | set(held), "what is not newest is waiting or held"


def gone(why: str, oldest_ts: int, *, retryable: bool = False) -> SnapshotGoneError:
    """The error for who reads what is kept no more."""
    return SnapshotGoneError(
        f"{why}; the oldest timestamp that can be read is {oldest_ts}", retryable=retryable, oldest_ts=oldest_ts
    )
