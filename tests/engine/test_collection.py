"""Exact version collection: kept is what the newest state or a live snapshot sees, and nothing else.

Costs are counted in calls made, never in time.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.engine import Transaction, VersionedStore
from mvcc_kv.errors import ConflictError
from tests.engine.logs import DeferringLog
from tests.engine.model import Chain, Model, ModelTransaction

READ_ONLY = TransactionOptions(read_only=True)


def versions_of(store: VersionedStore) -> int:
    return int(store.stats()["versions"])


def kept_by(store: VersionedStore) -> dict[bytes, Chain]:
    keys = store.keys()
    return {key: store.chain(key) for key in keys}


def collect_all(store: VersionedStore) -> None:
    while store.has_garbage:
        store.collect(1)


def calls_of(action: Callable[[], object]) -> int:
    """How many calls, of Python and C functions, the action makes."""
    calls = 0

    def count(_: FrameType, event: str, __: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls


def test_one_snapshot_held_over_a_hundred_thousand_updates_of_a_key_keeps_two_versions() -> None:
    store = VersionedStore()
    store.put(b"k", b"first")
    reader = store.begin(READ_ONLY)
    for n in range(100_000):
        store.put(b"k", b"%d" % n)
    assert store.chain(b"k") == [(100_001, b"99999"), (1, b"first")]
    assert reader.get(b"k") == b"first"
    reader.rollback()
    assert store.chain(b"k") == [(100_001, b"99999")]
    store.check()


def test_without_a_snapshot_one_version_of_a_key_is_kept() -> None:
    store = VersionedStore()
    for n in range(1000):
        store.put(b"%d" % (n % 10), b"x")
        assert versions_of(store) == min(n + 1, 10)


@pytest.mark.parametrize("seed", range(20))
def test_many_snapshots_keep_exactly_what_each_of_them_sees(seed: int) -> None:
    choose = random.Random(seed)
    store, model = VersionedStore(), Model()
    open_ones: list[tuple[Transaction, ModelTransaction]] = []
    for _ in range(400):
        key = b"%d" % choose.randrange(8)
        deed = choose.random()
        if deed < 0.15:
            open_ones.append((store.begin(READ_ONLY), model.begin(read_only=True)))
        elif deed < 0.28 and open_ones:
            real, modelled = open_ones.pop(choose.randrange(len(open_ones)))
            real.rollback()
            model.end(modelled)
        elif deed < 0.4:
            if store.delete(key):
                model.apply({key: None})
        else:
            store.put(key, b"%d" % model.commit_ts)
            model.apply({key: b"%d" % model.commit_ts})
        kept, seen = kept_by(store), model.chains()
        assert model.needed(kept) == model.needed(seen)
        assert all(set(chain) <= set(seen[key]) for key, chain in kept.items())
    store.check()
    for real, modelled in open_ones:
        assert dict(real.scan(KeyRange(), limit=100).items) == modelled.state
        real.rollback()
    assert versions_of(store) == len(model.newest)


def test_snapshots_that_end_in_any_order_leave_nothing() -> None:
    for seed in range(5):
        store = VersionedStore()
        readers = []
        for n in range(200):
            readers.append(store.begin(READ_ONLY))
            store.put(b"%d" % (n % 3), b"%d" % n)
        random.Random(seed).shuffle(readers)
        for reader in readers:
            reader.rollback()
            store.check()
        assert versions_of(store) == 3


@pytest.mark.parametrize("below", [False, True], ids=["alone", "over an older snapshot"])
def test_ending_a_snapshot_costs_by_what_it_frees_and_not_by_the_size_of_the_store(below: bool) -> None:
    costs = []
    for keys in (100, 10_000):
        store = VersionedStore()
        for n in range(keys):
            store.put(b"%d" % n, b"x")
        older = store.begin(READ_ONLY) if below else None
        if below:
            for n in range(keys):
                store.put(b"%d" % n, b"y")
        reader = store.begin(READ_ONLY)
        for n in range(5):
            store.put(b"%d" % n, b"z")
        costs.append(calls_of(reader.rollback))
        assert not store.has_garbage
        assert versions_of(store) == keys * (2 if below else 1)
        if older is not None:
            older.rollback()
    assert costs[0] == costs[1]


def test_a_commit_costs_no_more_for_the_versions_that_a_snapshot_holds() -> None:
    store = VersionedStore()
    for n in range(10_000):
        store.put(b"%d" % n, b"x")
    reader = store.begin(READ_ONLY)
    store.put(b"1", b"y")
    before = calls_of(lambda: store.put(b"1", b"z"))
    for n in range(10_000):
        store.put(b"%d" % n, b"y")
    assert calls_of(lambda: store.put(b"1", b"z")) <= before + 1
    reader.rollback()


def test_fifty_thousand_versions_of_one_snapshot_go_in_bounded_steps_and_no_read_is_ever_wrong() -> None:
    count, steps = 50_000, 1000
    store = VersionedStore(collect_steps=steps)
    store.restore(1, [(b"%05d" % n, b"old") for n in range(count)])
    reader = store.begin(READ_ONLY)
    for n in range(count):
        store.put(b"%05d" % n, b"new")
    assert versions_of(store) == 2 * count
    other = store.begin(READ_ONLY)
    reader.rollback()
    rounds, left = 0, versions_of(store)
    assert left == 2 * count - steps
    while store.has_garbage:
        store.collect(steps)
        rounds, freed = rounds + 1, left - versions_of(store)
        left -= freed
        assert freed <= steps
        if rounds % 10 == 0:
            store.check()
            assert other.scan(KeyRange(), limit=count).items == [(b"%05d" % n, b"new") for n in range(count)]
    assert rounds == count // steps - 1
    assert left == count
    other.rollback()


def test_a_half_collected_snapshot_hands_on_what_an_older_one_still_sees() -> None:
    store = VersionedStore(collect_steps=1)
    store.restore(1, [(b"%d" % n, b"both") for n in range(50)])
    older = store.begin(READ_ONLY)
    store.put(b"x", b"1")
    newer = store.begin(READ_ONLY)
    for n in range(50):
        store.put(b"%d" % n, b"new")
    newer.rollback()
    while store.has_garbage:
        store.check()
        assert {value for _, value in older.scan(KeyRange(), limit=100).items} == {b"both"}
        store.put(b"x", b"2")  # every commit collects a little
    older.rollback()
    collect_all(store)
    assert versions_of(store) == 51


def test_a_transaction_that_begins_where_one_is_ending_sees_everything() -> None:
    store = VersionedStore(collect_steps=0)
    store.put(b"a", b"1")
    first = store.begin(READ_ONLY)
    second = store.begin(READ_ONLY)
    first.rollback()
    third = store.begin(READ_ONLY)
    second.rollback()
    store.put(b"a", b"2")
    store.collect()
    assert third.get(b"a") == b"1"
    third.rollback()
    store.collect()
    assert versions_of(store) == 1
    store.check()


# Tombstones


def test_a_tombstone_goes_at_once_when_nobody_can_clash_with_it() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    store.delete(b"a")
    assert store.keys() == [] and versions_of(store) == 0


def test_a_tombstone_stays_while_a_writer_could_clash_with_it() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    writer, reader = store.begin(), store.begin(READ_ONLY)
    store.delete(b"a")
    reader.rollback()
    store.check()
    assert store.chain(b"a") == [(2, None), (1, b"1")]
    writer.put(b"a", b"2")
    with pytest.raises(ConflictError):
        writer.commit()
    assert store.keys() == [] and versions_of(store) == 0
    store.check()


def test_a_tombstone_goes_with_the_last_reader_of_what_was_deleted() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    reader = store.begin(READ_ONLY)
    store.delete(b"a")
    assert store.chain(b"a") == [(2, None), (1, b"1")]
    reader.rollback()
    assert store.keys() == []
    store.check()


def test_a_long_read_only_snapshot_keeps_nothing_of_keys_that_come_and_go() -> None:
    store = VersionedStore()
    store.put(b"kept", b"1")
    reader = store.begin(READ_ONLY)
    for n in range(5000):
        store.put(b"job %d" % n, b"x")
        store.delete(b"job %d" % n)
    assert store.keys() == [b"kept"] and versions_of(store) == 1
    reader.rollback()


def test_a_long_writer_keeps_one_tombstone_for_each_key_that_came_and_went_and_they_go_with_it() -> None:
    store = VersionedStore()
    writer = store.begin()
    for n in range(500):
        for _ in range(3):
            store.put(b"job %d" % n, b"x")
            store.delete(b"job %d" % n)
    assert versions_of(store) == 500
    assert writer.scan(KeyRange(), limit=1000).items == []
    writer.rollback()
    store.check()
    assert versions_of(store) == 0


def test_a_key_made_again_over_its_lone_tombstone_keeps_one_version() -> None:
    store = VersionedStore()
    writer = store.begin()
    store.put(b"a", b"1")
    store.delete(b"a")
    reader = store.begin(READ_ONLY)
    store.put(b"a", b"2")
    assert store.chain(b"a") == [(3, b"2")]
    assert reader.get(b"a") is None
    store.check()
    writer.put(b"a", b"3")
    with pytest.raises(ConflictError):
        writer.commit()
    reader.rollback()


def test_a_tombstone_in_the_middle_hides_what_is_below_it() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    before = store.begin(READ_ONLY)
    store.delete(b"a")
    between = store.begin(READ_ONLY)
    store.put(b"a", b"3")
    assert [tx.get(b"a") for tx in (before, between)] == [b"1", None]
    before.rollback()
    assert between.get(b"a") is None
    between.rollback()
    assert store.chain(b"a") == [(3, b"3")]
    store.check()


# Labels


def test_labels_are_forgotten_when_no_conflict_can_name_them() -> None:
    store = VersionedStore()
    writer = store.begin()
    for n in range(10):
        tx = store.begin(TransactionOptions(label=f"job {n}"))
        tx.put(b"%d" % n, b"x")
        tx.commit()
    assert len(store._versions.marks._labels) == 10
    store.check()
    writer.rollback()
    assert not store._versions.marks._labels
    tx = store.begin(TransactionOptions(label="alone"))
    tx.put(b"a", b"x")
    tx.commit()
    assert not store._versions.marks._labels


def test_a_long_writer_keeps_the_labels_of_the_newest_commits_only() -> None:
    store = VersionedStore()
    writer = store.begin()
    writer.put(b"a", b"mine")
    for n in range(100):
        tx = store.begin(TransactionOptions(label=f"job {n}"))
        tx.put(b"a", b"x")
        if n % 10 == 0:
            tx.put(b"b", b"x")
        tx.commit()
    assert list(store._versions.marks._labels) == [91, 100]  # the newest commits of b and of a
    store.check()
    with pytest.raises(ConflictError) as caught:
        writer.commit()
    assert caught.value.winners["a"].label == "job 99"


def test_a_long_writer_over_one_key_deleted_a_thousand_times_keeps_one_tombstone() -> None:
    store = VersionedStore()
    writer = store.begin()
    for _ in range(1000):
        store.put(b"a", b"x")
        store.delete(b"a")
    assert len(store._versions.marks._tombstones) == 1
    assert store.chain(b"a") == [(2000, None)]
    writer.rollback()
    assert store.keys() == []


def test_a_tombstone_that_a_snapshot_sees_may_outlive_what_it_hid_but_not_the_snapshot() -> None:
    # To free it with the version below it would mean to look for it in what its snapshot holds; it is one a key.
    store = VersionedStore()
    store.put(b"a", b"1")
    older = store.begin(READ_ONLY)
    store.delete(b"a")
    reader = store.begin(READ_ONLY)
    store.put(b"a", b"3")
    older.rollback()
    assert store.chain(b"a") == [(3, b"3"), (2, None)]
    assert reader.get(b"a") is None
    reader.rollback()
    assert store.chain(b"a") == [(3, b"3")]


@pytest.mark.parametrize("is_watched", [False, True])
def test_a_store_that_is_emptied_keeps_nothing_unless_somebody_still_sees_it(is_watched: bool) -> None:
    store = VersionedStore(collect_steps=10)
    keys = [b"%03d" % number for number in range(100)]
    store.write(dict.fromkeys(keys, b"1"))
    reader = store.begin(TransactionOptions()) if is_watched else None
    store.write(dict.fromkeys(keys))
    store.check()
    assert store.keys() == (keys if is_watched else [])
    if reader is not None:
        assert reader.get(b"042") == b"1"
        reader.rollback()
        while store.has_garbage:
            store.collect()
    assert store.keys() == []
    store.put(b"a", b"1")
    store.check()
    assert store.stats()["versions"] == 1


def test_a_flush_of_many_versions_of_one_key_costs_by_their_number() -> None:
    """Each was taken out by walking to it once, from the newest: the square of what had gathered."""

    def calls_to_publish(count: int) -> int:
        store = VersionedStore(DeferringLog())
        for n in range(2 * count):  # the second half is still on its way
            store.put(b"k", b"%d" % n)
        calls = calls_of(lambda: store.publish(count))
        store.check()
        assert versions_of(store) == count + 1
        return calls

    assert calls_to_publish(1_000) < 3 * calls_to_publish(500)
