"""Stress for as long as you like: `make stress MINUTES=60`, or python -m tests.stress --minutes 60 --seed 7."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from .rounds import played


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mvcc-kv-stress-reports-"))
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes, reports in {folder}", flush=True)
    until_s = time.monotonic() + 60 * arguments.minutes
    steps = bad = 0
    for one, seed, summary in played(arguments.seed, folder):
        steps += sum(summary.outcomes.values())
        bad += summary.status != "held"
        print(f"{summary.status.upper():9} seed {seed}: {one}: {summary.commits} commits", flush=True)
        for told in [*summary.violations, *summary.reasons][:5]:
            print(f"          {told}", flush=True)
        if time.monotonic() > until_s:
            break
    print(f"{steps} steps, {bad} rounds that did not hold{f'; see {folder}' if bad else ''}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
