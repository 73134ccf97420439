"""The stage: a program is played on a real engine in one order, and what everybody was told is written down.

One thread takes the steps in their turn, so a program and a schedule have exactly one outcome. A new engine is made for
each; all it is asked for is what any user of `VersionedStore` can ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import ConflictError
from tests.explorer.interleavings import Schedule
from tests.explorer.programs import KEYS, Operation, Program, TransactionProgram, amount, initial_state

__all__ = ["Answer", "Event", "History", "Outcome", "PageAnswer", "Stage"]

SCAN_LIMIT = 100


class PageAnswer(NamedTuple):
    """`api.Page`, but it can be hashed."""

    items: tuple[tuple[bytes, bytes], ...]
    next: bytes | None


Answer: TypeAlias = bytes | bool | PageAnswer | None
Event: TypeAlias = tuple[Literal["START", "COMMIT"], int]


class Outcome(NamedTuple):
    """What COMMIT said: a timestamp, or who won each of the keys that were lost."""

    commit_ts: int | None
    winners: tuple[tuple[str, int], ...] = ()


class History(NamedTuple):
    """What happened, as its transactions know it: `events` in their order, and by transaction what it was told."""

    events: tuple[Event, ...]
    start_ts: tuple[int, ...]
    answers: tuple[tuple[Answer, ...], ...]
    outcomes: tuple[Outcome, ...]
    final: tuple[bytes | None, ...]  # by key, in the order of KEYS


class Stage:
    """A program, ready to be played."""

    def __init__(self, program: Program, engine: Callable[[], VersionedStore] = VersionedStore) -> None:
        self._engine = engine
        self._initial = _items(initial_state(program))
        self._options = [_options(transaction) for transaction in program.transactions]
        self._operations = [
            [_said(operation, b"%d" % amount(t, at)) for at, operation in enumerate(transaction.operations)]
            for t, transaction in enumerate(program.transactions)
        ]

    def play(self, schedule: Schedule) -> tuple[History, VersionedStore]:
        """What came of it, and the engine that it was played on."""
        store = self._engine()
        for key, value in self._initial:
            store.put(key, value)
        count = len(self._options)
        open_transactions: list[Any] = [None] * count
        events: list[Event] = []
        start_ts = [0] * count
        answers: list[list[Answer]] = [[] for _ in range(count)]
        outcomes: list[Outcome] = [Outcome(None)] * count
        for t in schedule:
            transaction, told = open_transactions[t], answers[t]
            if transaction is None:
                open_transactions[t] = store.begin(self._options[t])
                start_ts[t] = open_transactions[t].start_ts
                events.append(("START", t))
            elif len(told) < len(self._operations[t]):
                told.append(self._operations[t][len(told)](transaction))
            else:
                outcomes[t] = _outcome(transaction)
                events.append(("COMMIT", t))
        final = tuple(store.get(key.encode()) for key in KEYS)
        return History(tuple(events), tuple(start_ts), tuple(map(tuple, answers)), tuple(outcomes), final), store


def _items(state: tuple[int | None, ...]) -> list[tuple[bytes, bytes]]:
    return [(key.encode(), b"%d" % value) for key, value in zip(KEYS, state, strict=True) if value is not None]


def _options(transaction: TransactionProgram) -> TransactionOptions:
    isolation: Literal["snapshot", "serializable"] = "serializable" if transaction.is_serializable else "snapshot"
    return TransactionOptions(isolation=isolation, read_only=transaction.mode == "read-only")


def _said(operation: Operation, value: bytes) -> Callable[[Any], Answer]:
    """How a transaction is asked to do this."""
    key = operation.key.encode()
    match operation.verb:
        case "GET":
            return lambda transaction: transaction.get(key)
        case "PUT":
            return lambda transaction: transaction.put(key, value)
        case "DEL":
            return lambda transaction: transaction.delete(key)
        case "ADD":
            return lambda transaction: transaction.add(key, value)
        case "SCAN":
            return _scan(operation)


def _scan(operation: Operation) -> Callable[[Any], Answer]:
    keys, limit, reverse = operation.range, operation.limit or SCAN_LIMIT, operation.reverse

    def scan(transaction: Any) -> PageAnswer:
        if operation.keys_only:
            page = transaction.scan(keys, limit=limit, reverse=reverse, keys_only=True)
        else:
            page = transaction.scan(keys, limit=limit, reverse=reverse)
        return PageAnswer(tuple(page.items), page.next)

    return scan


def _outcome(transaction: Any) -> Outcome:
    try:
        return Outcome(transaction.commit())
    except ConflictError as lost:
        return Outcome(None, tuple((key, winner.commit_ts) for key, winner in lost.winners.items()))
