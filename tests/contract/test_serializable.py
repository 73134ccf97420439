"""SERIALIZABLE in Python's terms; and what is read without a trace."""

from __future__ import annotations

import pytest

from mvcc_kv.api import Database, Transaction
from mvcc_kv.errors import ConflictError, NoTransactionError


def has_lost(tx: Transaction) -> bool:
    """Asked anew each time, which a type checker doesn't expect of a property."""
    return tx.is_doomed


def test_write_skew_is_prevented_and_under_snapshot_isolation_it_is_not(db: Database) -> None:
    for isolation, is_prevented in (("serializable", True), ("snapshot", False)):
        db["alice"] = db["bob"] = "on call"
        first, second = (db.transaction(isolation=isolation) for _ in range(2))  # type: ignore[arg-type]
        if first["bob"] == "on call":
            first["alice"] = "off"
        if second["alice"] == "on call":
            second["bob"] = "off"
        first.commit()
        if is_prevented:
            with pytest.raises(ConflictError):
                second.commit()
        else:
            second.commit()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_range_that_was_scanned_is_read_with_what_was_not_there(db: Database, reverse: bool) -> None:
    tx = db.transaction(isolation="serializable")
    assert list(tx.scan(prefix="booking:", reverse=reverse)) == []
    tx["total"] = 0
    db["booking:1"] = "ann"
    with pytest.raises(ConflictError):
        tx.commit()


def test_listing_keys_is_reading(db: Database) -> None:
    tx = db.transaction(isolation="serializable")
    assert list(tx.keys(prefix="k")) == []
    tx["total"] = 0
    db["k"] = 1
    with pytest.raises(ConflictError):
        tx.commit()


def test_what_was_not_touched_is_no_conflict(db: Database) -> None:
    db["mine"], db["theirs"] = 1, 1
    with db.transaction(isolation="serializable") as tx:
        tx["mine"] = tx["mine"] + len(list(tx.scan(start="a", end="c")))
        db["theirs"] = 2
        db["c"] = 3


def test_one_that_only_reads_never_fails(db: Database) -> None:
    db["a"] = 1
    with db.transaction(isolation="serializable") as tx:
        assert tx["a"] == 1
        db["a"] = 2
        assert tx["a"] == 1


def test_what_is_read_through_the_snapshot_is_no_conflict(db: Database) -> None:
    db["a"], db["b"] = 1, 2
    with db.transaction(isolation="serializable") as tx:
        seen = tx.snapshot
        assert (seen["a"], seen.get("nobody", "none"), "b" in seen) == (1, "none", True)
        assert (list(seen), list(seen.keys(reverse=True)), dict(seen.scan())) == (
            ["a", "b"],
            ["b", "a"],
            {"a": 1, "b": 2},
        )
        assert [it.value for it in seen.history("a")] == [1]
        tx["out"] = 3
        assert "out" in seen, "it is this transaction's view, own writes among it"
        db["a"], db["b"], db["c"] = 9, 9, 9
        assert dict(seen.scan(end="c")) == {"a": 1, "b": 2}
    assert db["out"] == 3


def test_a_snapshot_ends_with_its_transaction(db: Database) -> None:
    with db.transaction() as tx:
        seen = tx.snapshot
    with pytest.raises(NoTransactionError):
        seen.get("a")


def test_a_transaction_knows_that_it_has_lost(db: Database) -> None:
    db["a"] = 1
    tx = db.transaction()
    tx["a"] = 2
    tx["new"] = 1
    assert not has_lost(tx)
    db["other"] = 1
    assert not has_lost(tx)
    db["a"] = 3
    assert has_lost(tx)
    with pytest.raises(ConflictError):
        tx.commit()


def test_a_serializable_transaction_has_lost_when_what_it_read_has_changed(db: Database) -> None:
    db["a"] = 1
    tx = db.transaction(isolation="serializable")
    assert tx["a"] == 1
    db["a"] = 2
    tx["b"] = 1
    assert has_lost(tx)
    tx.rollback()


def test_what_is_taken_back_is_not_lost(db: Database) -> None:
    tx = db.transaction()
    tx["a"] = 1
    db["a"] = 2
    assert has_lost(tx)
    del tx["a"]
    assert not has_lost(tx)
    tx["b"] = 1
    tx.commit()
