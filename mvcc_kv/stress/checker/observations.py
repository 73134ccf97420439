"""Observations: what the transactions of a history wrote and saw, as columns of numbers.

An *element* is one value at one key, written once: what was appended to a list, or put into a register. Each key has
one more, its initial one, for the state before all. A read saw an element: a register's value, or the last of a list.

    T0: append x 1          element 1, written by 0              order of x:  initial, 1, 2
    T1: append x 2          element 2, written by 1
    T2: r x [1, 2]          saw element 2

A list that was read tells more than its last element: all before it too, in order. So the longest one that was ever
read at a key is the order of its versions, and of every other it is enough to know that it is a beginning of that. This
is checked as it comes and then forgotten, or the lists would fill the memory: a million transactions are some
tens of millions of elements read.

Rule: a read is trusted only where its transaction committed for sure, and a write of a transaction with unknown outcome
counts as soon as somebody saw it. What failed may never be seen; that somebody did is found out in anomalies.py.
"""

from __future__ import annotations

import copy
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeAlias

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker.histories import Outcome, Transaction
from mvcc_kv.stress.checker.identities import identities, identity
from mvcc_kv.stress.checker.inside import Wrong, shown, wrong_inside
from mvcc_kv.stress.checker.scans import SCAN, scanned

__all__ = ["NOBODY", "Incompatible", "Mode", "Observations", "observe"]

Mode: TypeAlias = Literal["list-append", "register"]

NOBODY = -1
"""Who wrote the initial elements, and what was read but never written."""


_APART = (
    "keep lists and registers in histories of their own, as mvcc-kv stress does of several workloads: "
    "beside history.jsonl there are history-list-append.jsonl and history-register.jsonl"
)


class Incompatible(NamedTuple):
    """A list that is no beginning of the longest one at its key, nor the other way round."""

    transaction: int
    key: int
    value: list[Any]


