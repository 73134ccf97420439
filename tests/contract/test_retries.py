"""run, transactional and attempts with conflicts that really happen, one by one and in crowds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Barrier, Thread

import pytest

import mvcc_kv
from mvcc_kv.api import Database, Transaction, TransactionOptions
from mvcc_kv.errors import ConflictError
from mvcc_kv.retry import RetryPolicy

THREADS = 8
PATIENT = RetryPolicy(attempts_max=10_000, deadline_s=120.0, backoff_base_s=0.0002, backoff_cap_s=0.02)


@mvcc_kv.transactional
def transfer(tx: Transaction, source: str, target: str, amount: int) -> int:
    tx[source] = tx[source] - amount
    tx[target] = tx[target] + amount
    left: int = tx[source]
    return left


@mvcc_kv.transactional(policy=PATIENT)
def increment(tx: Transaction, key: str) -> None:
    tx[key] = tx.get(key, 0) + 1


class Interloper:
    """Calls the database between a transaction's read and its commit, so many times."""

    def __init__(self, db: Database, times: int) -> None:
        self._db = db
        self._left = times
        self.tries = 0

    def steps_in(self) -> None:
        self.tries += 1
        if self._left > 0:
            self._left -= 1
            self._db["n"] = self._db["n"] + 10


def in_threads(work: list[Callable[[], None]]) -> None:
    """Run the callables, each in a thread of its own, all at once; raise what one of them raised."""
    ready, failures = Barrier(len(work)), list[BaseException]()

    def play(task: Callable[[], None]) -> None:
        ready.wait()
        try:
            task()
        except BaseException as error:  # noqa: BLE001 (raised below, in the test's thread)
            failures.append(error)

    threads = [Thread(target=play, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_run_runs_again_until_it_commits(db: Database) -> None:
    db["n"] = 0
    interloper = Interloper(db, times=3)

    def add(tx: Transaction, amount: int) -> int:
        tx["n"] = tx["n"] + amount
        interloper.steps_in()
        n: int = tx["n"]
        return n

    assert db.run(add, 5) == 35
    assert (interloper.tries, db["n"]) == (4, 35)


def test_attempts_run_the_block_again_until_it_commits(db: Database) -> None:
    db["n"] = 0
    interloper = Interloper(db, times=2)
    for attempt in db.attempts():
        with attempt as tx:
            tx["n"] = tx["n"] + 1
            interloper.steps_in()
    assert (interloper.tries, db["n"]) == (3, 21)


def test_a_transactional_function_opens_commits_and_returns(db: Database) -> None:
    db["alice"], db["bob"] = 100, 0
    assert transfer(db, "alice", "bob", 30) == 70
    assert (db["alice"], db["bob"]) == (70, 30)


def test_a_transactional_function_joins_a_transaction(db: Database) -> None:
    db["alice"], db["bob"] = 100, 0
    with db.transaction() as tx:
        transfer(tx, "alice", "bob", 30)
        transfer(tx, "alice", "bob", 30)
        assert db["bob"] == 0
    assert db["bob"] == 60


def test_an_error_of_the_functions_own_rolls_back_and_is_raised(db: Database) -> None:
    db["alice"] = 100
    with pytest.raises(KeyError):
        transfer(db, "alice", "nobody", 30)
    assert db["alice"] == 100
    assert db.stats()["active_transactions"] == 0


def test_when_the_attempts_run_out_the_conflict_is_raised_with_a_note(db: Database) -> None:
    db["n"] = 0
    interloper = Interloper(db, times=1000)

    @mvcc_kv.transactional(policy=RetryPolicy(attempts_max=3, backoff_base_s=0.0))
    def add(tx: Transaction) -> None:
        tx["n"] = tx["n"] + 1
        interloper.steps_in()

    with pytest.raises(ConflictError) as caught:
        add(db)
    assert interloper.tries == 3
    assert caught.value.keys == ["n"]
    assert "gave up after 3 attempts" in caught.value.__notes__[0]


def test_no_increment_of_a_crowd_is_lost(db: Database) -> None:
    def often() -> None:
        for _ in range(25):
            increment(db, "n")

    in_threads([often] * THREADS)
    assert db["n"] == 25 * THREADS
    assert db.stats()["active_transactions"] == 0


def test_a_crowd_on_one_counter_gets_by_with_the_usual_patience(db: Database) -> None:
    def count(tx: Transaction) -> None:
        tx["n"] = tx.get("n", 0) + 1

    def often() -> None:
        for _ in range(20):
            db.run(count)

    def often_in_blocks() -> None:
        for _ in range(20):
            for attempt in db.attempts():
                with attempt as tx:
                    count(tx)

    in_threads([often, often_in_blocks] * (THREADS // 2))
    assert db["n"] == 20 * THREADS
    assert db.stats()["active_transactions"] == 0


def test_a_turn_belongs_to_its_key(db: Database) -> None:
    with db.begin(TransactionOptions(turn=b"n")) as tx:
        tx["other"] = 1
        with db.begin(TransactionOptions(turn=b"other")) as second:
            assert not second.is_contended
    assert not tx.wrote_turn and not tx.is_contended
    with db.begin(TransactionOptions(turn=b"n")) as tx:
        assert not tx.wrote_turn
        tx["n"] = 1
    assert tx.wrote_turn


def test_money_moved_by_a_crowd_stays_the_same_sum_in_every_snapshot(db: Database) -> None:
    accounts = [f"account:{i}" for i in range(4)]
    for account in accounts:
        db[account] = 100
    patiently = mvcc_kv.transactional(policy=PATIENT)(lambda tx, a, b: transfer(tx, a, b, 1))

    def move(first: int) -> None:
        for step in range(15):
            patiently(db, accounts[(first + step) % 4], accounts[(first + 2 * step + 1) % 4])

    def watch() -> None:
        for _ in range(15):
            with db.transaction(read_only=True) as tx:
                assert sum(balance for _, balance in tx.scan(prefix="account:")) == 400

    in_threads([*(partial(move, first) for first in range(4)), watch, watch])
    assert sum(balance for _, balance in db.scan(prefix="account:")) == 400
