"""Which of the deliberate bugs the machine finds, and how soon: `make redis-mutants`; 1 if one is not found.

Each is put into a copy of the package, whose server then meets Redis in CI's own run: the same commands, unshrunk, up
to the first difference. What is found here would be found by CI.

    python -m tests.redis.differential.hunt [--only RENAME] [--seed 7]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ...e2e.processes import serving
from ...mutants.running import mutated
from ..servers import Place, real_redis
from .meeting import Meeting
from .mutants import MUTANTS, Mutant

__all__ = ["Finding", "hunt"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a mutant. `words`: the first difference; empty if there was none."""

    words: str
    said: int
    took_s: float


def hunt(mutant: Mutant, redis: Place, seed: int | None = None) -> Finding:
    """CI's run on the mutant, or a seed's."""
    words = ""
    with _serving(mutant) as place:
        meeting = Meeting(redis, place)
        try:
            meeting.go(seed, is_shrunk=False)
        except AssertionError as difference:
            words = str(difference).splitlines()[0]
    return Finding(words, meeting.said, meeting.took_s)


@contextmanager
def _serving(mutant: Mutant) -> Iterator[Place]:
    with (
        mutated(mutant) as package,
        serving("--in-memory", cwd=package, environment={"PYTHONPATH": str(package)}) as process,
    ):
        yield Place(*process.address, is_ours=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="those whose name holds this")
    parser.add_argument("--seed", type=int, help="instead of CI's run")
    asked = parser.parse_args()
    wanted = [mutant for mutant in MUTANTS if asked.only in mutant.name]
    missed = []
    with TemporaryDirectory() as folder, real_redis(Path(folder)) as redis:
        for mutant in wanted:
            finding = hunt(mutant, redis, asked.seed)
            print(f"| {mutant.name} | {finding.said} | {finding.took_s:.1f} s |\n    {finding.words}", flush=True)
            missed += [] if finding.words else [mutant.name]
    print(f"{len(wanted) - len(missed)} of {len(wanted)} found" + "".join(f"\nnot found: {name}" for name in missed))
    return 1 if missed or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
