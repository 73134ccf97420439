"""The Database over a store: what the contract tests can't see from outside, and how the fronts are opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mvcc_kv
from mvcc_kv.api import Database, KeyRange, Page, Transaction, TransactionOptions
from mvcc_kv.database import MemoryKeeper, StoreDatabase, StoreDatabaseTransaction
from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.index import ScanBounds
from mvcc_kv.errors import ConflictError, NoTransactionError, UnavailableError
from mvcc_kv.mapping import PAGE_ITEMS


def test_it_satisfies_the_interfaces() -> None:
    def as_declared(db: StoreDatabase, tx: StoreDatabaseTransaction) -> tuple[Database, Transaction]:
        return db, tx

    with mvcc_kv.open() as db:
        as_declared(db, db.transaction())


# Opening


@pytest.mark.parametrize("unwanted", ["server", "cli", "engine", "durability", "client", "stress"])
def test_importing_the_package_imports_no_front(unwanted: str) -> None:
    script = f"import mvcc_kv, sys; sys.exit(any(name.startswith('mvcc_kv.{unwanted}') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_every_error_class_is_part_of_the_public_face() -> None:
    names = {name for name in mvcc_kv.errors.__all__ if name != "error_from_result"}
    assert names <= set(mvcc_kv.__all__)


def test_a_directory_keeps_what_was_committed(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path / "data") as db:
        db["a"] = {"n": 10**30}
        assert db.checkpoint() == 1
        db["b"] = 1.0
    with mvcc_kv.open(str(tmp_path / "data")) as db:
        assert dict(db.scan()) == {"a": {"n": 10**30}, "b": 1.0}
        with db.transaction() as tx:
            tx["c"] = 1
        assert (tx.start_ts, tx.commit_ts) == (2, 3)


def test_a_directory_is_open_once_at_a_time(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path), pytest.raises(mvcc_kv.DataDirectoryError):
        mvcc_kv.open(tmp_path)


def test_memory_has_nowhere_to_write_a_checkpoint_to() -> None:
    with mvcc_kv.open(":memory:") as db, pytest.raises(UnavailableError, match="in memory only") as caught:
        db.checkpoint()
    assert not caught.value.retryable


def test_nobody_at_the_address_says_so_when_connecting() -> None:
    with pytest.raises(UnavailableError, match=r"can't connect to 127\.0\.0\.1:1: .*is the server running\?"):
        mvcc_kv.connect("127.0.0.1:1", connect_timeout_s=5.0)


# Scans, page by page


class ShortPages(VersionedStore):
    """A store whose pages hold one key at most, and every other one none, as a store's pages may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[KeyRange] = []

    def scan(
        self,
        keys: KeyRange,
        *,
        limit: int,
        reverse: bool = False,
        keys_only: bool = False,
        seen_ts: int = 0,
        bounds: ScanBounds | None = None,
    ) -> Page:
        self.asked.append(keys)
        if len(self.asked) % 2:
            everything = super().scan(keys, limit=PAGE_ITEMS, reverse=reverse).items
            if not everything:
                return Page([], None)
            return Page([], keys.high or b"\xf4" if reverse else everything[0][0])
        return super().scan(keys, limit=1, reverse=reverse)


def with_short_pages(count: int) -> StoreDatabase:
    db = StoreDatabase(ShortPages(), MemoryKeeper())
    for i in range(count):
        db[f"k{i}"] = i
    return db


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [0, 1, 3, 5, 6, None])
def test_short_and_empty_pages_make_no_difference(limit: int | None, reverse: bool) -> None:
    expected = [(f"k{i}", i) for i in range(5)]
    if reverse:
        expected.reverse()
    assert list(with_short_pages(5).scan(limit=limit, reverse=reverse)) == expected[:limit]


def test_a_scan_asks_for_no_more_than_it_is_read() -> None:
    store = ShortPages()
    db = StoreDatabase(store, MemoryKeeper())
    db["a"], db["b"] = 1, 2
    scan = db.scan()
    assert store.asked == []
    assert next(scan) == ("a", 1)
    assert len(store.asked) == 2


def test_a_scan_of_more_than_a_page_yields_every_item_once() -> None:
    db = mvcc_kv.open()
    with db.transaction() as tx:
        for i in range(2 * PAGE_ITEMS + 1):
            tx[f"{i:05}"] = i
    assert [value for _, value in db.scan()] == list(range(2 * PAGE_ITEMS + 1))
    assert [value for _, value in db.scan(reverse=True, limit=PAGE_ITEMS + 1)][-1] == PAGE_ITEMS
    assert len(list(db)) == 2 * PAGE_ITEMS + 1


# Transactions that end badly


class FailingTransaction:
    """A store's transaction whose connection is gone."""

    start_ts = 1
    commit_ts = None

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise UnavailableError("gone", retryable=True)

        return fail


class FailingStore(VersionedStore):
    def begin(self, options: TransactionOptions = TransactionOptions(), *_: object, **__: object) -> Any:  # noqa: B008
        return FailingTransaction()


def test_the_blocks_own_exception_wins_over_a_failing_rollback() -> None:
    db = StoreDatabase(FailingStore(), MemoryKeeper())
    with pytest.raises(ZeroDivisionError), db.transaction():
        raise ZeroDivisionError


def test_a_rollback_that_fails_ends_the_transaction_all_the_same() -> None:
    tx = StoreDatabase(FailingStore(), MemoryKeeper()).transaction()
    with pytest.raises(UnavailableError):
        tx.rollback()
    tx.rollback()
    with pytest.raises(NoTransactionError, match="it was rolled back"):
        tx.commit()


def test_how_a_transaction_ended_is_said_to_whom_uses_it_still() -> None:
    with mvcc_kv.open() as db:
        with db.transaction() as winner:
            loser = db.transaction()
            winner["a"] = loser["a"] = 1
        with pytest.raises(NoTransactionError, match="it committed at 1"):
            winner["a"]
        with pytest.raises(ConflictError):
            loser.commit()
        with pytest.raises(NoTransactionError, match="its commit failed"):
            loser["a"]


def test_a_forgotten_transaction_does_not_pin_its_snapshot() -> None:
    with mvcc_kv.open() as db:
        tx = db.transaction()
        tx["a"] = 1
        assert db.stats()["active_transactions"] == 1
        del tx
        assert db.stats()["active_transactions"] == 0
        assert "a" not in db
