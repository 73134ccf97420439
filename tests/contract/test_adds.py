"""ADD: additions to one key merge; everything else that touches it conflicts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mvcc_kv.api import Database, Transaction
from mvcc_kv.errors import BadRequestError, ConflictError, ReadOnlyError


def add_and_read(tx: Transaction, key: str) -> None:
    """Over TCP it is the next call with an answer that tells of a refusal."""
    tx.add(key)
    tx.get(key)


def test_adding_counts_from_nought_and_returns_the_sum(db: Database) -> None:
    assert [db.add("hits"), db.add("hits", 4), db.add("hits", -10)] == [1, 5, -5]
    assert db["hits"] == -5


def test_integers_are_exact_at_any_size_and_floats_make_floats(db: Database) -> None:
    big = 10**60
    assert db.add("n", big) == big
    assert db.add("n", 1) == big + 1
    assert db.add("n", -big) == 1
    halved = db.add("n", 0.5)
    assert (halved, type(halved)) == (1.5, float)
    whole = db.add("n", 0.5)
    assert (whole, type(whole)) == (2.0, float)


def test_additions_in_transactions_never_conflict_with_each_other(db: Database) -> None:
    db["hits"] = 100
    first, second = db.transaction(), db.transaction()
    first.add("hits")
    second.add("hits", 10)
    second.add("hits", 5)
    assert db.add("hits", 1000) == 1100
    first.commit()
    second.commit()
    assert db["hits"] == 1116


def test_many_who_add_at_once_need_no_retries_and_lose_nothing(db: Database) -> None:
    def add_often() -> None:
        for _ in range(25):
            with db.transaction() as tx:
                tx.add("hits")
                tx.add("total", 2)
            db.add("hits")

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(add_often) for _ in range(4)]:
            done.result()
    assert dict(db.scan()) == {"hits": 200, "total": 200}


@pytest.mark.parametrize("adds_first", [True, False])
@pytest.mark.parametrize("write", ["put", "delete"])
def test_an_addition_conflicts_with_a_write_whoever_is_first(db: Database, write: str, adds_first: bool) -> None:
    db["n"] = 1
    adder, writer = db.transaction(), db.transaction()
    adder.add("n", 5)
    if write == "put":
        writer["n"] = 50
    else:
        del writer["n"]
    winner, loser = (adder, writer) if adds_first else (writer, adder)
    winner.commit()
    with pytest.raises(ConflictError) as caught:
        loser.commit()
    assert caught.value.keys == ["n"]


@pytest.mark.parametrize("reads_first", [True, False])
def test_who_reads_the_key_as_well_conflicts_with_other_additions(db: Database, reads_first: bool) -> None:
    db["n"] = 1
    tx = db.transaction()
    if reads_first:
        assert tx["n"] == 1
    tx.add("n", 5)
    if not reads_first:
        assert dict(tx.scan()) == {"n": 6}
    db.add("n")
    with pytest.raises(ConflictError):
        tx.commit()


def test_a_read_through_the_snapshot_leaves_an_addition_an_addition(db: Database) -> None:
    db["n"] = 1
    with db.transaction() as tx:
        tx.add("n", 5)
        assert tx.snapshot["n"] == 6
        db.add("n", 100)
    assert db["n"] == 106


def test_a_transaction_adds_on_top_of_its_own_writes(db: Database) -> None:
    db["n"] = 1
    with db.transaction() as tx:
        tx["n"] = 40
        tx.add("n", 2)
        assert tx["n"] == 42
        tx["m"] = 1
        del tx["m"]
        tx.add("m", 7)
    assert dict(db.scan()) == {"m": 7, "n": 42}


@pytest.mark.parametrize("value", ["text", None, True, [1], {"n": 1}])
def test_what_holds_no_number_can_not_be_added_to(db: Database, value: Any) -> None:
    db["k"] = value
    with pytest.raises(BadRequestError):
        db.add("k")
    tx = db.transaction()
    tx["other"] = 1
    with pytest.raises(BadRequestError):
        add_and_read(tx, "k")
    tx.rollback()
    assert dict(db.scan()) == {"k": value}


@pytest.mark.parametrize("by", ["1", None, True, [1], 1j, float("nan"), float("inf")])
def test_what_is_no_number_can_not_be_added(db: Database, by: Any) -> None:
    with pytest.raises(BadRequestError):
        db.add("k", by)
    tx = db.transaction()
    with pytest.raises(BadRequestError):
        tx.add("k", by)
    tx.rollback()
    assert "k" not in db


def test_a_sum_too_large_for_a_float_is_refused(db: Database) -> None:
    db["n"] = 1.7e308
    with pytest.raises(BadRequestError):
        db.add("n", 1.7e308)
    assert db["n"] == 1.7e308


def test_a_read_only_transaction_adds_nothing(db: Database) -> None:
    with db.transaction(read_only=True) as tx, pytest.raises(ReadOnlyError):
        tx.add("n")
