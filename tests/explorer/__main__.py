"""`python -m tests.explorer`: explore what the budget allows, the small programs first; exit status 1 at a fault."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial

from tests.explorer import __doc__ as about
from tests.explorer.explore import EVERY_MAX, Exploration, Finding, Tally, explore, smallest
from tests.explorer.programs import KEYS, Space
from tests.explorer.script import golden_script

SPACES = [
    (Space(2, 1), EVERY_MAX, 10),
    (Space(3, 1, KEYS[:1]), EVERY_MAX, 10),
    (Space(3, 1), 0, 20),
    (Space(2, 2), 0, 20),
    (Space(2, 2), EVERY_MAX, 30),
    (Space(3, 1), EVERY_MAX, 5),
    (Space(2, 3), 0, 5),
    (Space(3, 2, KEYS[:1]), 0, 3),
    (Space(3, 2), 0, 3),
    (Space(2, 4, KEYS), 0, 3),
    (Space(3, 3, KEYS), 0, 3),
    (Space(3, 4, KEYS), 0, 3),
]
"""What is explored; up to how many interleavings of a program are all run (where it has more, one of each class); and
how much of the time it may take, in comparison with those after it. With some minutes the first ones get done.
"""


def main() -> None:
    arguments = _arguments()
    print(f"seed {arguments.seed}, {arguments.budget_s:g} s, {arguments.jobs} processes", flush=True)
    begun = time.monotonic()
    total = Tally()
    for explored in _explored(arguments, begun + arguments.budget_s):
        total.add(explored.tally)
        if explored.found is not None:
            _show(explored.found)
            sys.exit(1)
    print(f"in all {time.monotonic() - begun:.1f} s: {total}")


def _explored(arguments: argparse.Namespace, until: float) -> Iterator[Exploration]:
    """Each space gets its share of what is left of the budget; what it doesn't need is left to those after."""
    spaces = [row for row in SPACES if arguments.transactions in (None, row[0].transactions)]
    with ProcessPoolExecutor(arguments.jobs) as processes:
        for at, (space, every_max, weight) in enumerate(spaces):
            begun = time.monotonic()
            budget_s = (until - begun) * weight / sum(row[2] for row in spaces[at:])
            walk = partial(explore, space, seed=arguments.seed, every_max=every_max, budget_s=budget_s)
            explored = _together(walk, processes, arguments.jobs)
            print(_line(space, every_max, explored, time.monotonic() - begun), flush=True)
            yield explored


def _together(walk: partial[Exploration], processes: Executor, jobs: int) -> Exploration:
    """The space, walked by all processes at once, each taking a share of it."""
    running = [processes.submit(walk, share=(job, jobs)) for job in range(jobs)]
    tally, walked, found = Tally(), 0, None
    for explored in (done.result() for done in running):
        tally.add(explored.tally)
        walked += explored.walked
        found = found or explored.found
    return Exploration(tally, walked, found)


def _line(space: Space, every_max: int, explored: Exploration, took_s: float) -> str:
    kind = "every interleaving" if every_max else "one interleaving of each class"
    part = explored.walked / space.size
    covered = "all" if explored.walked == space.size else f"{part:.2%}" if part > 1e-4 else f"{part:.1e}"
    return f"{space.name}, {kind}: {covered} of them in {took_s:.1f} s\n    {explored.tally}"


def _show(found: Finding) -> None:
    print(f"FAULT: {found.problem}\nThe smallest program that shows a fault:\n")
    found = smallest(found)
    print(golden_script(found.program, found.schedule, found.problem))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget-s", type=float, default=600.0, help="stop after about so many seconds")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--transactions", type=int, choices=(2, 3), help="only programs of so many")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that share the work")
    return parser.parse_args()


if __name__ == "__main__":
    main()
