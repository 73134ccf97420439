"""Counters by ADD, which merge and never conflict with each other.

    add      to both counters of a pair in one transaction, or to one that stands alone, by a command of its own
    bump     reads a counter, pauses, and adds to it: whoever reads as well as adds does conflict
    look     reads both of a pair, or the one

A counter is never below what was acknowledged before the look began, nor above what was begun before it ended and has
not failed. Both of a pair are always the same. No two that bump a counter have read the same sum. In the end the sum
of what was acknowledged is there, and of what is unknown at most all: an ADD that is lost shows as much as one that
was applied twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from mvcc_kv.api import Isolation
from mvcc_kv.stress.history import Micro
from mvcc_kv.stress.plan import Cells, Checked, KeyChoice, Operation, Plan, step_random
from mvcc_kv.stress.workloads.micro import perform

__all__ = ["Counters"]

_END = 1 << 62


@dataclass(frozen=True)
class Counters:
    """`keys` pairs of counters, and as many that stand alone."""

    prefix: str = "counters/"
    seed: int = 0
    keys: int = 3
    skew: float = 0.0
    by_max: int = 5
    read_share: float = 0.35
    rollback_share: float = 0.05
    name: str = "counters"

    def prepare(self, cells: Cells) -> None:
        """Nothing: a counter that isn't there is 0."""

    def plan(self, ticket: int) -> Plan:
        """Add, bump or look."""
        rng = step_random(self.seed, ticket)
        number, by = self._choice.pick(rng), rng.randint(1, self.by_max)
        pair = [f"{self.prefix}{number}/a", f"{self.prefix}{number}/b"]
        rng.shuffle(pair)
        alone, chance = f"{self.prefix}{number}/alone", rng.random()
        rolls_back = rng.random() < self.rollback_share
        if chance < self.read_share:
            if rng.random() < 0.4:
                return Plan("look", (("r", alone, None),), "auto")
            return Plan("look", tuple(("r", key, None) for key in pair), "read_only")
        if chance < self.read_share + 0.15:
            return Plan("bump", (("r", alone, None), ("add", alone, by)), rolls_back=rolls_back)
        if chance < self.read_share + 0.35:
            return Plan("add", (("add", alone, by),), "auto")
        return Plan("add", tuple(("add", key, by) for key in pair), rolls_back=rolls_back)

    def perform(self, cells: Cells, plan: Plan, pause: Callable[[], None]) -> list[Micro]:
        """Add and read; an addition by itself told its sum, which is a look too."""
        done: list[Micro] = []
        for f, key, value in perform(cells, plan.micros, pause):
            if isinstance(value, list):
                done += [(f, key, value[0]), ("sum", key, value[1])]
            else:
                done.append((f, key, value))
        return done

    def check(self, ops: Sequence[Operation], final: Mapping[str, Any], isolation: Isolation) -> Checked:
        """Each look lies between what was acknowledged and what was begun, and pairs are the same."""
        checked = Checked()
        bounds = _Bounds(ops)
        for op in ops:
            if op.type != "ok":
                continue
            for f, key, value in op.value:
                if f in ("r", "sum"):
                    checked.count("counters read")
                    low, high = bounds.at(key, op.invoked, op.completed)
                    _check_value(key, value or 0, low, high, f"event {op.completed}", checked)
            seen = [value or 0 for f, _, value in op.value if f == "r"]
            if len(set(seen)) > 1:
                checked.violated("torn pair", f"event {op.completed}: {op.value}")
        _check_bumps(ops, checked)
        for key in final.keys() | bounds.keys:
            low, high = bounds.at(key, _END, _END)
            _check_value(key, final.get(key, 0), low, high, "the end", checked)
            if key.endswith("/a") and final.get(key) != final.get(f"{key[:-1]}b"):
                checked.violated("torn pair", f"the end: {key} is {final.get(key)}, not {final.get(f'{key[:-1]}b')}")
        return checked

    @cached_property
    def _choice(self) -> KeyChoice:
        return KeyChoice(self.keys, self.skew)


def _check_value(key: str, value: int, low: int, high: int, where: str, checked: Checked) -> None:
    if value < low:
        checked.violated("lost write", f"{where}: {key} is {value}, and {low} was acknowledged before")
    elif value > high:
        checked.violated("applied twice", f"{where}: {key} is {value}, and no more than {high} can have been added")


def _check_bumps(ops: Sequence[Operation], checked: Checked) -> None:
    """Who read a sum and added to it had the sum to himself: no other one began between what he read and what he left.

    Sums only grow, so of two that read the same sum, or one within the other's step, one should have lost.
    """
    steps: dict[str, list[tuple[int, int, int]]] = {}
    for op in ops:
        if op.f == "bump" and op.type == "ok":
            (_, key, value), (_, _, by) = op.value
            steps.setdefault(key, []).append((value or 0, (value or 0) + by, op.completed))
    for key, found in steps.items():
        checked.count("counters bumped", len(found))
        found.sort()
        for (_, after, event), (before, _, other) in pairwise(found):
            if before < after:
                text = f"{key} was bumped to {after} (event {event}), and from {before} (event {other})"
                checked.violated("lost update", text)


class _Bounds:
    """How much was added to each key: acknowledged by a moment, and begun by a moment (and not failed)."""

    def __init__(self, ops: Sequence[Operation]) -> None:
        self._acknowledged = _Sums((op.completed, op) for op in ops if op.type == "ok")
        self._begun = _Sums((op.invoked, op) for op in ops if op.type != "fail")

    @property
    def keys(self) -> set[str]:
        return self._begun.keys

    def at(self, key: str, invoked: int, completed: int) -> tuple[int, int]:
        """The least and the most that a look may see which began and ended then."""
        return self._acknowledged.before(key, invoked), self._begun.before(key, completed)


class _Sums:
    """Running sums of what was added to each key, by moments."""

    def __init__(self, moments: Iterable[tuple[int, Operation]]) -> None:
        self._moments: dict[str, list[int]] = {}
        self._sums: dict[str, list[int]] = {}
        for moment, op in sorted(moments, key=lambda it: it[0]):
            for f, key, by in op.value:
                if f == "add":
                    sums = self._sums.setdefault(key, [0])
                    sums.append(sums[-1] + by)
                    self._moments.setdefault(key, []).append(moment)

    @property
    def keys(self) -> set[str]:
        return set(self._sums)

    def before(self, key: str, moment: int) -> int:
        """What was added to the key before that moment."""
        return self._sums[key][bisect_left(self._moments[key], moment)] if key in self._sums else 0