class Observations:
    """The columns. A transaction, a key and an element is its place in them."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.names: list[str] = []
        self.outcomes: list[Outcome] = []
        self.processes = array("q")
        self.invoked_at = array("q")
        self.completed_at = array("q")
        self.micros = array("q")  # element * 2, and 1 more for a write
        self.micros_start = array("q", [0])
        self.keys: list[Any] = []
        self.initial_of = array("q")
        self.orders: list[list[Any]] = []
        self.longest_readers = array("q")
        self.element_keys = array("q")
        self.element_values: list[Any] = []
        self.writers = array("q")
        self.next_own: dict[int, int] = {}  # what its writer wrote next at the same key
        self.wrong: list[Wrong] = []
        self.incompatible: list[Incompatible] = []
        self._key_ids: dict[Any, int] = {}
        self._elements: list[dict[Any, int]] = []
        self.is_seen = bytearray()
        self.seen_by_scans: set[tuple[int, int]] = set()  # transaction and initial element, of what was absent

    def __len__(self) -> int:
        return len(self.names)

    # What one transaction did

    def micros_of(self, transaction: int) -> Iterator[tuple[bool, int]]:
        """Whether it was a write, and of which element, in the order of the transaction."""
        for micro in self.micros[self.micros_start[transaction] : self.micros_start[transaction + 1]]:
            yield bool(micro & 1), micro >> 1

    def writes_of(self, transaction: int) -> list[int]:
        """The last element that it wrote at each key."""
        last = {self.element_keys[it]: it for is_write, it in self.micros_of(transaction) if is_write}
        return list(last.values())

    def reads_of(self, transaction: int) -> list[int]:
        """The element that it read at each key before it wrote there."""
        first: dict[int, int] = {}
        for is_write, element in self.micros_of(transaction):
            first.setdefault(self.element_keys[element], -1 if is_write else element)
        return [it for it in first.values() if it >= 0]

    def is_initial(self, element: int) -> bool:
        """Whether it is a key's state before all."""
        return self.initial_of[self.element_keys[element]] == element

    def element_of(self, key: int, value: Any) -> int | None:
        """The element with that value at the key."""
        return self._elements[key].get(value)

    def counts(self, transaction: int) -> bool:
        """Whether it committed, as far as anybody can know."""
        outcome = self.outcomes[transaction]
        if outcome != "info":
            return outcome == "ok"
        return any(is_write and self.is_seen[element] for is_write, element in self.micros_of(transaction))

    # Taking in

    def key_id(self, key: Any) -> int:
        """The key's place in the columns."""
        known = self._key_ids.get(key)
        if known is None:
            known = self._key_ids[key] = len(self.keys)
            self.keys.append(key)
            self.orders.append([])
            self.longest_readers.append(NOBODY)
            self._elements.append({})
            self.initial_of.append(self._new_element(known, None))
        return known

    def _new_element(self, key: int, value: Any) -> int:
        self.element_keys.append(key)
        self.element_values.append(value)
        self.writers.append(NOBODY)
        self.is_seen.append(0)
        return len(self.element_values) - 1

    def element_id(self, key: int, value: Any) -> int:
        """The element's place in the columns."""
        of_key = self._elements[key]
        known = of_key.get(value)
        if known is None:
            known = of_key[value] = self._new_element(key, value)
        return known

    def add(self, it: Transaction) -> None:
        """Take in a transaction. Raises `BadRequestError` for a micro-operation or a value that can't be judged."""
        transaction = len(self.names)
        self.names.append(it.name)
        self.outcomes.append(it.outcome)
        try:
            self.processes.append(it.process)
        except OverflowError:
            raise BadRequestError(f"{it.name} is by process {it.process}; processes are numbers of 64 bits") from None
        self.invoked_at.append(it.invoked_at)
        self.completed_at.append(it.completed_at)
        is_ok, is_list = it.outcome == "ok", self.mode == "list-append"
        write = "append" if is_list else "w"
        written: dict[int, int] = {}
        for f, key, value in it.micros:
            if (kind := type(key)) is not int and kind is not str:
                key = identity(key)
            key_id = self._key_ids.get(key)
            if key_id is None:
                key_id = self.key_id(key)
            if f == "r":
                if is_ok:
                    element = self._read_list(transaction, key_id, value) if is_list else self._read(key_id, value)
                    self.micros.append(element * 2)
            elif f == write:
                if value is None and not is_list:
                    raise BadRequestError(_told_nothing(it, key))
                element = self.element_id(key_id, identity(value))
                if self.writers[element] != NOBODY:
                    raise BadRequestError(self._told_twice(it, key, value, element))
                self.writers[element] = transaction
                if key_id in written:
                    self.next_own[written[key_id]] = element
                written[key_id] = element
                self.micros.append(element * 2 + 1)
            else:
                raise BadRequestError(_told_strange(it, f, self.mode))
        self.micros_start.append(len(self.micros))
        if is_ok and len(it.micros) > 1:
            self.wrong += wrong_inside(transaction, it.micros, is_list=is_list)

    def _told_twice(self, it: Transaction, key: Any, value: Any, element: int) -> str:
        other = self.names[self.writers[element]]
        return (
            f"{it.name} writes {value!r} to {key!r}, as {other} does; who saw which can't be told. "
            f"Write every value only once a key"
        )

    def _read(self, key: int, value: Any) -> int:
        if value is None:
            return self.initial_of[key]
        element = self.element_id(key, identity(value))
        self.is_seen[element] = 1
        return element

    def _read_list(self, transaction: int, key: int, value: Any) -> int:
        if value is None or value == []:
            return self.initial_of[key]
        if not isinstance(value, list):
            told = f"{self.names[transaction]} reads {value!r} at {self.keys[key]!r}, where lists are appended to"
            raise BadRequestError(f"{told}; a read of such a key is a list, or null")
        value = identities(value)
        longest, length = self.orders[key], len(value)
        if length <= len(longest):
            if longest[:length] != value:
                self._note_incompatible(transaction, key, value)
        else:
            if value[: len(longest)] != longest:
                before = Incompatible(self.longest_readers[key], key, longest)
                self._note_duplicates(transaction, key, value)
                self.incompatible.append(before)
            elif len(set(value)) < length:
                self._note_duplicates(transaction, key, value)
            self.orders[key] = value
            self.longest_readers[key] = transaction
        last = value[-1]
        return self.element_id(key, last)

    def _note_incompatible(self, transaction: int, key: int, value: list[Any]) -> None:
        self._note_duplicates(transaction, key, value)
        self.incompatible.append(Incompatible(transaction, key, value))

    def _note_duplicates(self, transaction: int, key: int, value: list[Any]) -> None:
        twice = sorted({str(it) for it in value if value.count(it) > 1}) if len(set(value)) < len(value) else []
        if twice:
            expected = f"each element once, not {', '.join(twice)} more than once"
            self.wrong.append(Wrong("duplicate-elements", transaction, self.keys[key], expected, shown(value)))

    def without_predicates(self) -> Observations:
        """The same without what only scans saw to be absent."""
        fewer = copy.copy(self)
        fewer.micros, fewer.micros_start = array("q"), array("q", [0])
        for it in range(len(self)):
            mine = self.micros[self.micros_start[it] : self.micros_start[it + 1]]
            fewer.micros.extend(one for one in mine if one & 1 or (it, one >> 1) not in self.seen_by_scans)
            fewer.micros_start.append(len(fewer.micros))
        fewer.seen_by_scans = set()
        return fewer

    # When all are in

    def finish(self) -> None:
        """Mark what was seen."""
        for key, order in enumerate(self.orders):
            self._see(key, order)
        for it in self.incompatible:
            self._see(it.key, it.value)

    def _see(self, key: int, values: list[Any]) -> None:
        for value in values:
            self.is_seen[self.element_id(key, value)] = 1


