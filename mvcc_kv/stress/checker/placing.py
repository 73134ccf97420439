"""Placing: is there an order of the transactions that explains what was read?

For registers the order of a key's versions isn't seen, and to find one that explains all is NP-hard in general. But as
much was done one after the other by each of a few clients, and which steps are done decides what can follow: a
version that is still to be read is the newest, or the order is lost already. So the search goes over sets of steps
done, and remembers those from which there is no way on (Biswas and Enea, "On the Complexity of Checking Transactional
Consistency", OOPSLA 2019).

    serializable         a transaction is one step: it reads the newest versions and writes its own
    prefix               two steps, first the reads and later the writes
    snapshot-isolation   two steps, and the keys that it will write are locked in between: nobody else may write them

A step can be taken when all that must be before it is done, and no version that it overwrites is still to be read by
others. Some steps can be taken at once without a thought, as whatever order there is from here stays one with them
moved to its front:

    reads that lock nothing                     they only take readers away
    writes of keys that it had locked           nobody could write these in between anyway
    writes that nobody reads, or whose key nobody else is still to write

The rest are tried in the order in which they came about; a correct history is mostly gone through without ever
turning back.

A set of steps done is known by the exclusive or of a random number of 128 bits for each: that two of them
coincide is less likely than that the machine errs.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

__all__ = ["BUDGET_STEPS", "Step", "can_be_placed"]

BUDGET_STEPS = 400_000


@dataclass(slots=True)
class Step:
    """Versions read; keys with the version written at each; keys locked before and freed after; who waits for it.

    `at` is when it came about, as far as that can be guessed.
    """

    at: int
    reads: Sequence[int] = ()
    writes: Sequence[tuple[int, int]] = ()
    locks: Sequence[int] = ()
    frees: Sequence[int] = ()
    then: list[int] = field(default_factory=list)


class _Frame(NamedTuple):
    """A place to turn back to: how much was done there, which set it was, and what else can be tried."""

    done: int
    mark: int
    options: Iterator[int]


def can_be_placed(
    steps: Sequence[Step], initial: Sequence[int], *, budget: int = BUDGET_STEPS, window: int | None = None
) -> bool | None:
    """Whether the steps have an order, where `initial` are the keys' first versions; None if the budget didn't last.

    With a `window` only so many steps are looked at of those that are ready, the earliest: where many overlap that
    finds most orders at once, and where it finds none that says nothing (None).

    Cost: steps tried times those that are looked at.
    """
    found = _Placing(steps, initial, budget, window).run()
    return None if window is not None and not found else found


class _Placing:
    def __init__(self, steps: Sequence[Step], initial: Sequence[int], budget: int, window: int | None) -> None:
        self._steps = steps
        self._window = window
        self._newest = list(initial)
        self._budget = budget
        self._unread: dict[int, int] = {}
        self._writers_left = [0] * len(initial)
        self._waiting_for = [0] * len(steps)
        for step in steps:
            for version in step.reads:
                self._unread[version] = self._unread.get(version, 0) + 1
            for key, _ in step.writes:
                self._writers_left[key] += 1
            for other in step.then:
                self._waiting_for[other] += 1
        self._locked = [False] * len(initial)
        self._ready = sorted((it for it, n in enumerate(self._waiting_for) if not n), key=self._when)
        self._done: list[tuple[int, tuple[int, ...]]] = []
        self._mark = 0
        random = Random(len(steps))
        self._marks = [random.getrandbits(128) for _ in steps]
        self._dead: set[int] = set()

    def _when(self, step: int) -> int:
        return self._steps[step].at

    def run(self) -> bool | None:
        frames: list[_Frame] = []
        while True:
            self._take_what_is_safe()
            if len(self._done) == len(self._steps):
                return True
            options = [] if self._mark in self._dead else [it for it in self._ready[: self._window] if self._can(it)]
            frames.append(_Frame(len(self._done), self._mark, iter(options)))
            if not self._turn(frames):
                return False
            if self._budget <= 0:
                return None

    def _turn(self, frames: list[_Frame]) -> bool:
        """Go on with the next thing to try; False if there is none anywhere."""
        while frames:
            frame = frames[-1]
            while len(self._done) > frame.done:
                self._undo()
            option = next(frame.options, None)
            if option is not None:
                self._do(option)
                return True
            self._dead.add(frame.mark)
            frames.pop()
        return False

    def _take_what_is_safe(self) -> None:
        found = True
        while found:
            found = False
            for step in self._ready[: self._window]:
                self._budget -= 1
                if self._is_safe(step) and self._can(step):
                    self._do(step)
                    found = True

    def _can(self, step: int) -> bool:
        """Whether it overwrites nothing that others are still to read, and no lock is in its way."""
        it = self._steps[step]
        if any(self._locked[key] for key in it.locks):
            return False
        for key, _ in it.writes:
            if self._locked[key] and key not in it.frees:
                return False
            newest = self._newest[key]
            if self._unread.get(newest, 0) > (newest in it.reads):
                return False
        return True

    def _is_safe(self, step: int) -> bool:
        it = self._steps[step]
        if it.locks:
            return False
        if it.frees:
            return True
        return all(not self._unread.get(version) or self._writers_left[key] == 1 for key, version in it.writes)

    def _do(self, step: int) -> None:
        it = self._steps[step]
        self._ready.remove(step)
        for version in it.reads:
            self._unread[version] -= 1
        for key in it.locks:
            self._locked[key] = True
        for key in it.frees:
            self._locked[key] = False
        before = tuple(self._newest[key] for key, _ in it.writes)
        for key, version in it.writes:
            self._newest[key] = version
            self._writers_left[key] -= 1
        for other in it.then:
            self._waiting_for[other] -= 1
            if not self._waiting_for[other]:
                insort(self._ready, other, key=self._when)
        self._done.append((step, before))
        self._mark ^= self._marks[step]

    def _undo(self) -> None:
        step, before = self._done.pop()
        it = self._steps[step]
        self._mark ^= self._marks[step]
        for other in it.then:
            if not self._waiting_for[other]:
                self._ready.remove(other)
            self._waiting_for[other] += 1
        for (key, _), version in zip(it.writes, before, strict=True):
            self._newest[key] = version
            self._writers_left[key] += 1
        for key in it.frees:
            self._locked[key] = True
        for key in it.locks:
            self._locked[key] = False
        for version in it.reads:
            self._unread[version] += 1
        insort(self._ready, step, key=self._when)
