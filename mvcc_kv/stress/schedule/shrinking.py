"""Shrinking: of a schedule that fails, the one that shows it best.

    found     t1 t2 t1 t3 t2 t1 t3 t1 t2
    without   t1 t2 t1    t2 t1    t1 t2      a client that isn't needed (t3)
    merged    t1*2 t2*3 t1*2                  runs of steps joined with another of the same client, while it still fails
    searched  all schedules with fewer preemptions, as far as the budget reaches

What counts is, first, how often another client goes on, then the number of steps.

A client may be left out only if what remains is right when it runs one after the other, in every order. Otherwise the
check would fail because somebody is missing, and not because of how the others meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, groupby, islice, pairwise, permutations
from typing import TypeAlias

from mvcc_kv.stress.schedule.choosing import Every, NotRepeatableError, Planned, Schedule
from mvcc_kv.stress.schedule.interleaver import Choose, Operation
from mvcc_kv.stress.schedule.program import Run

__all__ = ["BUDGET_RUNS", "Shrinking"]

BUDGET_RUNS = 1000
_ORDERS_MAX = 24
_SEARCH_RUNS = 300

_Play: TypeAlias = "Callable[[Choose, Schedule], Run]"


class Shrinking:
    """Shrinks one failing run. `runs`: how many were played for that."""

    def __init__(self, play: _Play, found: Run, budget_runs: int = BUDGET_RUNS) -> None:
        self._play = play
        self._best = found
        self._failure = found.failure
        self._budget_runs = budget_runs
        self.runs = 0

    def result(self) -> Run | None:
        """The smallest that was found; None if it didn't fail again: it depends on more than the schedule."""
        if not self._improves(self._best.schedule, self._best.clients, at_any_cost=True):
            return None
        if not self._fails_in_order(self._best.clients):
            self._leave_clients_out()
            self._merge()
            self._search_fewer_preemptions()
        return self._best

    def _try(self, choose: Choose, clients: Schedule) -> Run | None:
        """The run, if it fails in the same way."""
        if self.runs >= self._budget_runs:
            return None
        self.runs += 1
        run = self._play(choose, clients)
        return run if run.failure is not None and run.failure.is_like(self._failure) else None

    def _improves(self, plan: Schedule, clients: Schedule, *, at_any_cost: bool = False) -> bool:
        run = self._try(Planned(plan), clients)
        if run is None or not (at_any_cost or run.cost < self._best.cost):
            return False
        self._best = run
        return True

    def _fails_in_order(self, clients: Schedule) -> bool:
        """Whether it fails even when they run one after the other; it is then the best there is."""
        for order in islice(permutations(clients), _ORDERS_MAX):
            run = self._try(_InOrder(order), clients)
            if run is not None:
                self._best = run
                return True
        return False

    def _is_right_in_order(self, clients: Schedule) -> bool:
        for order in islice(permutations(clients), _ORDERS_MAX):
            self.runs += 1
            if self._play(_InOrder(order), clients).failure is not None:
                return False
        return True

    def _leave_clients_out(self) -> None:
        for client in reversed(self._best.clients):
            rest = tuple(it for it in self._best.clients if it != client)
            if rest and self._is_right_in_order(rest):
                plan = tuple(it for it in self._best.schedule if it != client)
                if not self._improves(plan, rest, at_any_cost=True):
                    self._search(rest, preemptions_max=2, at_any_cost=True)

    def _merge(self) -> None:
        """Join runs of steps, one pair at a time, as long as that helps."""
        while any(self._improves(plan, self._best.clients) for plan in _merged(self._best.schedule)):
            pass

    def _search_fewer_preemptions(self) -> None:
        for preemptions_max in range(1, _preemptions(self._best.schedule)):
            if self._search(self._best.clients, preemptions_max=preemptions_max):
                return

    def _search(self, clients: Schedule, *, preemptions_max: int, at_any_cost: bool = False) -> bool:
        """Whether one of the schedules with so few preemptions fails, too."""
        every = Every(preemptions_max=preemptions_max)
        for _ in range(_SEARCH_RUNS):
            try:
                run = self._try(every, clients)
            except NotRepeatableError:
                return False
            if run is not None and (at_any_cost or run.cost < self._best.cost):
                self._best = run
                return True
            if not every.advance():
                return False
        return False


class _InOrder:
    """One after the other."""

    def __init__(self, order: Schedule) -> None:
        self._order = order

    def __call__(self, pending: Mapping[int, Operation], last: int | None) -> int:
        return next(client for client in self._order if client in pending)


def _merged(schedule: Schedule) -> Iterator[Schedule]:
    """The schedule with one of its runs moved to the next one, or the one before, of the same client.

    >>> [list(it) for it in _merged((0, 1, 1, 0))]
    [[1, 1, 0, 0], [0, 0, 1, 1]]
    """
    runs = [tuple(steps) for _, steps in groupby(schedule)]
    for at, run in enumerate(runs):
        later = next((n for n in range(at + 1, len(runs)) if runs[n][0] == run[0]), None)
        if later is not None:
            rest = runs[at + 1 : later]
            yield tuple(chain(*runs[:at], *rest, run, *runs[later:]))
            yield tuple(chain(*runs[: at + 1], runs[later], *rest, *runs[later + 1 :]))


def _preemptions(schedule: Schedule) -> int:
    """How often a client was kept from a step that it took later."""
    return sum(
        before != after and before in schedule[at + 1 :] for at, (before, after) in enumerate(pairwise(schedule))
    )
