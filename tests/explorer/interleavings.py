"""Interleavings: every order of the transactions' steps that keeps each transaction's own.

A schedule names, step by step, the transaction that takes its next one: (0, 1, 1, 0, ...).

    every            all of them: two transactions of four operations have 924, three of one have 1,680
    representatives  one of each class: two schedules are in one class if they differ only in the order of steps
                     that follow each other and none of which is a COMMIT

Three transactions of four operations have 17 million schedules, but 756 classes. What is not a COMMIT changes nothing
that another transaction may see; that this is so is part of what `every` shows, for all the programs that it is run
on. Each representative is drawn from its class by chance, so a breach in a larger program isn't out of reach either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations, product
from math import factorial, prod
from random import Random
from typing import TypeAlias

__all__ = ["Schedule", "count", "every", "representatives"]

Schedule: TypeAlias = tuple[int, ...]


def count(steps: Sequence[int]) -> int:
    """How many schedules there are for transactions of so many steps.

    >>> count((6, 6)), count((3, 3, 3)), count((6, 6, 6))
    (924, 1680, 17153136)
    """
    return factorial(sum(steps)) // prod(map(factorial, steps))


@cache
def every(steps: tuple[int, ...]) -> tuple[Schedule, ...]:
    """All schedules, in order.

    >>> every((2, 1))
    ((0, 0, 1), (0, 1, 0), (1, 0, 0))
    """
    return tuple(_continued((), steps))


def _continued(begun: Schedule, left: tuple[int, ...]) -> Iterator[Schedule]:
    if not any(left):
        yield begun
    for t, steps in enumerate(left):
        if steps:
            yield from _continued((*begun, t), (*left[:t], steps - 1, *left[t + 1 :]))


def representatives(steps: tuple[int, ...], random: Random) -> Iterator[Schedule]:
    """One schedule, any, of each class.

    >>> [len(list(representatives(steps, Random(1)))) for steps in [(6, 6), (3, 3, 3), (6, 6, 6)]]
    [12, 108, 756]
    """
    for order in permutations(range(len(steps))):
        cuts = [_splits(steps[t] - 1, place + 1) for place, t in enumerate(order)]
        for parts in product(*cuts):
            yield _schedule(order, parts, random)


def _schedule(order: tuple[int, ...], parts: tuple[tuple[int, ...], ...], random: Random) -> Schedule:
    """COMMITs in this order; of the other steps of the n-th to commit, `parts[n][m]` before the m-th COMMIT."""
    schedule: list[int] = []
    for place, t in enumerate(order):
        between = [u for later in range(place, len(order)) for u in [order[later]] * parts[later][place]]
        random.shuffle(between)
        schedule += [*between, t]
    return tuple(schedule)


@cache
def _splits(total: int, parts: int) -> tuple[tuple[int, ...], ...]:
    """Every way to cut `total` into so many parts, any of which may be 0."""
    if parts == 1:
        return ((total,),)
    return tuple((first, *rest) for first in range(total + 1) for rest in _splits(total - first, parts - 1))
