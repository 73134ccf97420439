"""Choosing keeps its bounds: PCT's chance of a deep bug, and a plan is kept."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

from mvcc_kv.stress.schedule.choosing import Planned, Priorities, Uniform
from mvcc_kv.stress.schedule.interleaver import Choose, Operation, Touch

OPERATION = Operation("GET a", Touch.SEES)


def schedule(choose: Choose, steps: dict[int, int]) -> tuple[int, ...]:
    """What comes of so many steps of each client."""
    left = dict(steps)
    chosen: list[int] = []
    last: int | None = None
    while any(left.values()):
        last = choose({client: OPERATION for client, count in left.items() if count}, last)
        left[last] -= 1
        chosen.append(last)
    return tuple(chosen)


def test_priorities_find_a_deep_bug_as_often_as_the_paper_says() -> None:
    """A bug of depth 2: client 0 is kept from its 10th step until client 1 is through. Chance at least 1 / (n * k)."""
    random, tries = Random(1), 4000
    found = sum(
        schedule(Priorities(random, range(2), 30, 2), {0: 15, 1: 15}) == (0,) * 9 + (1,) * 15 + (0,) * 6
        for _ in range(tries)
    )
    assert found >= tries / (2 * 30) / 2, "half of what is expected, so that chance alone doesn't fail it"


def test_priorities_switch_as_often_as_their_depth_allows() -> None:
    for seed in range(200):
        chosen = schedule(Priorities(Random(seed), range(3), 30, 3), {0: 10, 1: 10, 2: 10})
        switches = sum(before != after for before, after in pairwise(chosen))
        assert switches <= 2 + 2


def test_priorities_know_of_fewer_steps_than_there_are() -> None:
    assert len(schedule(Priorities(Random(1), range(2), 1, 3), {0: 5, 1: 5})) == 10


def test_uniform_reaches_every_schedule_of_a_small_program() -> None:
    random = Random(2)
    seen = Counter(schedule(Uniform(random), {0: 2, 1: 2}) for _ in range(400))
    assert len(seen) == 6


def test_a_plan_leaves_out_who_is_through_and_ends_in_order() -> None:
    assert schedule(Planned((1, 1, 1, 1, 0)), {0: 2, 1: 2, 2: 1}) == (1, 1, 0, 0, 2)
