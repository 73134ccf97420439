"""`python -m tests.mutants`: which workload finds which mutant, and how long that takes; 1 if one is not found."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from mvcc_kv.stress.workloads import WORKLOADS
from tests.mutants.running import Finding, try_to_find, unharmed
from tests.mutants.table import MUTANTS, Mutant


def main() -> int:
    """Run them and print the matrix as it comes about."""
    asked = _arguments()
    wanted = [mutant for mutant in MUTANTS if asked.only is None or asked.only in mutant.name]
    wanted = [mutant for mutant in wanted if "--embedded" in mutant.options or not asked.embedded]
    wanted = list(map(unharmed, wanted)) if asked.control else wanted
    missed = []
    with ThreadPoolExecutor(asked.jobs) as pool:
        for mutant, findings in zip(wanted, pool.map(lambda it: _findings(it, asked), wanted), strict=True):
            print(_row(mutant, findings), flush=True)
            if not any(it.is_found for it in findings):
                missed.append(mutant.name)
    if asked.control:
        print(f"{len(wanted) - len(missed)} false alarms in {len(wanted)} runs of the package as it is")
        return int(len(missed) < len(wanted))
    print(f"{len(wanted) - len(missed)} of {len(wanted)} found" + "".join(f"\nnot found: {name}" for name in missed))
    return 1 if missed or not wanted else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", help="those whose name holds this")
    parser.add_argument("--budget-s", type=float, default=60.0, help="how long one may take")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--workloads", default="", help="instead of the recorded one: some, with commas, or all")
    parser.add_argument("--embedded", action="store_true", help="those that need no server")
    parser.add_argument("--control", action="store_true", help="the same runs without the bugs: 1 for an alarm")
    parser.add_argument("--seconds", type=float, help="instead of the recorded ones")
    return parser.parse_args()


def _findings(mutant: Mutant, asked: argparse.Namespace) -> list[Finding]:
    names = list(WORKLOADS) if asked.workloads == "all" else [it for it in asked.workloads.split(",") if it]
    return [
        try_to_find(mutant, workload=name, seconds=asked.seconds, budget_s=asked.budget_s)
        for name in names or [mutant.workload]
    ]


def _row(mutant: Mutant, findings: list[Finding]) -> str:
    """A line of Markdown, and the words of the first violation below if only one workload was asked for."""
    told = ", ".join(f"{it.workload} {it.took_s:g} s" for it in findings if it.is_found) or "-"
    row = f"| {mutant.name} | {mutant.isolation} | {' '.join(mutant.options) or 'TCP'} | {mutant.seed} | {told} |"
    return row if len(findings) > 1 else f"{row}\n    {findings[0].status}: {findings[0].words}"


if __name__ == "__main__":
    sys.exit(main())
