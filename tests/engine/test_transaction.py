"""Transactions: the buffer over the snapshot, and the end of a transaction."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mvcc_kv.api import KeyRange, Page, TransactionOptions
from mvcc_kv.engine import Transaction, VersionedStore
from mvcc_kv.errors import NoTransactionError, ReadOnlyError


def store_of(**items: bytes) -> VersionedStore:
    store = VersionedStore()
    for key, value in items.items():
        store.put(key.encode(), value)
    return store


def test_own_writes_are_read_back_and_nobody_else_sees_them() -> None:
    store = store_of(a=b"1", b=b"1")
    tx = store.begin()
    tx.put(b"a", b"2")
    tx.put(b"c", b"2")
    assert tx.delete(b"b")
    assert [tx.get(key) for key in (b"a", b"b", b"c")] == [b"2", None, b"2"]
    assert [store.get(key) for key in (b"a", b"b", b"c")] == [b"1", b"1", None]
    tx.rollback()
    assert [store.get(key) for key in (b"a", b"b", b"c")] == [b"1", b"1", None]


def test_a_commit_applies_everything_at_one_timestamp() -> None:
    store = store_of(a=b"1", b=b"1")
    tx = store.begin()
    tx.put(b"a", b"2")
    tx.delete(b"b")
    tx.put(b"c", b"2")
    before = store.begin()
    assert tx.commit() == tx.commit_ts == 3
    assert [store.chain(key)[0] for key in (b"a", b"b", b"c")] == [(3, b"2"), (3, None), (3, b"2")]
    assert before.scan(KeyRange(), limit=9) == Page([(b"a", b"1"), (b"b", b"1")], None)


def test_deleting_says_whether_the_key_was_there() -> None:
    tx = store_of(a=b"1").begin()
    assert tx.delete(b"a")
    assert not tx.delete(b"a")
    assert not tx.delete(b"nothing")
    tx.put(b"a", b"2")
    assert tx.delete(b"a")


def test_what_was_put_and_deleted_again_is_not_written() -> None:
    store = store_of(a=b"1")
    tx = store.begin()
    tx.put(b"new", b"2")
    tx.delete(b"new")
    assert tx.commit() == tx.start_ts == 1
    assert store.commit_ts == 1 and store.keys() == [b"a"]


def test_a_transaction_that_only_read_commits_at_its_snapshot_and_takes_no_timestamp() -> None:
    store = store_of(a=b"1")
    tx = store.begin()
    store.put(b"a", b"2")
    assert tx.get(b"a") == b"1"
    assert tx.commit() == tx.commit_ts == 1
    assert store.commit_ts == 2


@pytest.mark.parametrize("end", [Transaction.commit, Transaction.rollback])
@pytest.mark.parametrize(
    "use",
    [
        lambda tx: tx.get(b"a"),
        lambda tx: tx.put(b"a", b"1"),
        lambda tx: tx.delete(b"a"),
        lambda tx: tx.scan(KeyRange(), limit=1),
        lambda tx: tx.commit(),
    ],
    ids=["get", "put", "delete", "scan", "commit"],
)
def test_a_transaction_that_is_over_refuses_everything(
    end: Callable[[Transaction], object], use: Callable[[Transaction], object]
) -> None:
    tx = store_of(a=b"1").begin()
    end(tx)
    assert not tx.is_open
    with pytest.raises(NoTransactionError):
        use(tx)


def test_rolling_back_twice_ends_one_transaction_once() -> None:
    store = VersionedStore()
    tx, other = store.begin(), store.begin()
    tx.rollback()
    tx.rollback()
    assert store.stats()["active_transactions"] == 1
    assert store.stats()["rollbacks_total"] == 1
    other.rollback()


def test_a_read_only_transaction_refuses_writes_and_goes_on() -> None:
    tx = store_of(a=b"1").begin(TransactionOptions(read_only=True))
    with pytest.raises(ReadOnlyError):
        tx.put(b"a", b"2")
    with pytest.raises(ReadOnlyError):
        tx.delete(b"a")
    assert tx.get(b"a") == b"1"
    assert tx.commit() == 1


def test_a_transaction_that_became_unreachable_is_rolled_back_in_time() -> None:
    store = store_of(a=b"1")
    tx = store.begin()
    tx.put(b"a", b"2")
    store.put(b"a", b"3")
    assert store.chain(b"a") == [(2, b"3"), (1, b"1")]
    del tx
    stats = store.stats()
    assert (stats["active_transactions"], stats["rollbacks_total"], stats["versions"]) == (0, 1, 1)
    assert store.get(b"a") == b"3"
    store.check()


# Scans over own writes


def pages(tx: Transaction, keys: KeyRange, limit: int, *, reverse: bool = False) -> list[Page]:
    found = []
    while True:
        page = tx.scan(keys, limit=limit, reverse=reverse)
        found.append(page)
        if page.next is None:
            return found
        keys = keys.resumed(page.next, reverse=reverse)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_own_writes_fall_into_their_places_on_every_page(limit: int, reverse: bool) -> None:
    tx = store_of(b=b"1", d=b"1", f=b"1", h=b"1").begin()
    for key in (b"a", b"c", b"d", b"i", b"j"):
        tx.put(key, b"2")
    for key in (b"b", b"f", b"j"):
        tx.delete(key)
    items = [item for page in pages(tx, KeyRange(), limit, reverse=reverse) for item in page.items]
    expected = [(b"a", b"2"), (b"c", b"2"), (b"d", b"2"), (b"h", b"1"), (b"i", b"2")]
    assert items == (expected[::-1] if reverse else expected)


def test_a_scan_of_own_writes_alone_is_paged_too() -> None:
    tx = VersionedStore().begin()
    for key in (b"c", b"a", b"b"):
        tx.put(key, b"1")
    assert [len(page.items) for page in pages(tx, KeyRange(), 2)] == [2, 1]
    assert [key for page in pages(tx, KeyRange(), 2, reverse=True) for key, _ in page.items] == [b"c", b"b", b"a"]


def test_own_writes_outside_the_range_stay_out() -> None:
    tx = store_of(b1=b"1").begin()
    for key in (b"a", b"b0", b"b2", b"c"):
        tx.put(key, b"2")
    assert [key for key, _ in tx.scan(KeyRange(prefix=b"b"), limit=9).items] == [b"b0", b"b1", b"b2"]
    assert [key for key, _ in tx.scan(KeyRange(start=b"b1", end=b"b2"), limit=9).items] == [b"b1"]
    assert tx.scan(KeyRange(start=b"c", end=b"a"), limit=9) == Page([], None)


def test_writes_between_two_pages_are_seen_where_they_lie_ahead() -> None:
    tx = store_of(a=b"1", b=b"1", c=b"1").begin()
    first = tx.scan(KeyRange(), limit=1)
    assert (first.items, first.next) == ([(b"a", b"1")], b"b")
    tx.put(b"aa", b"2")
    tx.put(b"bb", b"2")
    rest = tx.scan(KeyRange(start=b"b"), limit=9)
    assert [key for key, _ in rest.items] == [b"b", b"bb", b"c"]
