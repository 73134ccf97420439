"""Random interleaved transactions against a model that keeps a whole dict for every commit.

Every read, scan, verdict and piece of evidence has to be the model's; after every step the store checks itself,
and holds exactly the versions that somebody can see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mvcc_kv.api import Isolation, KeyRange, Page, TransactionOptions
from mvcc_kv.engine import CommitHistory, Transaction, VersionedStore
from mvcc_kv.engine.snapshots import VERSION_BYTES
from mvcc_kv.errors import ConflictError, ReadOnlyError, TransactionDoomedError, UnavailableError
from tests.engine.logs import DeferringLog
from tests.engine.model import Model, ModelTransaction, items_in

KEYS = st.sampled_from(["a", "b", "ba", "bb", "bé", "c", "d"]).map(str.encode)
VALUES = st.integers(0, 9).map(lambda n: str(n).encode())
LABELS = st.sampled_from([None, None, "nightly", "import"])
BOUNDS = st.one_of(st.just(b""), KEYS)
RANGES = st.builds(KeyRange, prefix=st.sampled_from([b"", b"b", b"a", b"x"]), start=BOUNDS, end=st.none() | KEYS)
PICKS = st.integers(0, 100)
ADDENDS = st.integers(-3, 3)
HISTORIES = st.sampled_from([None, 1, 2_000, 10_000])  # bytes that are retained


class Log(DeferringLog):
    """A commit log that lets commits be seen at once, later, or never takes them, as it is told."""

    def __init__(self) -> None:
        self.mode = "at once"
        self.unpublished: deque[int] = deque()

    def append(
        self,
        commit_ts: int,
        writes: Mapping[bytes, bytes | None],
        label: str | None,
        token: str | None,
        time_us: int,
        superseded: object,
    ) -> bool:
        assert writes
        if self.mode == "refuse":
            raise UnavailableError("the disk is gone")
        if self.mode == "later":
            self.unpublished.append(commit_ts)
        return self.mode == "at once"


class Pair:
    """A transaction and its model."""

    def __init__(self, real: Transaction, model: ModelTransaction) -> None:
        self.real = real
        self.model = model


class EngineAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.model = Model()
        self.now_us = 0
        self.pairs: list[Pair] = []
        self.abandoned: list[ModelTransaction] = []
        self.ended = {"commits": 0, "conflicts": 0, "rollbacks": 0}

    def pick(self, at: int) -> Pair:
        return self.pairs[at % len(self.pairs)]

    def take(self, at: int) -> Pair:
        return self.pairs.pop(at % len(self.pairs))

    def abandoned_are_reaped(self) -> None:
        for transaction in self.abandoned:
            self.model.end(transaction)
            self.ended["rollbacks"] += 1
        self.abandoned.clear()

    # Outside transactions

    @initialize(keys=st.sets(KEYS), collect_steps=st.sampled_from([0, 1, 2, 1000]), retained=HISTORIES)
    def fill(self, keys: set[bytes], collect_steps: int, retained: int | None) -> None:
        self.retained = retained
        history = None if retained is None else CommitHistory(retain_us=10, retain_bytes=retained)
        self.store = VersionedStore(self.log, collect_steps=collect_steps, time_us=lambda: self.now_us, history=history)
        for key in sorted(keys):
            self.put(key, b"0")

    @rule(key=KEYS, value=VALUES)
    def put(self, key: bytes, value: bytes) -> None:
        if self.log.mode == "refuse":
            with pytest.raises(UnavailableError):
                self.store.put(key, value)
        else:
            self.store.put(key, value)
            self.model.apply({key: value}, visible=self.log.mode == "at once")
            self.ended["commits"] += 1
        self.abandoned_are_reaped()

    @precondition(lambda self: self.log.mode != "refuse")
    @rule(keys=st.sets(KEYS, min_size=3), value=VALUES)
    def put_together(self, keys: set[bytes], value: bytes) -> None:
        writes: dict[bytes, bytes | None] = dict.fromkeys(sorted(keys), value)
        transaction = self.store.begin()
        self.abandoned_are_reaped()
        newest_of_all = self.model.visible_ts == self.model.commit_ts
        for key in writes:
            transaction.put(key, value)
        if newest_of_all:
            transaction.commit()
            self.model.apply(writes, visible=self.log.mode == "at once")
            self.ended["commits"] += 1
        else:
            transaction.rollback()
            self.ended["rollbacks"] += 1

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        if key not in self.model.newest:
            assert not self.store.delete(key)
            return
        if self.log.mode == "refuse":
            with pytest.raises(UnavailableError):
                self.store.delete(key)
        else:
            assert self.store.delete(key)
            self.model.apply({key: None}, visible=self.log.mode == "at once")
            self.ended["commits"] += 1
        self.abandoned_are_reaped()

    @rule()
    def clear(self) -> None:
        writes: dict[bytes, bytes | None] = dict.fromkeys(self.model.newest)
        if writes and self.log.mode == "refuse":
            with pytest.raises(UnavailableError):
                self.store.clear()
        else:
            assert self.store.clear() == len(writes)
            if writes:
                self.model.apply(writes, visible=self.log.mode == "at once")
                self.ended["commits"] += 1
        if writes:
            self.abandoned_are_reaped()

    @rule(key=KEYS, by=ADDENDS)
    def add(self, key: bytes, by: int) -> None:
        if self.log.mode == "refuse":
            with pytest.raises(UnavailableError):
                self.store.add(key, b"%d" % by)
        else:
            total = b"%d" % (int(self.model.newest.get(key, b"0")) + by)
            assert self.store.add(key, b"%d" % by) == total
            self.model.apply({key: total}, visible=self.log.mode == "at once", added=[key])
            self.ended["commits"] += 1
        self.abandoned_are_reaped()

    @rule(us=st.integers(1, 8))
    def time_goes_by(self, us: int) -> None:
        self.now_us += us
        self.store.trim()

    @precondition(lambda self: self.retained is not None)
    @rule(at=PICKS, keys=RANGES, limit=st.integers(1, 9), reverse=st.booleans())
    def read_in_the_past(self, at: int, keys: KeyRange, limit: int, reverse: bool) -> None:
        oldest_ts, newest_ts = self.store.oldest_ts, self.model.visible_ts
        if oldest_ts > newest_ts:  # all that is retained is not visible yet
            return
        ts = oldest_ts + at % (newest_ts - oldest_ts + 1)
        reader = self.store.begin(TransactionOptions(read_only=True, at=ts))
        self.abandoned_are_reaped()
        state = self.model.states[ts]
        assert scan_all(reader, keys, limit, reverse) == items_in(state, keys, reverse=reverse)
        assert all(reader.get(key) == state.get(key) for key in self.model.history)
        reader.rollback()
        self.ended["rollbacks"] += 1

    @precondition(lambda self: self.retained is not None)
    @rule(key=KEYS)
    def look_at_the_history(self, key: bytes) -> None:
        told = [(version.commit_ts, version.value) for version in self.store.history(key, limit=1000).versions]
        known = [
            version for version in reversed(self.model.history.get(key, [])) if version[0] <= self.model.visible_ts
        ]
        oldest_ts = self.store.oldest_ts
        assert [version for version in told if version[0] > oldest_ts] == [
            version for version in known if version[0] > oldest_ts
        ]
        assert set(told) <= set(known)

    @precondition(lambda self: self.retained is not None)
    @rule(at=PICKS, limit=st.integers(1, 5))
    def follow_commits(self, at: int, limit: int) -> None:
        ts = self.store.oldest_ts + at % (self.model.commit_ts - self.store.oldest_ts + 1)
        found = self.store.commits_after(ts, limit)
        assert [commit.commit_ts for commit in found] == list(range(ts + 1, min(ts + limit, self.model.visible_ts) + 1))
        for commit in found:
            changed = {key: self.model.states[commit.commit_ts].get(key) for key, _ in commit.writes}
            assert dict(commit.writes) == changed

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        assert self.store.get(key) == self.model.visible.get(key)

    @rule(keys=RANGES, limit=st.integers(1, 9), reverse=st.booleans())
    def scan(self, keys: KeyRange, limit: int, reverse: bool) -> None:
        assert scan_all(self.store, keys, limit, reverse) == items_in(self.model.visible, keys, reverse=reverse)

    @rule(steps=st.integers(1, 3))
    def collect(self, steps: int) -> None:
        self.store.collect(steps)

    @rule()
    def stats(self) -> None:
        stats = self.store.stats()
        self.abandoned_are_reaped()
        assert (stats["commit_ts"], stats["visible_ts"]) == (self.model.commit_ts, self.model.visible_ts)
        assert stats["keys"] == len(self.model.newest)
        assert stats["active_transactions"] == len(self.model.open)
        assert stats["oldest_start_ts"] == min((tx.start_ts for tx in self.model.open), default=None)
        assert self.ended == {name: stats[f"{name}_total"] for name in self.ended}

    # Transactions

    @precondition(lambda self: len(self.pairs) < 6)
    @rule(read_only=st.sampled_from([False, False, True]), label=LABELS, serializable=st.booleans())
    def begin(self, read_only: bool, label: str | None, serializable: bool) -> None:
        isolation: Isolation = "serializable" if serializable else "snapshot"
        real = self.store.begin(TransactionOptions(isolation=isolation, read_only=read_only, label=label))
        self.abandoned_are_reaped()
        model = self.model.begin(read_only=read_only, label=label, serializable=serializable)
        assert real.start_ts == model.start_ts
        self.pairs.append(Pair(real, model))

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS, key=KEYS)
    def get_inside(self, at: int, key: bytes) -> None:
        pair = self.pick(at)
        assert pair.real.get(key, tracked=False) == pair.model.view().get(key)
        assert pair.real.get(key) == pair.model.get(key)

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS, keys=RANGES, limit=st.integers(1, 9), reverse=st.booleans())
    def scan_inside(self, at: int, keys: KeyRange, limit: int, reverse: bool) -> None:
        pair = self.pick(at)
        assert scan_all(pair.real, keys, limit, reverse) == items_in(pair.model.view(), keys, reverse=reverse)
        pair.model.scanned(keys)

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS, key=KEYS, value=VALUES)
    def put_inside(self, at: int, key: bytes, value: bytes) -> None:
        pair = self.pick(at)
        if pair.model.read_only:
            with pytest.raises(ReadOnlyError):
                pair.real.put(key, value)
        else:
            pair.real.put(key, value)
            pair.model.put(key, value)

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS, key=KEYS, by=ADDENDS)
    def add_inside(self, at: int, key: bytes, by: int) -> None:
        pair = self.pick(at)
        if pair.model.read_only:
            with pytest.raises(ReadOnlyError):
                pair.real.add(key, b"%d" % by)
        else:
            pair.real.add(key, b"%d" % by)
            pair.model.add(key, by)

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS, key=KEYS)
    def delete_inside(self, at: int, key: bytes) -> None:
        pair = self.pick(at)
        if pair.model.read_only:
            with pytest.raises(ReadOnlyError):
                pair.real.delete(key)
        else:
            assert pair.real.delete(key) == pair.model.delete(key)

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS)
    def commit(self, at: int) -> None:
        pair = self.take(at)
        model = pair.model
        winners = self.model.winners(model)
        assert pair.real.is_doomed is bool(winners)
        self.model.end(model)
        if winners:
            with pytest.raises(ConflictError) as caught:
                pair.real.commit()
            assert caught.value.winners == winners
            assert set(caught.value.keys) == set(winners)
            written = [key.decode() for key in model.writes]
            assert [key for key in caught.value.keys if key in written] == [key for key in winners if key in written]
            assert caught.value.start_ts == model.start_ts
            self.ended["conflicts"] += 1
        elif not model.writes and not model.added:
            assert pair.real.commit() == model.start_ts
            self.ended["commits"] += 1
        elif self.log.mode == "refuse":
            with pytest.raises(UnavailableError):
                pair.real.commit()
            self.abandoned_are_reaped()
        else:
            commit_ts = pair.real.commit()
            self.abandoned_are_reaped()
            writes = self.model.merged(model)
            visible = self.log.mode == "at once"
            assert commit_ts == self.model.apply(writes, model.label, visible=visible, added=model.added)
            self.ended["commits"] += 1

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS)
    def rollback(self, at: int) -> None:
        pair = self.take(at)
        pair.real.rollback()
        self.model.end(pair.model)
        self.ended["rollbacks"] += 1

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS)
    def kill(self, at: int) -> None:
        pair = self.take(at)
        assert self.store.kill(pair.real.id)
        self.model.end(pair.model)
        self.ended["rollbacks"] += 1
        assert not self.store.kill(pair.real.id)
        for use in (lambda: pair.real.get(b"a"), pair.real.commit):
            with pytest.raises(TransactionDoomedError, match="KILL"):
                use()

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS)
    def abandon(self, at: int) -> None:
        self.abandoned.append(self.take(at).model)  # the real one has no reference left; it is closed by and by

    # What always holds

    @invariant()
    def the_store_agrees_with_itself(self) -> None:
        self.store.check()

    @invariant()
    def every_snapshot_is_whole(self) -> None:
        for pair in self.pairs:
            seen = pair.real.scan(KeyRange(), limit=100, tracked=False).items
            assert seen == sorted(pair.model.view().items())

    @invariant()
    def exactly_what_somebody_can_see_is_kept(self) -> None:
        self.model.base_ts = None if self.retained is None else self.store.oldest_ts
        keys = self.store.keys()
        kept = {key: self.store.chain(key) for key in keys}
        seen = self.model.chains()
        for key, chain in self.model.needed(seen).items():
            assert set(chain) <= set(kept[key])
        if not self.store.has_garbage:
            assert self.model.needed(kept) == self.model.needed(seen)
            assert all(set(chain) <= set(seen[key]) for key, chain in kept.items())

    @invariant()
    def what_snapshots_keep_alive_is_weighed_to_the_byte(self) -> None:
        stats = self.store.stats()
        self.abandoned_are_reaped()
        snapshots = self.store._section.opened.snapshots
        pinned_bytes = snapshots.pins.total_bytes  # without the marks, which may wait to be collected
        assert stats["pinned_bytes"] >= pinned_bytes
        keys = self.store.keys()
        kept = {key: self.store.chain(key) for key in keys}
        if self.store.has_garbage:  # what a `clear` left is weighed when it is handed over
            assert pinned_bytes <= weight(self.model.pinned(kept))
            return
        assert pinned_bytes == weight(self.model.pinned(kept))
        for told in self.store.transactions():
            alone_bytes = snapshots.alone_bytes(told.start_ts)
            assert alone_bytes == weight(self.model.pinned(kept, told.start_ts))
            assert alone_bytes <= told.pinned_bytes <= stats["pinned_bytes"]

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        while self.pairs:
            self.rollback(0)
        self.store.publish(self.model.commit_ts)
        self.model.publish(self.model.commit_ts)
        self.stats()
        self.now_us += 1_000
        for _ in range(self.model.commit_ts):
            self.store.trim()
        while self.store.has_garbage:
            self.store.collect(1)
        self.store.check()
        stats = self.store.stats()
        assert stats["versions"] == stats["keys"] == len(self.model.newest)
        assert scan_all(self.store, KeyRange(), 3, False) == sorted(self.model.newest.items())


class DeferredEngineAgainstModel(EngineAgainstModel):
    """The same, with a log that publishes later, or fails."""

    @rule(mode=st.sampled_from(["at once", "later", "later", "later", "refuse"]))
    def the_log_changes_its_ways(self, mode: str) -> None:
        self.log.mode = mode

    @precondition(lambda self: self.log.unpublished)
    @rule(count=st.integers(1, 4))
    def publish(self, count: int) -> None:
        taken = [self.log.unpublished.popleft() for _ in range(min(count, len(self.log.unpublished)))]
        self.store.publish(taken[-1])
        self.model.publish(taken[-1])


def weight(versions: list[tuple[bytes, bytes | None]]) -> int:
    """What the versions weigh that snapshots keep alive."""
    return sum(VERSION_BYTES + len(key) + len(value or b"") for key, value in versions)


def scan_all(source: Any, keys: KeyRange, limit: int, reverse: bool) -> list[tuple[bytes, bytes]]:
    """Page after page of the range, as a client reads it."""
    items: list[tuple[bytes, bytes]] = []
    while True:
        page: Page = source.scan(keys, limit=limit, reverse=reverse)
        assert len(page.items) <= limit
        assert all(key in keys for key, _ in page.items)
        items += page.items
        if page.next is None:
            return items
        rest = keys.resumed(page.next, reverse=reverse)
        assert rest != keys, "every page goes on"
        keys = rest


THOROUGH = settings(max_examples=150, stateful_step_count=50, deadline=None)

TestEngineAgainstModel = EngineAgainstModel.TestCase
TestEngineAgainstModel.settings = THOROUGH
TestDeferredEngineAgainstModel = DeferredEngineAgainstModel.TestCase
TestDeferredEngineAgainstModel.settings = THOROUGH
