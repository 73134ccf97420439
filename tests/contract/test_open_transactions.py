"""Who holds what: listing open transactions, and ending one."""

from __future__ import annotations

from typing import Any

import pytest

from mvcc_kv.api import Database
from mvcc_kv.errors import BadRequestError, TransactionDoomedError


def test_open_transactions_are_listed_the_oldest_snapshot_first(db: Database) -> None:
    assert db.transactions() == []
    older = db.transaction(isolation="serializable", label="nightly")
    db["a"] = 1
    newer = db.transaction(read_only=True)
    older["x"], older["y"] = 1, 1
    older.add("z")
    older.get("read")
    first, second = db.transactions()
    assert (first.start_ts, first.isolation, first.label, first.read_only) == (0, "serializable", "nightly", False)
    assert (second.start_ts, second.isolation, second.label, second.read_only) == (1, "snapshot", None, True)
    assert (first.keys_written, second.keys_written) == (3, 0)
    assert first.read_set_bytes > 0 == second.read_set_bytes
    assert first.id != second.id
    assert first.age_s >= 0
    older.rollback()
    newer.rollback()
    assert db.transactions() == []


def test_what_a_transaction_alone_keeps_alive_is_told_in_bytes(db: Database) -> None:
    db["a"] = "x" * 10_000
    with db.transaction(read_only=True):
        (before,) = db.transactions()
        db["a"] = "y"
        (after,) = db.transactions()
    assert before.pinned_bytes == 0
    assert 10_000 < after.pinned_bytes < 11_000


def test_a_killed_transaction_applies_nothing_and_says_why(db: Database) -> None:
    tx = db.transaction()
    tx["a"] = 1
    tx.get("a")
    (opened,) = db.transactions()
    assert db.kill(opened.id)
    assert db.transactions() == []
    with pytest.raises(TransactionDoomedError, match="KILL") as caught:
        tx.get("a")
    assert not caught.value.retryable
    with pytest.raises(TransactionDoomedError):
        tx.commit()
    assert "a" not in db


def test_a_killed_transaction_is_doomed(db: Database) -> None:
    tx = db.transaction()
    db.kill(db.transactions()[0].id)
    assert tx.is_doomed
    assert tx.is_doomed
    tx.rollback()


def test_who_is_not_there_can_not_be_killed(db: Database) -> None:
    assert not db.kill(12345)
    with db.transaction():
        (opened,) = db.transactions()
    assert not db.kill(opened.id)


@pytest.mark.parametrize("transaction_id", ["1", 1.0, None, True])
def test_what_is_no_id_is_refused(db: Database, transaction_id: Any) -> None:
    with pytest.raises(BadRequestError):
        db.kill(transaction_id)
