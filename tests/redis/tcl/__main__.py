"""Runs the units named, or all; prints what passed and fails if it is less than is on record."""

from __future__ import annotations

import sys

from .source import source
from .suite import Outcome, run
from .units import PASSED, SKIPPED


def main(units: list[str]) -> int:
    folder, total, are_good = source(), 0, True
    for unit in units or list(PASSED):
        outcome = run(unit, [skip.test for skip in SKIPPED if skip.unit == unit], folder)
        total += len(outcome.passed)
        are_good = _told(unit, outcome) and are_good
    print(f"{total} passed")
    return 0 if are_good else 1


def _told(unit: str, outcome: Outcome) -> bool:
    """Print it; whether it is as good as on record."""
    passed, failed, skipped = len(outcome.passed), len(outcome.failed), len(outcome.skipped)
    print(f"{unit:<14} {passed:>3} passed ({PASSED[unit]} on record), {failed} failed, {skipped} skipped", flush=True)
    for failure in outcome.failed:
        print(f"    {failure}")
    return not failed and passed >= PASSED[unit]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
