"""Hazards of reading in a serializable transaction: it fails if what it was told is not so any more, and only then."""

from __future__ import annotations

import pytest

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.transaction import Transaction
from mvcc_kv.errors import ConflictError, Winner

SERIALIZABLE = TransactionOptions(isolation="serializable")


def test_hazard_tracking_only_the_keys_that_a_scan_yielded() -> None:
    # The range is what was asked for: its gaps and its edges too. What lies outside of it is nobody's business.
    for key, clashes in {b"a": True, b"b": True, b"e": True, b"f": False, b"0": False}.items():
        store = _filled(b"a1 c1")
        reader = store.begin(SERIALIZABLE)
        assert _scan(reader, KeyRange(start=b"a", end=b"f")) == [b"a", b"c"]
        store.put(key, b"2")
        assert _loses(store, reader) == ([key.decode()] if clashes else [])


def test_hazard_a_page_is_tracked_as_far_as_it_went_and_no_further() -> None:
    near_and_far = {False: (b"0 a aa", b"b bb c d"), True: (b"c cc d", b"0 a aa b bb")}
    for reverse, (near, far) in near_and_far.items():
        for key in [*near.split(), *far.split()]:
            store = _filled(b"a1 b1 c1")
            reader = store.begin(SERIALIZABLE)
            page = reader.scan(KeyRange(), limit=1, reverse=reverse)
            assert page.items == [(b"c", b"1") if reverse else (b"a", b"1")]
            store.put(key, b"2")
            assert _loses(store, reader) == ([key.decode()] if key in near.split() else [])


def test_hazard_untracked_empty_ranges() -> None:
    for keys in (KeyRange(prefix=b"user:"), KeyRange(start=b"user:", end=b"user;"), KeyRange()):
        store = VersionedStore()
        reader = store.begin(SERIALIZABLE)
        assert _scan(reader, keys) == []
        store.put(b"user:1", b"2")
        assert _loses(store, reader) == ["user:1"]


def test_hazard_untracked_absent_keys() -> None:
    store = VersionedStore()
    reader = store.begin(SERIALIZABLE)
    assert reader.get(b"name") is None
    store.put(b"name", b"2")
    assert _loses(store, reader) == ["name"]


def test_hazard_an_absent_key_that_came_and_went() -> None:
    # It is as absent as it was, and the tombstone alone says that it was not all the time.
    store = VersionedStore()
    reader = store.begin(SERIALIZABLE)
    assert reader.get(b"name") is None
    store.put(b"name", b"2")
    store.delete(b"name")
    store.collect()
    assert _loses(store, reader) == ["name"]


def test_hazard_count_and_exists_not_tracked() -> None:
    def count(tx: Transaction) -> object:
        return len(tx.scan(KeyRange(prefix=b"k"), limit=9, keys_only=True).items)

    def exists(tx: Transaction) -> object:
        return tx.get(b"k1") is not None

    def delete(tx: Transaction) -> object:
        return tx.delete(b"k1")  # it tells whether the key was there, and writes nothing if it wasn't

    def history(tx: Transaction) -> object:
        return tx.history(b"k1", limit=9).versions

    for question in (count, exists, delete, history):
        store = VersionedStore()
        reader = store.begin(SERIALIZABLE)
        assert not question(reader)
        store.put(b"k1", b"2")
        assert _loses(store, reader) == ["k1"], question.__name__


def test_hazard_a_tombstone_resurrected_inside_a_scanned_range() -> None:
    # At the snapshot the key is deleted, so the scan yields nothing there; what happens to it then counts all the same.
    store = _filled(b"a1 b1 c1")
    pin = store.begin(TransactionOptions(read_only=True))  # keeps the chain under the tombstone
    store.delete(b"b")
    reader = store.begin(SERIALIZABLE)
    assert _scan(reader, KeyRange()) == [b"a", b"c"]
    store.put(b"b", b"2")
    assert _loses(store, reader) == ["b"]
    pin.rollback()


def test_hazard_a_deletion_inside_a_scanned_range_whose_key_was_collected() -> None:
    store = _filled(b"a1 b1 c1")
    reader = store.begin(SERIALIZABLE)
    assert _scan(reader, KeyRange()) == [b"a", b"b", b"c"]
    store.delete(b"b")
    store.collect()
    assert _loses(store, reader) == ["b"]


def test_hazard_own_writes_hiding_what_others_do_to_a_scanned_range() -> None:
    # Its own key, its own deletion and its own new key fill the page; the range below them is tracked all the same.
    store = _filled(b"a1 b1 c1")
    reader = store.begin(SERIALIZABLE)
    reader.put(b"a", b"own")
    reader.delete(b"b")
    reader.put(b"d", b"own")
    assert _scan(reader, KeyRange()) == [b"a", b"c", b"d"]
    store.put(b"bb", b"2")
    assert _loses(store, reader) == ["bb"]


