"""`python -m tests.explorer`: explore what the budget allows, the small programs first; exit status 1 at a fault."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator

from tests.explorer import __doc__ as about
from tests.explorer.explore import EVERY_MAX, Finding, Tally, explore, smallest
from tests.explorer.programs import KEYS, Space
from tests.explorer.script import golden_script

SPACES = [
    (Space(2, 1), EVERY_MAX),
    (Space(2, 2), EVERY_MAX),
    (Space(3, 1), 0),
    (Space(3, 1), EVERY_MAX),
    (Space(2, 3), EVERY_MAX),
    (Space(2, 3), 0),
    (Space(3, 2), 0),
    (Space(2, 4, KEYS), 0),
    (Space(3, 3, KEYS), 0),
    (Space(3, 4, KEYS), 0),
]
"""What is explored, and up to how many interleavings are all run; else one of each class is."""


def main() -> None:
    arguments = _arguments()
    print(f"seed {arguments.seed}, {arguments.budget_s:g} s", flush=True)
    begun = time.monotonic()
    total = Tally()
    for tally, found in _explored(arguments, begun + arguments.budget_s):
        total.add(tally)
        if found is not None:
            _show(found)
            sys.exit(1)
    print(f"in all {time.monotonic() - begun:.1f} s: {total}")


def _explored(arguments: argparse.Namespace, until: float) -> Iterator[tuple[Tally, Finding | None]]:
    """Each space gets its share of what is left of the budget; who needs less leaves it to those after."""
    spaces = [(space, every) for space, every in SPACES if arguments.transactions in (None, space.transactions)]
    for at, (space, every_max) in enumerate(spaces):
        begun = time.monotonic()
        budget_s = (until - begun) / (len(spaces) - at)
        tally, part, found = explore(space, seed=arguments.seed, every_max=every_max, budget_s=budget_s)
        kind = "every interleaving" if every_max else "one interleaving of each class"
        print(f"{space.name}, {kind}: {_percent(part)} in {time.monotonic() - begun:.1f} s\n    {tally}", flush=True)
        yield tally, found


def _percent(part: float) -> str:
    return "all of them" if part == 1.0 else f"{part:.2%}" if part > 1e-4 else f"{part:.1e} of them"


def _show(found: Finding) -> None:
    print(f"FAULT: {found.problem}\nsmallest program with a fault:\n")
    found = smallest(found)
    print(golden_script(found.program, found.schedule, found.problem))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget-s", type=float, default=600.0, help="stop after about so many seconds")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--transactions", type=int, choices=(2, 3), help="only programs of so many")
    return parser.parse_args()


if __name__ == "__main__":
    main()
