"""Snapshots, conflicts and the life of a transaction, as seen through the Python API."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from mvcc_kv.api import Database
from mvcc_kv.errors import (
    BadRequestError,
    ConflictError,
    Error,
    NoTransactionError,
    ReadOnlyError,
    UnavailableError,
    Winner,
)

# Snapshots


def test_a_snapshot_is_taken_by_the_call_and_not_by_the_first_read(db: Database) -> None:
    db["k"] = "before"
    tx = db.transaction()
    db["k"] = "after"
    assert tx["k"] == "before"
    tx.rollback()


def test_a_snapshot_does_not_move(db: Database) -> None:
    db["kept"], db["deleted"] = 1, 1
    with db.transaction(read_only=True) as tx:
        db["kept"] = 2
        del db["deleted"]
        db["new"] = 2
        assert dict(tx.scan()) == {"deleted": 1, "kept": 1}
        assert tx.get("new") is None
        assert "deleted" in tx
    assert dict(db.scan()) == {"kept": 2, "new": 2}


def test_a_transaction_sees_its_own_writes_and_nobody_else_does(db: Database) -> None:
    db["a"], db["b"] = 1, 1
    with db.transaction() as tx:
        tx["a"] = 2
        del tx["b"]
        tx["c"] = 2
        assert (tx["a"], "b" in tx, tx["c"]) == (2, False, 2)
        assert (db["a"], "b" in db, "c" in db) == (1, True, False)
    assert dict(db.scan()) == {"a": 2, "c": 2}


def test_commits_are_numbered_one_by_one(db: Database) -> None:
    first, second = db.transaction(), db.transaction()
    assert first.start_ts == second.start_ts
    first["a"], second["b"] = 1, 1
    while_open = first.commit_ts
    assert while_open is None
    assert first.commit() == first.commit_ts == first.start_ts + 1
    assert second.commit() == first.start_ts + 2
    assert db.transaction().start_ts == second.commit_ts


def test_a_transaction_that_wrote_nothing_commits_at_its_snapshot(db: Database) -> None:
    db["a"] = 1
    with db.transaction() as tx:
        tx.get("a")
    assert tx.commit_ts == tx.start_ts


# Conflicts


def test_a_lost_update_is_a_conflict_with_its_evidence(db: Database) -> None:
    db["n"] = 0
    winner, loser = db.transaction(label="nightly"), db.transaction()
    for tx in (winner, loser):
        tx["n"] = tx["n"] + 1
    winner.commit()
    with pytest.raises(ConflictError) as caught:
        loser.commit()
    error = caught.value
    assert (error.code, error.retryable) == ("CONFLICT", True)
    assert (error.keys, error.start_ts) == (["n"], loser.start_ts)
    assert winner.commit_ts is not None
    assert error.winners == {"n": Winner(winner.commit_ts, "nightly")}
    assert "'n'" in str(error)
    assert "'nightly'" in str(error)
    assert db["n"] == 1


def test_every_clashing_key_is_named_and_no_other(db: Database) -> None:
    loser = db.transaction()
    loser["a"], loser["b"], loser["c"] = 1, 1, 1
    db["c"] = 2
    db["a"] = 2
    db["elsewhere"] = 2
    with pytest.raises(ConflictError) as caught:
        loser.commit()
    assert sorted(caught.value.keys) == ["a", "c"]
    assert caught.value.winners["c"].commit_ts < caught.value.winners["a"].commit_ts
    assert caught.value.winners["a"].label is None
    assert dict(db.scan()) == {"a": 2, "c": 2, "elsewhere": 2}


def test_blind_writers_of_one_key_conflict(db: Database) -> None:
    first, second = db.transaction(), db.transaction()
    first["k"], second["k"] = 1, 2
    first.commit()
    with pytest.raises(ConflictError):
        second.commit()


def test_deleting_what_another_changed_is_a_conflict(db: Database) -> None:
    db["k"] = 1
    loser = db.transaction()
    del loser["k"]
    db["k"] = 2
    with pytest.raises(ConflictError):
        loser.commit()
    assert db["k"] == 2


def test_writing_what_another_deleted_is_a_conflict(db: Database) -> None:
    db["k"] = 1
    loser = db.transaction()
    loser["k"] = 2
    del db["k"]
    with pytest.raises(ConflictError):
        loser.commit()
    assert "k" not in db


def test_writers_of_different_keys_do_not_conflict(db: Database) -> None:
    first, second = db.transaction(), db.transaction()
    first["a"], second["b"] = 1, 2
    first.commit()
    second.commit()
    assert dict(db.scan()) == {"a": 1, "b": 2}


def test_a_write_outside_a_transaction_never_conflicts(db: Database) -> None:
    with db.transaction() as tx:
        tx["k"] = 1
        tx.commit()
    db["k"] = 2
    assert db["k"] == 2


# The life of a transaction


def test_an_exception_in_the_block_rolls_back_and_goes_on(db: Database) -> None:
    db["k"] = 1
    with pytest.raises(ZeroDivisionError), db.transaction() as tx:
        tx["k"] = 1 // 0 if tx.delete("k") else 2
    assert db["k"] == 1
    assert tx.commit_ts is None


def test_a_rollback_forgets_everything(db: Database) -> None:
    tx = db.transaction()
    tx["k"] = 1
    tx.rollback()
    tx.rollback()
    assert "k" not in db
    assert db.stats()["active_transactions"] == 0


def test_a_block_may_end_its_transaction_by_itself(db: Database) -> None:
    with db.transaction() as tx:
        tx["a"] = 1
        tx.commit()
    with db.transaction() as tx:
        tx["b"] = 1
        tx.rollback()
    assert dict(db.scan()) == {"a": 1}


@pytest.mark.parametrize("end", ["commit", "rollback", "conflict"])
def test_a_transaction_that_is_over_can_not_be_used(db: Database, end: str) -> None:
    tx = db.transaction()
    tx["k"] = 1
    if end == "conflict":
        db["k"] = 2
        with pytest.raises(ConflictError):
            tx.commit()
    else:
        getattr(tx, end)()
    uses: list[Any] = [
        lambda: tx["k"],
        lambda: tx.put("k", 1),
        lambda: tx.delete("k"),
        lambda: "k" in tx,
        lambda: tx.scan(),
        lambda: list(tx),
        tx.commit,
        tx.__enter__,
    ]
    for use in uses:
        with pytest.raises(NoTransactionError, match="this transaction is over"):
            use()
    tx.rollback()


def test_a_scan_does_not_outlive_its_transaction(db: Database) -> None:
    db["k"] = 1
    tx = db.transaction()
    scan = tx.scan()
    tx.commit()
    with pytest.raises(NoTransactionError):
        next(scan)


def test_a_read_only_transaction_refuses_writes(db: Database) -> None:
    db["k"] = 1
    tx = db.transaction(read_only=True)
    with pytest.raises(ReadOnlyError) as caught:
        tx["k"] = 2
    assert (caught.value.code, caught.value.retryable) == ("READ_ONLY", False)
    with pytest.raises(ReadOnlyError):
        del tx["k"]
    assert tx["k"] == 1
    assert tx.commit() == tx.start_ts
    assert db["k"] == 1


@pytest.mark.parametrize("options", [{"isolation": "none"}, {"at": 1}, {"at": -1}, {"at": "now"}, {"at": True}])
def test_what_no_transaction_can_be_is_refused_and_leaves_nothing_open(db: Database, options: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        db.transaction(**options)
    assert db.stats()["active_transactions"] == 0
    db["k"] = 1
    assert db["k"] == 1


def test_a_forgotten_transaction_is_rolled_back(db: Database) -> None:
    tx = db.transaction()
    tx["k"] = 1
    del tx
    assert "k" not in db


def test_many_transactions_may_be_open_at_once(db: Database) -> None:
    open_ones = [db.transaction() for _ in range(10)]
    for i, tx in enumerate(open_ones):
        tx[f"k{i}"] = i
    assert db.stats()["active_transactions"] == 10
    for tx in open_ones:
        tx.commit()
    assert [value for _, value in db.scan()] == list(range(10))


def test_a_transaction_of_many_writes_commits_whole(db: Database) -> None:
    with db.transaction() as tx:
        for i in range(5000):
            tx[f"{i:05}"] = "x" * 100
        assert tx["00000"] == "x" * 100
    assert len(list(db)) == 5000
    assert db.stats()["commit_ts"] == 1


# The database


def test_stats_count_what_happened(db: Database) -> None:
    db["a"] = 1
    loser = db.transaction()
    loser["a"] = 2
    db["a"] = 3
    with pytest.raises(ConflictError):
        loser.commit()
    stats = db.stats()
    assert (stats["commit_ts"], stats["visible_ts"], stats["keys"], stats["conflicts_total"]) == (2, 2, 1, 1)
    assert (stats["active_transactions"], stats["oldest_start_ts"]) == (0, None)


def test_a_closed_database_says_so(db: Database) -> None:
    db["k"] = 1
    tx, scan = db.transaction(), db.scan()
    db.close()
    db.close()
    uses: list[Any] = [
        lambda: db["k"],
        lambda: db.put("k", 1),
        lambda: db.delete("k"),
        lambda: "k" in db,
        lambda: db.scan(),
        lambda: next(scan),
        lambda: list(db),
        lambda: db.transaction(),
        lambda: db.run(lambda tx: None),
        lambda: db.stats(),
        lambda: db.checkpoint(),
        lambda: tx["k"],
    ]
    for use in uses:
        with pytest.raises(UnavailableError, match="closed") as caught:
            use()
        assert not caught.value.retryable
    with pytest.raises(Error):
        tx.commit()


def test_the_interface_is_what_it_declares(db: Database) -> None:
    isolation: Literal["snapshot"] = "snapshot"
    with db as same, same.transaction(isolation=isolation, label="typed") as tx:
        tx["k"] = 1


def test_a_commit_that_does_not_wait_for_the_disk_is_seen_at_once(db: Database) -> None:
    with db.transaction(durability="none") as tx:
        tx["a"] = 1
    assert db["a"] == 1
    assert tx.commit_ts == 1


def test_no_other_durability_is_known(db: Database) -> None:
    with pytest.raises(BadRequestError, match='"default" or "none"'):
        db.transaction(durability="some")  # type: ignore[arg-type]
