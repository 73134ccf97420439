"""Seed after seed for as long as was asked; stops at the first difference, whose seed it prints.

python -m tests.redis.differential [--budget-s 600] [--seed 1]
"""

from __future__ import annotations

import argparse
import time
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
from hypothesis.stateful import run_state_machine_as_test

from ..servers import our_server, real_redis
from .machine import Twins

_SETTINGS = hypothesis.settings(
    database=None,
    deadline=None,
    max_examples=50,
    stateful_step_count=80,
    suppress_health_check=list(hypothesis.HealthCheck),
    print_blob=True,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget-s", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ends_at = time.monotonic() + options.budget_s
    with TemporaryDirectory() as folder, real_redis(Path(folder)) as redis, our_server(Path(folder)) as ours:
        for seed in count(options.seed):
            print(f"seed {seed}", flush=True)
            _run(seed, type("Meeting", (Twins,), {"places": (redis, ours)}))
            if time.monotonic() > ends_at:
                return


def _run(seed: int, machine: type[Twins]) -> None:
    run_state_machine_as_test(hypothesis.seed(seed)(machine), settings=_SETTINGS)


if __name__ == "__main__":
    main()
