"""What the operations mean: a transaction, on its own, on a dict.

This is what the isolation levels are defined in terms of; there are no versions in it, no timestamps, and nobody else.
`perform` runs a transaction's operations on a state and says

    after     the state that it leaves behind, if it is alone
    wrong     the first answer that it was given and that isn't what this state says
    writes    what it put, and what it deleted that was there; None for the latter
    adds      what it added to keys with which it did nothing else: neither read nor written by it
    reads     the keys on which its answers depended

A key that it put and deleted again, and that wasn't there before, was not written. But that it wasn't there is then
something that the transaction depends on, so it was read; so it is with a deletion that found nothing.
A page of a scan that has a `next` speaks of the part of the range before it, and only of that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeAlias

from mvcc_kv.api import KeyRange
from tests.explorer.programs import KEYS, Operation, TransactionProgram, amount
from tests.explorer.stage import Answer, PageAnswer

__all__ = ["Deed", "State", "perform"]

State: TypeAlias = "tuple[int | None, ...]"
"""What each key holds, in the order of KEYS; None if it isn't there."""


class Deed(NamedTuple):
    """What a transaction did on a state."""

    after: State
    wrong: str | None
    writes: dict[str, int | None]
    adds: dict[str, int]
    reads: frozenset[str]

    @property
    def written(self) -> frozenset[str]:
        return frozenset(self.writes) | frozenset(self.adds)

    def applied_to(self, state: State) -> State:
        """What another state becomes by this deed."""
        result = dict(zip(KEYS, state, strict=True)) | self.writes
        for key, by in self.adds.items():
            result[key] = (result[key] or 0) + by
        return tuple(result[key] for key in KEYS)


@lru_cache(10_000)
def perform(t: int, transaction: TransactionProgram, answers: tuple[Answer, ...], state: State) -> Deed:
    """Run transaction `t` on this state, and compare with the answers that it was given."""
    acting = _Acting(state)
    wrong = None
    for at, (operation, answer) in enumerate(zip(transaction.operations, answers, strict=True)):
        told = acting.take(operation, amount(t, at), answer)
        if told is not None and wrong is None:
            wrong = f"operation {at + 1}, {operation.verb} {operation.key}".rstrip() + f": {told}"
    return acting.deed(wrong)


class _Acting:
    """A transaction under way: what it sees, and what it touched."""

    def __init__(self, state: State) -> None:
        self._state = {key: value for key, value in zip(KEYS, state, strict=True) if value is not None}
        self._view = dict(self._state)
        self._assigned: set[str] = set()  # put, or deleted when it was there
        self._added: dict[str, int] = {}
        self._reads: set[str] = set()

    def take(self, operation: Operation, value: int, answer: Answer) -> str | None:
        """Do it; what is wrong with the answer, None if nothing is."""
        match operation.verb:
            case "GET":
                return self._get(operation.key, answer)
            case "PUT":
                self._assigned.add(operation.key)
                self._view[operation.key] = value
            case "ADD":
                self._added[operation.key] = self._added.get(operation.key, 0) + value
                self._view[operation.key] = self._view.get(operation.key, 0) + value
            case "DEL":
                return self._delete(operation.key, answer)
            case "SCAN":
                assert isinstance(answer, PageAnswer)
                return self._scan(operation, answer)
        return None

    def _get(self, key: str, answer: Answer) -> str | None:
        self._read(key)
        expected = self._view.get(key)
        return _unless(_number(answer) == expected, expected, answer)

    def _delete(self, key: str, answer: Answer) -> str | None:
        is_there = key in self._view
        if key not in self._state:
            self._reads.add(key)
        self._read(key)
        if is_there:
            self._assigned.add(key)
            del self._view[key]
        return _unless(answer is is_there, is_there, answer)

    def _scan(self, operation: Operation, page: PageAnswer) -> str | None:
        covered, problem = _covered(operation, page)
        keys = [key for key in KEYS if key.encode() in covered]
        for key in keys:
            self._read(key)
        expected = sorted(((key, self._view[key]) for key in keys if key in self._view), reverse=operation.reverse)
        return problem or _unless(_items(operation, page, expected), expected, page)

    def _read(self, key: str) -> None:
        if key not in self._assigned:
            self._reads.add(key)

    def deed(self, wrong: str | None) -> Deed:
        blind = self._added.keys() - self._assigned - self._reads
        writes = {
            key: self._view.get(key)
            for key in self._assigned | (self._added.keys() - blind)
            if key in self._view or key in self._state
        }
        adds = {key: self._added[key] for key in blind}
        return Deed(tuple(map(self._view.get, KEYS)), wrong, writes, adds, frozenset(self._reads))


def _number(answer: Answer) -> int | None:
    """The number that a value says; anything that isn't one is none that was ever written."""
    if not isinstance(answer, bytes):
        return None if answer is None else -1
    return int(answer) if answer.isdigit() else -1


def _unless(is_right: bool, expected: object, answer: object) -> str | None:
    return None if is_right else f"told {answer!r}, where {expected!r} is right"


def _covered(operation: Operation, page: PageAnswer) -> tuple[KeyRange, str | None]:
    """The part of the range that the page speaks of; and what is wrong with its limits."""
    keys = operation.range
    problem = None
    if operation.limit and len(page.items) > operation.limit:
        problem = f"told {len(page.items)} items at a limit of {operation.limit}"
    if page.next is None:
        return keys, problem
    if page.next not in keys or (page.next == keys.low and not operation.reverse):
        return keys, f"told to go on at {page.next!r}, which is no way on in {keys}"
    if operation.reverse:
        return KeyRange(start=page.next, end=keys.high), problem
    return KeyRange(start=keys.low, end=page.next), problem


def _items(operation: Operation, page: PageAnswer, expected: list[tuple[str, int]]) -> bool:
    """Whether the page holds these; values may be left out where only keys were asked for."""
    if [key.decode() for key, _ in page.items] != [key for key, _ in expected]:
        return False
    values = zip(page.items, expected, strict=True)
    return all(_number(item[1]) == value or (operation.keys_only and not item[1]) for item, (_, value) in values)
