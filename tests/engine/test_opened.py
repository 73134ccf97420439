"""Who holds what: the open transactions, what they keep alive, and how others end them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.engine import CommitHistory, Transaction, VersionedStore
from mvcc_kv.engine.clashes import MARK_BYTES, RecentKeys
from mvcc_kv.engine.contention import HotKeys
from mvcc_kv.engine.snapshots import VERSION_BYTES
from mvcc_kv.errors import (
    BadRequestError,
    ConflictError,
    LimitExceededError,
    SnapshotGoneError,
    TransactionDoomedError,
)
from tests.engine.logs import DeferringLog

SERIALIZABLE = TransactionOptions(isolation="serializable")
A_VERSION_BYTES = VERSION_BYTES + len(b"a") + len(b"1")


def begin(store: VersionedStore, **options: Any) -> Transaction:
    return store.begin(TransactionOptions(**options))


# TRANSACTIONS


def test_the_open_transactions_are_told_the_oldest_snapshot_first() -> None:
    now_us = 5_000_000
    store = VersionedStore(time_us=lambda: now_us)
    store.put(b"a", b"1")
    reader = store.begin(TransactionOptions(read_only=True, label="report"), client="10.0.0.7:5000")
    store.put(b"a", b"2")
    writer = store.begin(SERIALIZABLE)
    writer.put(b"b", b"1")
    writer.add(b"c", b"1")
    writer.get(b"a")
    now_us += 1_500_000
    first, second = store.transactions()
    assert (first.id, first.start_ts, first.label, first.client, first.age_s) == (
        reader.id,
        1,
        "report",
        "10.0.0.7:5000",
        1.5,
    )
    assert first.read_only and first.pinned_bytes == A_VERSION_BYTES
    assert (second.id, second.isolation, second.keys_written) == (writer.id, "serializable", 2)
    assert second.read_set_bytes == 101 and second.pinned_bytes == 0


def test_what_two_snapshots_see_is_pinned_by_neither_alone() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    older = begin(store, read_only=True)
    store.put(b"b", b"1")
    newer = begin(store, read_only=True)
    store.put(b"a", b"2")
    assert [told.pinned_bytes for told in store.transactions()] == [0, 0]
    assert store.stats()["pinned_bytes"] == A_VERSION_BYTES
    older.rollback()
    assert [told.pinned_bytes for told in store.transactions()] == [A_VERSION_BYTES]
    newer.rollback()
    assert store.stats()["pinned_bytes"] == 0


def test_two_transactions_at_one_snapshot_pin_nothing_alone() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    readers = [begin(store, read_only=True) for _ in range(2)]
    store.put(b"a", b"2")
    assert [told.pinned_bytes for told in store.transactions()] == [0, 0]
    readers.pop().rollback()
    assert [told.pinned_bytes for told in store.transactions()] == [A_VERSION_BYTES]


# KILL


def test_a_killed_transaction_is_told_at_every_call_and_nothing_of_it_is_applied() -> None:
    store = VersionedStore()
    tx = store.begin()
    tx.put(b"a", b"1")
    assert store.kill(tx.id)
    calls: list[Callable[[], object]] = [
        lambda: tx.get(b"a"),
        lambda: tx.put(b"a", b"2"),
        lambda: tx.add(b"a", b"2"),
        lambda: tx.delete(b"a"),
        lambda: tx.scan(KeyRange(), limit=1),
        lambda: tx.history(b"a", limit=1),
        tx.commit,
    ]
    for call in calls:
        with pytest.raises(TransactionDoomedError, match="KILL") as told:
            call()
        assert not told.value.retryable
    tx.rollback()
    assert store.get(b"a") is None
    assert store.stats()["rollbacks_total"] == 1
    store.check()


def test_who_is_not_open_can_not_be_killed() -> None:
    store = VersionedStore()
    tx = store.begin()
    tx.commit()
    assert not store.kill(tx.id) and not store.kill(999)


def test_a_reader_that_is_killed_while_it_reads_gets_no_wrong_answer() -> None:
    # Its versions may be collected as soon as it is killed; so what it read last is either right or an error.
    store = VersionedStore()
    store.put(b"a", b"right")
    for _ in range(300):
        store.put(b"a", b"right")
        tx = store.begin(TransactionOptions(read_only=True))
        store.put(b"a", b"wrong")
        killer = threading.Thread(target=store.kill, args=(tx.id,))
        killer.start()
        try:
            while True:
                assert tx.get(b"a") == b"right"
        except TransactionDoomedError:
            pass
        killer.join()


# --max-pinned-bytes


def test_the_oldest_snapshot_is_ended_when_too_much_is_pinned_and_the_store_goes_on() -> None:
    store = VersionedStore(pinned_bytes_max=3 * A_VERSION_BYTES)
    for key in b"abcdef":
        store.put(bytes([key]), b"1")
    oldest = begin(store, read_only=True)
    store.put(b"z", b"1")
    newer = begin(store, read_only=True)
    for key in b"abc":
        store.put(bytes([key]), b"2")
    assert oldest.get(b"a") == newer.get(b"a") == b"1"
    store.put(b"d", b"2")
    with pytest.raises(SnapshotGoneError, match="--max-pinned-bytes") as gone:
        oldest.get(b"a")
    assert gone.value.retryable and gone.value.evidence["oldest_ts"] == 11
    with pytest.raises(SnapshotGoneError):
        newer.get(b"a")  # what was pinned, it pinned too
    assert store.get(b"d") == b"2" and store.stats()["pinned_bytes"] == 0
    store.check()


def test_only_as_many_snapshots_are_ended_as_it_takes() -> None:
    store = VersionedStore(pinned_bytes_max=3 * A_VERSION_BYTES)
    readers = []
    for n in range(4):
        store.put(b"a", b"%d" % n)
        readers.append(begin(store, read_only=True))
    assert [reader.is_open for reader in readers] == [True] * 4
    store.put(b"a", b"9")
    assert [reader.is_open for reader in readers] == [False, True, True, True]
    store.put(b"a", b"8")  # nobody saw the one before
    assert [reader.is_open for reader in readers] == [False, True, True, True]


def test_the_stores_own_work_is_not_ended_for_what_it_pins() -> None:
    store = VersionedStore(pinned_bytes_max=1)
    store.put(b"a", b"1")
    checkpoint = store.begin(TransactionOptions(read_only=True), is_ours=True)
    store.put(b"a", b"2")
    assert checkpoint.get(b"a") == b"1"


# Read sets


def test_a_serializable_transaction_that_reads_too_much_is_refused_with_numbers() -> None:
    store = VersionedStore(read_set_bytes_max=250)
    tx = store.begin(SERIALIZABLE)
    tx.get(b"a")
    tx.get(b"b")
    with pytest.raises(LimitExceededError) as refused:
        tx.get(b"c")
    assert refused.value.evidence == {"limit": 250, "actual": 303, "setting": "--max-read-set-bytes"}
    with pytest.raises(TransactionDoomedError, match="LIMIT_EXCEEDED"):
        tx.commit()
    assert store.stats()["active_transactions"] == 0


def test_a_snapshot_transaction_reads_as_much_as_it_likes_and_forgets_what() -> None:
    store = VersionedStore(read_set_bytes_max=250)
    store.put(b"n", b"1")
    tx = store.begin()
    for n in range(100):
        tx.get(b"%d" % n)
    assert store.stats()["read_set_bytes"] <= 303
    tx.add(b"n", b"1")  # it may have been read, for all anybody remembers
    store.add(b"n", b"1")
    with pytest.raises(ConflictError):
        tx.commit()


def test_reading_without_tracking_is_no_reason_to_abort() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    for tracked, lost in [(True, True), (False, False)]:
        tx = store.begin(SERIALIZABLE)
        tx.get(b"a", tracked=tracked)
        tx.scan(KeyRange(), limit=10, tracked=tracked)
        tx.history(b"a", limit=10, tracked=tracked)
        tx.put(b"mine", b"1")
        store.put(b"a", b"2")
        assert tx.is_doomed is lost
        tx.rollback()


# Hot keys


def test_stats_name_the_keys_that_conflicts_are_about() -> None:
    store = VersionedStore()
    for key, times in [(b"warm", 1), (b"hot", 3)]:
        for _ in range(times):
            tx = store.begin()
            tx.put(key, b"1")
            store.put(key, b"2")
            with pytest.raises(ConflictError):
                tx.commit()
    assert store.stats()["hot_keys"] == [{"key": "hot", "conflicts": 3}, {"key": "warm", "conflicts": 1}]


def test_a_hot_key_stands_out_among_more_keys_than_are_counted() -> None:
    hot = HotKeys(counters=8)
    for n in range(1_000):
        hot.count([b"hot", b"cold %d" % n])
    assert hot.top(1) == [(b"hot", 1_000)]
    assert len(hot.top(100)) == 8


# What open writers keep beside old versions


def test_tombstones_that_an_idle_writer_keeps_count_as_what_it_pins_and_end_it() -> None:
    store = VersionedStore(pinned_bytes_max=100_000)
    idle = store.begin(TransactionOptions(label="forgotten"))
    for n in range(200):
        store.put(b"queue:%06d" % n, b"1")
        store.delete(b"queue:%06d" % n)
    (told,) = store.transactions()
    assert told.pinned_bytes == store.stats()["pinned_bytes"] > 200 * len(b"queue:000000")
    for n in range(2_000):
        store.put(b"queue:%06d" % n, b"1")
        store.delete(b"queue:%06d" % n)
    assert not idle.is_open
    with pytest.raises(SnapshotGoneError):
        idle.commit()
    while store.has_garbage:
        store.collect()
    assert store.stats()["versions"] == 0 and store.stats()["pinned_bytes"] < 100_000
    store.check()


def test_tombstones_that_two_writers_keep_are_pinned_by_neither_alone() -> None:
    store = VersionedStore()
    older = store.begin()
    store.put(b"a", b"1")
    store.delete(b"a")
    newer = store.begin()
    store.put(b"b", b"1")
    store.delete(b"b")
    first, second = store.transactions()
    assert (first.id, second.id) == (older.id, newer.id)
    assert first.pinned_bytes == MARK_BYTES + len(b"a") and second.pinned_bytes == 0


def test_a_transaction_in_the_past_keeps_nothing_even_if_it_may_write() -> None:
    store = VersionedStore(history=CommitHistory(retain_bytes=1))
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    past = store.begin(TransactionOptions(at=store.oldest_ts))
    for n in range(100):
        store.put(b"%d" % n, b"1")
        store.delete(b"%d" % n)
    while store.has_garbage:
        store.collect()
    assert store.stats()["versions"] <= 3
    past.rollback()


def test_the_stores_own_work_can_not_be_killed() -> None:
    store = VersionedStore()
    checkpoint = store.begin(TransactionOptions(read_only=True), is_ours=True)
    assert not store.kill(checkpoint.id)
    assert checkpoint.is_open


# Refusals


def test_who_was_refused_can_not_go_on_with_what_it_learnt_from_that() -> None:
    # The refusal tells that a holds no number: a read that nobody would remember.
    store = VersionedStore()
    store.put(b"a", b'"text"')
    tx = store.begin(SERIALIZABLE)
    with pytest.raises(BadRequestError):
        tx.add(b"a", b"1")
    with pytest.raises(TransactionDoomedError, match="BAD_REQUEST"):
        tx.put(b"b", b'"a is text"')
    with pytest.raises(TransactionDoomedError):
        tx.commit()
    assert store.stats()["active_transactions"] == 0 and store.get(b"b") is None


def test_a_sum_that_others_made_too_large_is_refused_by_name_and_counted() -> None:
    store = VersionedStore()
    tx = store.begin()
    tx.add(b"n", b"1e308")
    store.add(b"n", b"1e308")
    with pytest.raises(BadRequestError, match="added to 'n' can't be"):
        tx.commit()
    assert store.get(b"n") == b"1e+308" and store.stats()["rollbacks_total"] == 1


def test_looking_at_the_history_of_a_key_that_was_added_to_is_reading_it() -> None:
    store = VersionedStore()
    store.put(b"n", b"1")
    tx = store.begin()
    tx.add(b"n", b"1")
    tx.history(b"n", limit=1)
    store.add(b"n", b"1")
    with pytest.raises(ConflictError):
        tx.commit()


# The list of recent keys, a shortcut


@pytest.mark.parametrize("keys_max", [1, 3, 50_000])
def test_a_long_range_is_validated_alike_with_and_without_the_list_of_recent_keys(
    keys_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecentKeys.__init__, "__defaults__", (keys_max,))
    for changed in (None, b"k000", b"k150", b"k299", b"outside"):
        store = VersionedStore()
        store.restore(1, [(b"k%03d" % n, b"1") for n in range(300)])
        tx = store.begin(SERIALIZABLE)
        tx.scan(KeyRange(prefix=b"k"), limit=1_000)
        tx.put(b"mine", b"1")
        for n in range(5):
            store.put(b"z%d" % n, b"1")
        if changed is not None:
            store.put(changed, b"2")
        if changed in (None, b"outside"):
            tx.commit()
        else:
            with pytest.raises(ConflictError) as lost:
                tx.commit()
            assert lost.value.keys == [changed.decode()]


def test_commits_on_their_way_when_the_first_serializable_transaction_begins_are_not_overlooked() -> None:
    log = DeferringLog()
    store = VersionedStore(log)
    store.restore(1, [(b"k%03d" % n, b"1") for n in range(300)])
    store.put(b"k150", b"2")  # linked, not visible yet: it is after the snapshot
    tx = store.begin(SERIALIZABLE)
    tx.scan(KeyRange(prefix=b"k"), limit=1_000)
    tx.put(b"mine", b"1")
    with pytest.raises(ConflictError) as lost:
        tx.commit()
    assert lost.value.keys == ["k150"]
