"""The exploration: programs are played in their interleavings, and every history that comes of it is judged.

Many interleavings of a program give one history: the same order of STARTs and COMMITs, and everybody told the same.
A verdict depends on nothing else, so each history is judged once a program, however often it comes. The engine itself
is checked, when everybody is gone, once for each way in which its transactions ended.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import gcd
from random import Random
from typing import NamedTuple

from mvcc_kv.api import KeyRange
from mvcc_kv.engine import VersionedStore
from tests.explorer import interleavings
from tests.explorer.interleavings import Schedule
from tests.explorer.programs import KEYS, MODES, Mode, Program, Space, TransactionProgram
from tests.explorer.stage import SCAN_LIMIT, History, Outcome, Stage
from tests.explorer.verdict import fault

__all__ = ["Engine", "Exploration", "Finding", "Tally", "examine", "explore", "schedules", "smallest"]

Engine = Callable[[], VersionedStore]

EVERY_MAX = 40_000
"""Unless said otherwise, all interleavings of a program are run if there are no more."""

SMALLER_EVERY_MAX = 252
"""The same, where a program that shows a fault is made smaller."""


class Finding(NamedTuple):
    """A program, an order of its steps, and what was wrong."""

    program: Program
    schedule: Schedule
    problem: str


@dataclass
class Tally:
    """What was explored. `interleavings` were run; `represented` is how many there are of these programs."""

    programs: int = 0
    interleavings: int = 0
    represented: int = 0
    histories: int = 0
    commits: Counter[Mode] = field(default_factory=Counter)
    refusals: Counter[Mode] = field(default_factory=Counter)

    def count(self, program: Program, histories: dict[History, int]) -> None:
        """Take in a program, and how often each history came of it."""
        self.programs += 1
        self.interleavings += sum(histories.values())
        self.represented += interleavings.count(program.steps)
        self.histories += len(histories)
        for history, times in histories.items():
            for transaction, outcome in zip(program.transactions, history.outcomes, strict=True):
                ends = self.refusals if outcome.commit_ts is None else self.commits
                ends[transaction.mode] += times

    def add(self, other: Tally) -> None:
        """Take in what another counted."""
        self.programs += other.programs
        self.interleavings += other.interleavings
        self.represented += other.represented
        self.histories += other.histories
        self.commits += other.commits
        self.refusals += other.refusals

    def __str__(self) -> str:
        ends = [f"{mode} {self.commits[mode]:,} commits, {self.refusals[mode]:,} conflicts" for mode in MODES]
        run = f"{self.programs:,} programs, {self.interleavings:,} interleavings"
        if self.represented > self.interleavings:
            run += f" (for {self.represented:,})"
        return f"{run}, {self.histories:,} histories; " + "; ".join(ends)


def examine(
    program: Program, schedules: Iterable[Schedule], tally: Tally, engine: Engine = VersionedStore
) -> Finding | None:
    """Play a program in these orders; the first one that shows a fault, None if none does."""
    stage = Stage(program, engine)
    histories: dict[History, int] = {}
    ends: set[tuple[Outcome, ...]] = set()
    for schedule in schedules:
        try:
            history, store = stage.play(schedule)
            times = histories.get(history, 0)
            histories[history] = times + 1
            problem = None if times else fault(program, history)
            if problem is None and history.outcomes not in ends:
                ends.add(history.outcomes)
                problem = _unsound(store, history)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is to be shown with the program that led to it)
            problem = f"the engine raised {error!r}"
        if problem is not None:
            return Finding(program, schedule, problem)
    tally.count(program, histories)
    return None


def _unsound(store: VersionedStore, history: History) -> str | None:
    """What is wrong with the engine itself, now that everybody is gone."""
    store.check()
    items = tuple((key.encode(), value) for key, value in zip(KEYS, history.final, strict=True) if value is not None)
    page = store.scan(KeyRange(), limit=SCAN_LIMIT)
    if tuple(page.items) != items:
        return f"a scan says {page.items} when it is over, where reads say {items}"
    versions = store.stats()["versions"]
    return None if versions == len(items) else f"{versions} versions are kept of {len(items)} keys when it is over"


def schedules(program: Program, random: Random, *, every_max: int = EVERY_MAX) -> Iterable[Schedule]:
    """Every interleaving, if there are at most `every_max`; else one of each class."""
    if interleavings.count(program.steps) <= every_max:
        return interleavings.every(program.steps)
    return interleavings.representatives(program.steps, random)


class Exploration(NamedTuple):
    """What was explored, how many of the space's numbers that was, and what was found."""

    tally: Tally
    walked: int
    found: Finding | None


def explore(
    space: Space,
    *,
    seed: int,
    every_max: int = EVERY_MAX,
    programs_max: int | None = None,
    budget_s: float | None = None,
    share: tuple[int, int] = (0, 1),
    engine: Engine = VersionedStore,
) -> Exploration:
    """Walk a space until it is through, or something is found, or a limit is reached.

    A `share` of (1, 3) is the second third of it, for one of three processes with the same seed.
    """
    tally, random = Tally(), Random(seed)
    until = None if budget_s is None else time.monotonic() + budget_s
    walked = 0
    for number in islice(_walk(space.size, random), share[0], None, share[1]):
        if tally.programs == programs_max or (until is not None and time.monotonic() > until):
            return Exploration(tally, walked, None)
        walked += 1
        program = space.program(number)
        if program is None:
            continue
        found = examine(program, schedules(program, random, every_max=every_max), tally, engine)
        if found is not None:
            return Exploration(tally, walked, found)
    return Exploration(tally, walked, None)


def _walk(size: int, random: Random) -> Iterator[int]:
    """Every number below `size` once, in an order that goes all over the place from the beginning.

    >>> sorted(_walk(10, Random(1))) == list(range(10))
    True
    """
    stride = random.randrange(size) + 1
    while gcd(stride, size) != 1:
        stride += 1
    at = random.randrange(size)
    for _ in range(size):
        yield at
        at = (at + stride) % size


def smallest(finding: Finding, engine: Engine = VersionedStore) -> Finding:
    """What is left when everything is taken away without which there is a fault too."""
    random = Random(0)
    while True:
        tried = (_found(smaller, random, engine) for smaller in _smaller(finding.program))
        found = next((found for found in tried if found is not None), None)
        if found is None:
            return finding
        finding = found


def _found(program: Program, random: Random, engine: Engine) -> Finding | None:
    return examine(program, schedules(program, random, every_max=SMALLER_EVERY_MAX), Tally(), engine)


def _smaller(program: Program) -> Iterator[Program]:
    """The program with one thing less."""
    present, transactions = program
    for t, transaction in enumerate(transactions):
        if len(transactions) > 1:
            yield Program(present, transactions[:t] + transactions[t + 1 :])
        for less in _less(transaction):
            yield Program(present, (*transactions[:t], less, *transactions[t + 1 :]))
    for key in present:
        yield Program(tuple(other for other in present if other != key), transactions)


def _less(transaction: TransactionProgram) -> Iterator[TransactionProgram]:
    mode, operations = transaction
    for at in range(len(operations)):
        yield TransactionProgram(mode, operations[:at] + operations[at + 1 :])
    if mode != "snapshot":
        yield TransactionProgram("snapshot" if mode == "serializable" else "serializable", operations)