def observe(transactions: Iterable[Transaction]) -> Observations:
    """The columns of a history. Raises `BadRequestError` for one that holds what can't be judged."""
    transactions = iter(transactions)
    first: list[Transaction] = []
    mode: Mode | None = None
    for it in transactions:
        first.append(it)
        mode = _mode_of(it)
        if mode is not None:
            break
    observations = Observations(mode or _mode_of_reads(first))
    every = chain(first, transactions)
    for it in every:
        if SCAN in [f for f, _, _ in it.micros]:
            _add_with_scans(observations, [it, *every])
            break
        observations.add(it)
    observations.finish()
    return observations


def _add_with_scans(observations: Observations, transactions: list[Transaction]) -> None:
    for it, absent in scanned(transactions, observations.keys):
        observations.add(it)
        at = len(observations) - 1
        observations.seen_by_scans |= {(at, observations.initial_of[observations.key_id(key)]) for key in absent}


def _told_nothing(it: Transaction, key: Any) -> str:
    return (
        f"{it.name} writes null to {key!r}; a read of that can't be told from one before any write. "
        f"Write other values to registers"
    )


def _mode_of(it: Transaction) -> Mode | None:
    for f, _, _ in it.micros:
        if f == "append":
            return "list-append"
        if f == "w":
            return "register"
    return None


def _mode_of_reads(read: list[Transaction]) -> Mode:
    """Where nobody writes, what was read tells."""
    are_lists = any(isinstance(value, list) for it in read for f, _, value in it.micros if f != SCAN)
    return "list-append" if are_lists else "register"


def _told_strange(it: Transaction, f: str, mode: Mode) -> str:
    if f in ("append", "w"):
        return f"{it.name} holds {f!r} in a {mode} history; {_APART}"
    return f"{it.name} holds {f!r}; what can be judged are 'append', 'w', 'r' and 'scan'"
