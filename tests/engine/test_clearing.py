"""`clear`: every key deleted in one commit, at once, whoever still sees what was there."""

from __future__ import annotations

import pytest

from mvcc_kv.api import TransactionOptions
from mvcc_kv.durability.records import decode_commit, encode_commit
from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.history import CommitHistory
from mvcc_kv.errors import ConflictError
from mvcc_kv.values import Expiring
from tests.engine.logs import DeferringLog
from tests.engine.test_collection import calls_of, collect_all

KEYS = 5_000


def filled(store: VersionedStore | None = None) -> VersionedStore:
    store = store or VersionedStore()
    store.write({b"k%d" % n: b"%d" % n for n in range(KEYS)})
    return store


def test_clearing_deletes_every_key_in_one_commit() -> None:
    store = filled()
    assert store.clear() == KEYS
    store.check()
    assert (store.commit_ts, store.keys_total, store.places) == (2, 0, 0)
    assert store.clear() == 0
    assert store.commit_ts == 2


def test_clearing_costs_next_to_nothing_a_key() -> None:
    store = filled()
    assert calls_of(store.clear) < 200
    for options in (TransactionOptions(), TransactionOptions(read_only=True)):
        store = filled(VersionedStore(collect_steps=0))
        reader = store.begin(options)
        assert calls_of(store.clear) < 2 * KEYS + 200  # to weigh each value that is pinned
        reader.rollback()


def test_a_snapshot_sees_what_was_there_and_what_it_saw_goes_with_it() -> None:
    store = filled()
    reader = store.begin(TransactionOptions(read_only=True))
    store.clear()
    store.check()
    store.put(b"k1", b"again")
    collect_all(store)
    store.check()
    assert (reader.get(b"k1"), reader.get(b"k2"), store.get(b"k1"), store.get(b"k2")) == (b"1", b"2", b"again", None)
    assert store.stats()["pinned_bytes"] > KEYS * 200
    reader.rollback()
    collect_all(store)
    store.check()
    assert (store.keys(), store.stats()["versions"], store.stats()["pinned_bytes"]) == ([b"k1"], 1, 0)


def test_who_writes_a_cleared_key_has_lost() -> None:
    store = filled()
    writer = store.begin()
    store.clear()
    collect_all(store)
    store.check()
    writer.put(b"k1", b"mine")
    with pytest.raises(ConflictError, match="committed at 2"):
        writer.commit()
    collect_all(store)
    store.check()
    assert store.places == 0


def test_what_is_cleared_is_seen_until_the_log_has_it() -> None:
    store = filled()
    store.attach(DeferringLog())
    store.clear()
    store.check()
    assert (store.get(b"k1"), store.newest(b"k1")) == (b"1", None)
    store.put(b"k2", b"again")
    store.publish(2)
    store.check()
    assert (store.get(b"k1"), store.get(b"k2")) == (None, None)
    store.publish(3)
    collect_all(store)
    store.check()
    assert store.keys() == [b"k2"]


def test_cleared_keys_expire_no_more() -> None:
    now_us = 1
    store = VersionedStore(time_us=lambda: now_us)
    store.put(b"a", Expiring(b"1", 10))
    reader = store.begin()
    store.clear()
    store.check()
    now_us = 11
    assert not store.expire_due()
    assert (store.commit_ts, store.next_expiry_us, reader.get(b"a")) == (2, None, b"1")


def test_the_feed_tells_every_deletion() -> None:
    store = filled()
    store.keep_changes(1_000)
    store.clear()
    store.check()
    assert dict(store.commits_after(1, 9)[0].writes) == {b"k%d" % n: None for n in range(KEYS)}
    store.put(b"k1", b"again")
    collect_all(store)
    store.check()
    assert store.keys() == [b"k1"]


def test_old_snapshots_end_if_what_was_cleared_is_too_much_for_them_to_keep() -> None:
    store = VersionedStore(pinned_bytes_max=100_000)
    reader = filled(store).begin()
    store.clear()
    collect_all(store)
    store.put(b"a", b"1")
    assert reader.ended is not None
    collect_all(store)
    store.check()
    assert store.keys() == [b"a"]


def test_what_only_history_keeps_of_it_is_pinned_by_nobody() -> None:
    store = filled(VersionedStore(history=CommitHistory(retain_bytes=10_000_000)))
    store.clear()
    collect_all(store)
    store.check()
    assert (store.stats()["versions"] > 0, store.stats()["pinned_bytes"]) == (True, 0)


def test_a_record_of_deletions_alone_tells_each_in_order() -> None:
    writes: dict[bytes, bytes | None] = {b"b": None, b"long" * 100: None, b"": None, b"a": None}
    assert dict(decode_commit(memoryview(encode_commit(writes, None, None, 7))).writes) == writes
    assert [key for key, _ in decode_commit(memoryview(encode_commit(writes, "x", "t", 7))).writes] == list(writes)
