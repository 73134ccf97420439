"""Exploring: play schedule after schedule of a program, and shrink the first that fails.

By chance, the first ones are the clients one after the other, forwards and backwards, and then `Uniform` and
`Priorities` in turn: neither finds everything that the other does. Each schedule has its own random numbers, made from
the seed and its number, so the same seed tries the same schedules, however many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import comb, log10
from random import Random

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.schedule.choosing import (
    Every,
    NotRepeatableError,
    Planned,
    Priorities,
    RedundantError,
    Schedule,
    Uniform,
    parse_schedule,
)
from mvcc_kv.stress.schedule.interleaver import Choose
from mvcc_kv.stress.schedule.program import Program, Run, play
from mvcc_kv.stress.schedule.report import Finding, InterleavingError
from mvcc_kv.stress.schedule.shrinking import Shrinking

__all__ = ["EXHAUSTIVE_MAX", "SCHEDULES", "Explored", "explore_by_chance", "explore_every", "replay"]

SCHEDULES = 200
EXHAUSTIVE_MAX = 20_000
_DEPTHS = (2, 3)


@dataclass(frozen=True, slots=True)
class Explored:
    """What was tried, and all of it was right. `distinct`: schedules that differ; `steps_max`: the longest one's."""

    schedules: int
    distinct: int
    steps_max: int


class _Progress:
    """What was seen so far of a program's schedules."""

    def __init__(self, program: Program, origin: str, seed: int | None = None) -> None:
        self._program = program
        self._origin = origin
        self._seed = seed
        self._schedules = 0
        self._distinct: set[Schedule] = set()
        self._acted: set[int] = set()
        self.steps_max = 0

    def saw(self, run: Run) -> None:
        """Count it. Raises `InterleavingError` if it failed."""
        __tracebackhide__ = True  # here and below: for pytest, which then shows the test's own line
        self._schedules += 1
        self._distinct.add(run.schedule)
        self._acted.update(run.schedule)
        self.steps_max = max(self.steps_max, len(run.schedule))
        if run.failure is not None:
            finding = self._shrunk(run)
            assert finding.run.failure is not None
            raise InterleavingError(finding, self._program.names, self._seed) from finding.run.failure.error

    def explored(self) -> Explored:
        """Raises `BadRequestError` if a client never did anything."""
        idle = [name for n, name in enumerate(self._program.names) if n not in self._acted]
        if idle:
            raise BadRequestError(f"{', '.join(idle)} never used the database that was handed in: nothing was tested")
        return Explored(self._schedules, len(self._distinct), self.steps_max)

    def _shrunk(self, run: Run) -> Finding:
        assert run.failure is not None
        if run.failure.where == "stuck":  # each try would leave a thread behind, and take its time
            return Finding(run, self._schedules, run, 0, self._origin)
        shrinking = Shrinking(lambda choose, clients: play(self._program, choose, clients), run)
        return Finding(run, self._schedules, shrinking.result(), shrinking.runs, self._origin)


def explore_by_chance(program: Program, schedules: int, seed: int) -> Explored:
    """What was tried. Raises `InterleavingError` for a schedule that fails."""
    __tracebackhide__ = True
    progress = _Progress(program, f"{schedules} (seed {seed})", seed)
    for number in range(schedules):
        progress.saw(play(program, _chooser(program, number, seed, progress.steps_max)))
    return progress.explored()


def _chooser(program: Program, number: int, seed: int, steps: int) -> Choose:
    clients = range(len(program.clients))
    if number < 2:
        order = clients if number == 0 else reversed(clients)
        return Planned(client for client in order for _ in range(program.steps_max))
    random = Random(f"{seed}/{number}")
    if number % 2 == 0:
        return Uniform(random)
    return Priorities(random, clients, max(steps, 1), random.choice(_DEPTHS))


def explore_every(
    program: Program, schedules_max: int, *, preemptions_max: int | None = None, reduced: bool = False
) -> Explored:
    """What was tried: all there is. Raises `InterleavingError`, and `BadRequestError` if there is too much."""
    __tracebackhide__ = True
    progress = _Progress(program, "all")
    for number, run in enumerate(_every(program, Every(preemptions_max=preemptions_max, reduced=reduced))):
        if number >= schedules_max:
            raise _too_many(schedules_max, "and those tried were right")
        progress.saw(run)
        if number == 0 and preemptions_max is None and not reduced and (there := _orders(run.schedule)) > schedules_max:
            raise _too_many(schedules_max, f"about {_rounded(there)}")
    return progress.explored()


def _too_many(schedules_max: int, words: str) -> BadRequestError:
    return BadRequestError(
        f"there are more than {schedules_max} schedules, {words}; "
        "bound the preemptions (preemptions=2), leave steps out, or search by chance (exhaustive=False)"
    )


def _orders(schedule: Schedule) -> int:
    """In how many orders these steps can be taken, if each client takes as many in all of them.

    >>> _orders((0, 0, 1, 1))
    6
    """
    orders, before = 1, 0
    for steps in Counter(schedule).values():
        before += steps
        orders *= comb(before, steps)
    return orders


def _rounded(number: int) -> str:
    return f"{number:,}" if number < 10**9 else f"10^{log10(number):.0f}"


def _every(program: Program, every: Every) -> Iterator[Run]:
    while True:
        try:
            yield play(program, every)
        except RedundantError:
            pass
        except NotRepeatableError as error:
            raise BadRequestError(f"{error}; the code depends on something besides the schedule") from None
        if not every.advance():
            return


def replay(program: Program, schedule: str) -> Explored:
    """What was tried: this one schedule, not shrunk. Raises `InterleavingError` if it fails."""
    __tracebackhide__ = True
    run = play(program, Planned(parse_schedule(schedule, program.names)))
    if run.failure is not None:
        finding = Finding(run, 1, run, 0, "1 (a replay)")
        raise InterleavingError(finding, program.names, None) from run.failure.error
    return Explored(1, 1, len(run.schedule))
