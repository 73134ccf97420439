"""Programs: what a few transactions do, before anybody says in which order; and all of them up to a size.

    Program
      present       a                     the keys that are there at the beginning
      transactions  snapshot      GET a, PUT b
                    serializable  SCAN, ADD a

Every write has a value of its own: a key begins as 1, 2 or 3, and operation i of transaction t writes, or adds,
10^(4t + i + 1). So any value that is read tells, by its digits, which writes are in it.

A `Space` numbers all programs of a size, so that they can be walked in any order and nothing need be listed first.
Of programs that are the same but for the order of their transactions, or for the names of their keys, one is kept; keys
aren't renamed where there are scans, because those go by the keys' order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Literal, NamedTuple, TypeAlias

from mvcc_kv.api import KeyRange

__all__ = ["KEYS", "Mode", "Operation", "Program", "Space", "TransactionProgram", "amount", "initial_state", "menu"]

KEYS = ("a", "b", "c")
OPERATIONS_MAX = 4

Mode: TypeAlias = Literal["snapshot", "serializable", "read-only"]
"""An isolation level; or serializable, and declared to write nothing."""

MODES: tuple[Mode, ...] = ("snapshot", "serializable", "read-only")


class Operation(NamedTuple):
    """One operation. The fields after `key` are for SCAN; an empty `end` and a limit of 0 are none."""

    verb: Literal["GET", "PUT", "DEL", "ADD", "SCAN"]
    key: str = ""
    start: str = ""
    end: str = ""
    limit: int = 0
    reverse: bool = False
    keys_only: bool = False

    @property
    def writes(self) -> bool:
        return self.verb in ("PUT", "DEL", "ADD")

    @property
    def range(self) -> KeyRange:
        return KeyRange(start=self.start.encode(), end=self.end.encode() or None)


class TransactionProgram(NamedTuple):
    """What one transaction does between its START and its COMMIT."""

    mode: Mode
    operations: tuple[Operation, ...]

    @property
    def writes(self) -> bool:
        return any(operation.writes for operation in self.operations)

    @property
    def is_serializable(self) -> bool:
        return self.mode != "snapshot"


class Program(NamedTuple):
    """Transactions that run beside each other, over keys of which some are there at the beginning."""

    present: tuple[str, ...]
    transactions: tuple[TransactionProgram, ...]

    @property
    def steps(self) -> tuple[int, ...]:
        """How many steps each transaction takes: START, its operations, COMMIT."""
        return tuple(len(transaction.operations) + 2 for transaction in self.transactions)


def amount(transaction: int, operation: int) -> int:
    """What this operation writes, or adds."""
    return int(10 ** (1 + OPERATIONS_MAX * transaction + operation))


def initial_state(program: Program) -> tuple[int | None, ...]:
    """What each of KEYS holds at the beginning."""
    return tuple(number if key in program.present else None for number, key in enumerate(KEYS, 1))


def menu(keys: tuple[str, ...]) -> tuple[Operation, ...]:
    """Every operation over these keys; of a single key, what a scan says is what GET says."""
    on_keys = [Operation(verb, key) for key in keys for verb in ("GET", "PUT", "DEL", "ADD")]
    if len(keys) == 1:
        return tuple(on_keys)
    scans = [
        Operation("SCAN"),
        Operation("SCAN", limit=1),
        Operation("SCAN", limit=1, reverse=True),
        Operation("SCAN", end=keys[-1]),
        Operation("SCAN", start=keys[-1], keys_only=True),
    ]
    if len(keys) > 2:
        scans += [Operation("SCAN", start=keys[1], end=keys[2]), Operation("SCAN", limit=2, reverse=True)]
    return (*on_keys, *scans)


@dataclass(frozen=True)
class Space:
    """All programs of so many transactions with up to so many operations each, numbered from 0 to `size`."""

    transactions: int
    operations_max: int
    keys: tuple[str, ...] = KEYS[:2]

    @property
    def name(self) -> str:
        return (
            f"{self.transactions} transactions, up to {self.operations_max} operations each, keys {' '.join(self.keys)}"
        )

    @property
    def size(self) -> int:
        return int(2 ** len(self.keys) * self._choices**self.transactions)

    @cached_property
    def _menu(self) -> tuple[Operation, ...]:
        return menu(self.keys)

    @cached_property
    def _choices(self) -> int:
        """How many transactions there are to choose from."""
        return len(MODES) * sum(int(len(self._menu) ** length) for length in range(1, self.operations_max + 1))

    def program(self, number: int) -> Program | None:
        """The program of this number; None if it means the same as another one, or writes nothing."""
        number, subset = divmod(number, 2 ** len(self.keys))
        chosen = []
        for _ in range(self.transactions):
            number, choice = divmod(number, self._choices)
            chosen.append(choice)
        if chosen != sorted(chosen):
            return None
        transactions = tuple(self._transaction(choice) for choice in chosen)
        program = Program(tuple(key for at, key in enumerate(self.keys) if subset >> at & 1), transactions)
        return program if _is_sensible(program) and self._is_first_of_its_kind(program) else None

    def _transaction(self, choice: int) -> TransactionProgram:
        choice, mode = divmod(choice, len(MODES))
        length = 1
        while choice >= len(self._menu) ** length:
            choice -= len(self._menu) ** length
            length += 1
        operations = []
        for _ in range(length):
            choice, operation = divmod(choice, len(self._menu))
            operations.append(self._menu[operation])
        return TransactionProgram(MODES[mode], tuple(operations))

    def _is_first_of_its_kind(self, program: Program) -> bool:
        if any(
            operation.verb == "SCAN" for transaction in program.transactions for operation in transaction.operations
        ):
            return True
        own = _renamed(program, dict(zip(self.keys, self.keys, strict=True)))
        return all(
            own <= _renamed(program, dict(zip(self.keys, names, strict=True))) for names in permutations(self.keys)
        )


def _is_sensible(program: Program) -> bool:
    """Whether somebody writes, and nobody who said that he wouldn't."""
    writers = [transaction for transaction in program.transactions if transaction.writes]
    return bool(writers) and all(transaction.mode != "read-only" for transaction in writers)


def _renamed(program: Program, names: dict[str, str]) -> Program:
    """The program with other names for its keys, and its transactions in order."""
    transactions = [
        (mode, tuple(operation._replace(key=names[operation.key]) for operation in operations))
        for mode, operations in program.transactions
    ]
    present = tuple(sorted(names[key] for key in program.present))
    return Program(present, tuple(TransactionProgram(*transaction) for transaction in sorted(transactions)))
