"""Choosing: who takes the next step. By chance, by a plan, or each way in turn.

    Uniform      every client that could go on is as likely as the others: good at much switching
    Priorities   the client of the highest priority goes on, and a few times, at steps drawn beforehand, the running
                 one falls to the bottom: finds a bug that needs d switches at the right steps with a chance of at
                 least 1 / (n * k ** (d - 1)), n clients and k steps, however the program is made (PCT: Burckhardt et
                 al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010)
    Planned      a schedule that was written down
    Every        depth first, each schedule once; or those with few preemptions (Musuvathi and Qadeer, "Iterative
                 Context Bounding", PLDI 2007); or one of those that differ only in the order of steps that have
                 nothing to do with each other (sleep sets: Godefroid, "Partial-Order Methods", 1996)

A *preemption* takes the baton from a client that could have gone on. A schedule is the numbers of the clients, step
by step; written down, `t1*2 t2*3 t1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from random import Random
from typing import TypeAlias

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.schedule.interleaver import Operation

__all__ = [
    "Every",
    "NotRepeatableError",
    "Planned",
    "Priorities",
    "RedundantError",
    "Schedule",
    "Uniform",
    "parse_schedule",
    "written",
]

Schedule: TypeAlias = tuple[int, ...]

_RUN = re.compile(r"(?P<name>\S+?)(?:\*(?P<times>[1-9][0-9]*))?")


class NotRepeatableError(Exception):
    """The same choices led to other operations."""


class RedundantError(Exception):
    """Whatever followed now, a schedule like it was played before."""


class Uniform:
    """Every client that could go on is as likely as the others."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def __call__(self, pending: Mapping[int, Operation], last: int | None) -> int:
        return self._random.choice(list(pending))


class Priorities:
    """The highest priority goes on; at `depth - 1` steps out of `steps` the running client's becomes the lowest."""

    def __init__(self, random: Random, clients: Sequence[int], steps: int, depth: int) -> None:
        order = random.sample(list(clients), len(clients))
        self._priority = {client: depth + place for place, client in enumerate(order)}
        changes = random.sample(range(steps), min(depth - 1, steps))
        self._lowered = {step: depth - 1 - place for place, step in enumerate(changes)}
        self._step = 0

    def __call__(self, pending: Mapping[int, Operation], last: int | None) -> int:
        chosen = max(pending, key=self._priority.__getitem__)
        if self._step in self._lowered:
            self._priority[chosen] = self._lowered[self._step]
            chosen = max(pending, key=self._priority.__getitem__)
        self._step += 1
        return chosen


class Planned:
    """The plan's clients in its order, those that can't go on left out; then everybody to his end, in order."""

    def __init__(self, plan: Iterable[int]) -> None:
        self._left = iter(plan)

    def __call__(self, pending: Mapping[int, Operation], last: int | None) -> int:
        planned = next((client for client in self._left if client in pending), None)
        if planned is not None:
            return planned
        return last if last is not None and last in pending else min(pending)


class _Node:
    """A choice that was made, and those that may still be made in its place."""

    __slots__ = ("asleep", "chosen", "left", "operations", "preemptions")

    def __init__(self, operations: dict[int, Operation], preemptions: int, asleep: set[int]) -> None:
        self.operations = operations
        self.preemptions = preemptions  # before this choice
        self.asleep = asleep  # whose steps here lead to nothing new
        self.chosen: int | None = None
        self.left: list[int] = []


class Every:
    """Each schedule once, with `preemptions_max` at most, or, `reduced`, one of each class. Call `advance` after each.

    `reduced` holds for clients that know of each other through the database alone.
    """

    def __init__(self, *, preemptions_max: int | None = None, reduced: bool = False) -> None:
        if reduced and preemptions_max is not None:
            raise BadRequestError("reduced and preemptions exclude each other: classes know no preemptions")
        self._preemptions_max = preemptions_max
        self._reduced = reduced
        self._path: list[_Node] = []
        self._at = 0

    def __call__(self, pending: Mapping[int, Operation], last: int | None) -> int:
        if self._at == len(self._path):
            self._path.append(self._node(pending, last))
        node = self._path[self._at]
        if node.operations != pending:
            raise NotRepeatableError(_difference(node.operations, pending))
        if node.chosen is None:
            raise RedundantError
        self._at += 1
        return node.chosen

    def advance(self) -> bool:
        """Go on to the next schedule; whether there is one."""
        self._at = 0
        while self._path:
            node = self._path[-1]
            if node.chosen is not None:
                node.asleep.add(node.chosen)
            if node.left:
                node.chosen = node.left.pop(0)
                return True
            self._path.pop()
        return False

    def _node(self, pending: Mapping[int, Operation], last: int | None) -> _Node:
        before = self._path[-1] if self._path else None
        node = _Node(dict(pending), self._preemptions(before), self._asleep(before))
        goes_on = [last] if last is not None and last in pending else []
        others = [client for client in pending if client != last]
        may_switch = not goes_on or self._preemptions_max is None or node.preemptions < self._preemptions_max
        node.left = [client for client in (goes_on + others if may_switch else goes_on) if client not in node.asleep]
        node.chosen = node.left.pop(0) if node.left else None
        return node

    def _preemptions(self, before: _Node | None) -> int:
        if before is None:
            return 0
        last = self._path[-2].chosen if len(self._path) > 1 else None
        return before.preemptions + (last is not None and last in before.operations and before.chosen != last)

    def _asleep(self, before: _Node | None) -> set[int]:
        """Who slept and was not woken by the step just taken."""
        if before is None or before.chosen is None or not self._reduced:
            return set()
        done = before.operations[before.chosen].touch
        return {it for it in before.asleep if before.operations[it].touch.is_independent_of(done)} - {before.chosen}


def _difference(before: Mapping[int, Operation], now: Mapping[int, Operation]) -> str:
    def told(pending: Mapping[int, Operation]) -> str:
        return ", ".join(operation.text for operation in pending.values()) or "nothing"

    return f"the same steps led to other operations: {told(before)} once, {told(now)} now"


def written(schedule: Iterable[int], names: Sequence[str]) -> str:
    """The schedule, written down.

    >>> written((0, 0, 1, 1, 1, 0), ["t1", "t2"])
    't1*2 t2*3 t1'
    """
    runs = ((names[client], len(list(steps))) for client, steps in groupby(schedule))
    return " ".join(name if times == 1 else f"{name}*{times}" for name, times in runs)


def parse_schedule(text: str, names: Sequence[str]) -> Schedule:
    """The schedule that was written down. Raises `BadRequestError`.

    >>> parse_schedule("t1*2 t2*3 t1", ["t1", "t2"])
    (0, 0, 1, 1, 1, 0)
    """
    schedule: list[int] = []
    for word in text.split():
        found = _RUN.fullmatch(word)
        if found is None or found["name"] not in names:
            raise BadRequestError(f"a schedule is like {names[0]}*2 {names[-1]}*3; {word!r} names no client of {names}")
        schedule += [names.index(found["name"])] * int(found["times"] or 1)
    return tuple(schedule)