def test_hazard_a_false_conflict_after_reading_and_deleting_ones_own() -> None:
    store = _filled(b"a1 b1")
    for _ in range(3):  # its own earlier commits are no conflict either
        tx = store.begin(SERIALIZABLE)
        for key in _scan(tx, KeyRange()):
            assert tx.get(key) is not None
            tx.delete(key)
        assert _scan(tx, KeyRange()) == []
        tx.put(b"a", b"2")
        tx.put(b"c", b"3")
        assert tx.delete(b"c")
        assert tx.get(b"c") is None
        tx.commit()
        store.check()
    assert store.get(b"a") == b"2" and store.get(b"c") is None


def test_hazard_write_skew_by_a_predicate() -> None:
    # No two bookings of a room may overlap. Both look, find it free, and book different keys.
    store = VersionedStore()
    first, second = store.begin(SERIALIZABLE), store.begin(SERIALIZABLE)
    for booking in (first, second):
        assert _scan(booking, KeyRange(start=b"room:09", end=b"room:12")) == []
    first.put(b"room:09", b"1")
    second.put(b"room:11", b"2")
    first.commit()
    with pytest.raises(ConflictError) as caught:
        second.commit()
    assert caught.value.winners == {"room:09": Winner(1)}
    assert store.get(b"room:11") is None


def test_hazard_the_read_only_anomaly() -> None:
    # Fekete, O'Neil and O'Neil 2004. The report can't be taken back, so the withdrawal has to see the deposit.
    store = _filled(b"checking0 savings0")
    withdrawal = store.begin(SERIALIZABLE)
    assert (withdrawal.get(b"checking"), withdrawal.get(b"savings")) == (b"0", b"0")
    deposit = store.begin(SERIALIZABLE)
    deposit.get(b"savings")
    deposit.put(b"savings", b"20")
    deposit.commit()
    report = store.begin(TransactionOptions(isolation="serializable", read_only=True))
    assert (report.get(b"checking"), report.get(b"savings")) == (b"0", b"20")
    report.commit()
    withdrawal.put(b"checking", b"-11")
    with pytest.raises(ConflictError) as caught:
        withdrawal.commit()
    assert list(caught.value.winners) == ["savings"]


def test_hazard_a_conflict_report_naming_the_wrong_key_of_those_read() -> None:
    # Of what it wrote, read, asked for and merely looked at, what was committed since is named, once, and by the last.
    store = _filled(b"asked:10 looked0 other0 read0 safe0 wrote0")
    loser = store.begin(SERIALIZABLE)
    _scan(loser, KeyRange(prefix=b"asked:"))
    loser.get(b"looked", tracked=False)
    loser.get(b"read")
    loser.get(b"safe")
    loser.get(b"wrote")
    loser.put(b"wrote", b"1")
    winner = store.begin(TransactionOptions(label="winner"))
    for key in (b"asked:2", b"looked", b"other", b"read", b"wrote"):
        winner.put(key, b"2")
    won = Winner(winner.commit(), "winner")
    store.put(b"read", b"3")
    with pytest.raises(ConflictError) as caught:
        loser.commit()
    assert caught.value.winners == {"wrote": won, "asked:2": won, "read": Winner(won.commit_ts + 1)}
    assert sorted(caught.value.keys) == ["asked:2", "read", "wrote"]


def test_hazard_a_serializable_transaction_that_only_reads_is_made_to_fail() -> None:
    for read_only in (True, False):
        store = _filled(b"a1")
        reader = store.begin(TransactionOptions(isolation="serializable", read_only=read_only))
        assert _scan(reader, KeyRange()) == [b"a"]
        store.put(b"a", b"2")
        assert reader.get(b"a") == b"1"
        assert reader.commit() == reader.start_ts


def _filled(items: bytes) -> VersionedStore:
    """A store at timestamp 1 with these keys, each with the digit behind it as its value."""
    store = VersionedStore()
    store.restore(1, [(item[:-1], item[-1:]) for item in items.split()])
    return store


def _scan(tx: Transaction, keys: KeyRange) -> list[bytes]:
    return [key for key, _ in tx.scan(keys, limit=100).items]


def _loses(store: VersionedStore, tx: Transaction) -> list[str]:
    """The keys that it has lost when it commits a write that is in nobody's way."""
    tx.put(b"\xf4\x8f\xbf\xbfunrelated", b"1")
    store.check()
    try:
        tx.commit()
    except ConflictError as lost:
        return list(lost.winners)
    finally:
        store.check()
    return []
