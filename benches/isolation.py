"""SERIALIZABLE against SNAPSHOT on the same workload, in the engine: commits a second, and how many were aborted.

    4 + 2       reads 4 keys and writes 2 of them
    100 + 1     scans 100 keys and writes 1 of them

One transaction after the other shows what tracking and validating cost. With four that take turns, an operation each,
what is aborted is lost work too: over many keys hardly anything is, over few a lot. Who is aborted is not run again;
the next transaction is another. SNAPSHOT aborts for what both wrote, SERIALIZABLE for what was read as well.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.servers import SERVER_CORES, pinned
from benches.timing import Side
from mvcc_kv.api import Isolation, KeyRange, TransactionOptions
from mvcc_kv.engine import Transaction, VersionedStore
from mvcc_kv.errors import ConflictError

__all__ = ["ISOLATION", "LEVELS", "WORKLOADS"]

LEVELS: tuple[Isolation, Isolation] = ("snapshot", "serializable")
_KEYS_MANY = 100_000
_SCANNED = 100
_TURNS = 500
_SEED = 1
_VALUE = b'"value-of-16bytes"'
_Program: TypeAlias = Callable[[Transaction, "_Choice"], Iterator[None]]


class _Choice:
    """Keys by chance, the same ones for both levels."""

    def __init__(self, keys: list[bytes]) -> None:
        self._keys = keys
        self._random = random.Random(_SEED)

    def some(self, number: int) -> list[bytes]:
        return self._random.choices(self._keys, k=number)

    def start(self) -> KeyRange:
        return KeyRange(start=self._keys[self._random.randrange(len(self._keys) - _SCANNED + 1)])


def _read_4_write_2(transaction: Transaction, choice: _Choice) -> Iterator[None]:
    keys = choice.some(4)
    for key in keys:
        transaction.get(key)
        yield
    for key in keys[:2]:
        transaction.put(key, _VALUE)
        yield


def _scan_100_write_1(transaction: Transaction, choice: _Choice) -> Iterator[None]:
    page = transaction.scan(choice.start(), limit=_SCANNED)
    yield
    transaction.put(page.items[len(page.items) // 2][0], _VALUE)
    yield


class _Workload(NamedTuple):
    """What transactions do, how many take turns, and over how many keys."""

    name: str
    program: _Program
    interleaved: int
    keys: int


WORKLOADS = (
    _Workload("4 + 2", _read_4_write_2, 1, _KEYS_MANY),
    _Workload("4 + 2", _read_4_write_2, 4, _KEYS_MANY),
    _Workload("4 + 2", _read_4_write_2, 4, 40),
    _Workload("100 + 1", _scan_100_write_1, 1, _KEYS_MANY),
    _Workload("100 + 1", _scan_100_write_1, 4, _KEYS_MANY),
    _Workload("100 + 1", _scan_100_write_1, 4, 1000),
)


@dataclass(slots=True)
class _Turns:
    """Transactions of one level that take turns on a store; `run` does some turns and says how many were committed."""

    workload: _Workload
    store: VersionedStore
    choice: _Choice
    options: TransactionOptions
    committed: int = 0
    aborted: int = 0
    under_way: list[Iterator[None]] = field(default_factory=list)

    def run(self) -> int:
        before = self.committed
        if not self.under_way:
            self.under_way = [self._attempt() for _ in range(self.workload.interleaved)]
        for _ in range(_TURNS):
            for slot, attempt in enumerate(self.under_way):
                try:
                    next(attempt)
                except StopIteration:
                    self.under_way[slot] = self._attempt()
        return self.committed - before

    def _attempt(self) -> Iterator[None]:
        transaction = self.store.begin(self.options)
        yield from self.workload.program(transaction, self.choice)
        try:
            transaction.commit()
            self.committed += 1
        except ConflictError:
            self.aborted += 1

    @property
    def aborted_share(self) -> float:
        return self.aborted / max(self.aborted + self.committed, 1)


def _turns(workload: _Workload, level: Isolation, keys_max: int) -> _Turns:
    """Turns over a store of their own, which is full."""
    store = VersionedStore()
    keys = [b"key:%08d" % number for number in range(min(workload.keys, keys_max))]
    store.restore(1, ((key, _VALUE) for key in keys))
    return _Turns(workload, store, _Choice(keys), TransactionOptions(isolation=level))


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows = []
    with pinned(SERVER_CORES):
        for workload in WORKLOADS:
            turns = {level: _turns(workload, level, effort.keys) for level in LEVELS}
            sides = {level: Side(turns[level].run) for level in LEVELS}
            for _, side in product(range(effort.rounds), sides.values()):
                side.measure(effort.seconds)
            rows.append(_row(workload, min(workload.keys, effort.keys), turns, sides))
            on_step()
    return _report(rows)


def _row(
    workload: _Workload, keys: int, turns: dict[Isolation, _Turns], sides: dict[Isolation, Side]
) -> dict[str, Any]:
    return {
        "workload": workload.name,
        "interleaved": workload.interleaved,
        "keys": keys,
        "commits_per_second": {level: sides[level].per_second for level in LEVELS},
        "ratio": sides["serializable"].ratio_to(sides["snapshot"]),
        "aborted_share": {level: turns[level].aborted_share for level in LEVELS},
        "rounds": {level: sides[level].rounds for level in LEVELS},
    }


def _report(rows: list[dict[str, Any]]) -> Report:
    columns = ("reads + writes", "in turns", "keys", "SNAPSHOT", "SERIALIZABLE", "ratio", "aborted", "aborted")
    made = table("Commits a second in the engine, by level", *columns, left=("reads + writes",))
    for row in rows:
        made.add_row(
            row["workload"],
            f"{row['interleaved']}",
            count(row["keys"]),
            *(count(row["commits_per_second"][level]) for level in LEVELS),
            ratio(row["ratio"]),
            *(f"{row['aborted_share'][level]:.1%}" for level in LEVELS),
        )
    return Report(made, rows)


ISOLATION = Part("both levels on the same workload", lambda _: len(WORKLOADS), _run)
