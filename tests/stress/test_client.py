"""One client: what it notes down, and what it takes an error for."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytest

import mvcc_kv
from mvcc_kv.api import Database, StoreTransaction, TransactionOptions
from mvcc_kv.database import MemoryKeeper, StoreDatabase
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import CommitUnknownError, ConflictError, Error, TransactionTimeoutError, UnavailableError
from mvcc_kv.stress.client import Client, Note, Pace
from mvcc_kv.stress.crew import counted
from mvcc_kv.stress.history import Micro
from mvcc_kv.stress.plan import Plan
from mvcc_kv.stress.workloads import ListAppend

SEED = 20261123


class Planned(ListAppend):
    """Steps that the test has planned, in the place of drawn ones."""

    plans: tuple[Plan, ...] = ()

    def plan(self, ticket: int) -> Plan:
        return self.plans[ticket]


def work(*plans: Plan) -> ListAppend:
    planned = Planned()
    object.__setattr__(planned, "plans", plans)
    return planned


def notes_of(
    plans: list[Plan], connect: Callable[[int], AbstractContextManager[Database]], number: int = 3
) -> list[Note]:
    now_ns = time.monotonic_ns()
    pace = Pace(started_ns=now_ns, until_ns=now_ns + 60 * 10**9, clients=8)
    notes: list[Note] = []
    Client(number, connect, work(*plans), pace, notes.append).run(counted(len(plans)))
    return notes


class Failing:
    """A store whose transactions fail at the point named, with the error; the first of them only."""

    def __init__(self, point: str, error: Error) -> None:
        self._store = VersionedStore()
        self._failure: tuple[str, Error] | None = (point, error)

    def begin(self, options: TransactionOptions) -> StoreTransaction:
        return cast("StoreTransaction", _FailingTransaction(self, self._store.begin(options)))

    def fail(self, point: str) -> None:
        if self._failure is not None and self._failure[0] == point:
            error, self._failure = self._failure[1], None
            raise error

    def __getattr__(self, name: str) -> Any:
        self.fail(name)
        return getattr(self._store, name)


class _FailingTransaction:
    def __init__(self, store: Failing, tx: StoreTransaction) -> None:
        self._store = store
        self._tx = tx

    def __getattr__(self, name: str) -> Any:
        self._store.fail(name)
        return getattr(self._tx, name)


def over(store: Any) -> StoreDatabase:
    return StoreDatabase(store, MemoryKeeper())


APPEND = Plan("txn", (("append", "x", 1),))
READ = Plan("txn", (("r", "x", None),))


def test_a_step_is_noted_before_and_after() -> None:
    with mvcc_kv.open() as db:
        notes = notes_of([APPEND, READ], lambda _: nullcontext(db))
    assert [(note.type, note.process, note.ticket) for note in notes] == [
        ("invoke", 3, 0),
        ("ok", 3, 0),
        ("invoke", 3, 1),
        ("ok", 3, 1),
    ]
    assert [note.time for note in notes] == sorted(note.time for note in notes)
    assert notes[2].value == [("r", "x", None)] and notes[3].value == [("r", "x", [1])]
    assert (notes[1].commit_ts, notes[3].commit_ts) == (1, None)


def test_a_step_that_is_given_up_has_failed_and_left_nothing() -> None:
    with mvcc_kv.open() as db:
        notes = notes_of([Plan("txn", (("append", "x", 1),), rolls_back=True)], lambda _: nullcontext(db))
        assert (notes[-1].type, notes[-1].error) == ("fail", "ROLLBACK")
        assert "x" not in db


@pytest.mark.parametrize(
    ("point", "error", "noted"),
    [
        ("commit", CommitUnknownError("lost"), "info"),
        ("commit", UnavailableError("the log failed", retryable=False), "info"),
        ("commit", UnavailableError("lost, and not applied", retryable=True), "fail"),
        ("commit", ConflictError.lost_to(1, {"x": mvcc_kv.Winner(2)}), "fail"),
        ("commit", TransactionTimeoutError("too late"), "fail"),
        ("get", UnavailableError("lost", retryable=True), "fail"),
        ("get", UnavailableError("the log failed", retryable=False), "fail"),
    ],
)
def test_an_error_is_in_doubt_only_where_something_may_have_been_applied(point: str, error: Error, noted: str) -> None:
    [_, note] = notes_of([APPEND], lambda _: nullcontext(over(Failing(point, error))))
    assert (note.type, note.error) == (noted, error.code)
    assert note.value == [("append", "x", 1)]


def test_a_read_that_fails_at_its_commit_has_failed() -> None:
    [_, note] = notes_of([READ], lambda _: nullcontext(over(Failing("commit", CommitUnknownError("lost")))))
    assert note.type == "fail"


def test_a_write_by_itself_may_be_in_doubt_too() -> None:
    plan = Plan("txn", (("w", "x", 1),), "auto")
    [_, note] = notes_of([plan], lambda _: nullcontext(over(Failing("put", CommitUnknownError("lost")))))
    assert note.type == "info"


def test_whoever_is_in_doubt_comes_back_under_a_new_number_on_a_new_connection() -> None:
    connections: list[StoreDatabase] = []

    def connect(_: int) -> StoreDatabase:
        connections.append(over(Failing("commit", CommitUnknownError("lost"))))
        return connections[-1]

    notes = notes_of([APPEND, READ], connect)
    assert [note.process for note in notes] == [3, 3, 3 + 8, 3 + 8]
    assert len(connections) == 2
    with pytest.raises(UnavailableError):
        connections[0].get("x")


def test_a_conflict_is_not_run_again() -> None:
    error = ConflictError.lost_to(1, {"x": mvcc_kv.Winner(2)})
    store = Failing("commit", error)
    notes = notes_of([APPEND, READ], lambda _: nullcontext(over(store)))
    told: list[Micro] = notes[-1].value
    assert [note.type for note in notes] == ["invoke", "fail", "invoke", "ok"] and told == [("r", "x", None)]


def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    refusals = iter([UnavailableError("refused", retryable=True)] * 2)

    def connect(_: int) -> AbstractContextManager[Database]:
        for refusal in refusals:
            raise refusal
        return mvcc_kv.open()

    assert [note.type for note in notes_of([READ], connect)] == ["invoke", "ok"]


def test_it_stops_when_it_is_time() -> None:
    notes: list[Note] = []
    now_ns = time.monotonic_ns()
    with mvcc_kv.open() as db:
        client = Client(
            0, lambda _: nullcontext(db), work(READ), Pace(started_ns=0, until_ns=now_ns, clients=1), notes.append
        )
        client.run(counted(None))
    assert notes == []
