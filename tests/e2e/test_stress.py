"""Stress, about a minute of it, over every front, at both levels, with every fault: nothing may be found.

`make stress MINUTES=n` is the long one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.stress.rounds import SHORT, Round, steps_checked

SEED = 20261123
_CHECKED: list[int] = []

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="apt-get install strace")


@needs_strace
@pytest.mark.parametrize("number", range(len(SHORT)))
def test_no_anomaly_is_found(number: int, tmp_path: Path) -> None:
    one = SHORT[number % len(SHORT)]
    print(f"seed {SEED + number}, {one}")
    summary = one.play(SEED + number, tmp_path)
    assert (summary.status, summary.violations, summary.reasons) == ("held", [], [])
    assert set(summary.faults) == set(one.nemesis)
    assert all("holds" in judged.values() for judged in summary.judged)
    _CHECKED.append(steps_checked(summary))


@needs_strace
def test_no_anomaly_is_found_in_fifty_thousand_steps(tmp_path: Path) -> None:
    """What a slow machine has not done in the time of the rounds above is done here."""
    if len(_CHECKED) < len(SHORT):
        pytest.skip("only some of it was run")
    for number in range(len(SHORT), 3 * len(SHORT)):
        if sum(_CHECKED) >= 50_000:
            break
        test_no_anomaly_is_found(number, tmp_path / str(number))
    assert sum(_CHECKED) >= 50_000


@pytest.mark.parametrize("isolation", ["snapshot", "serializable"])
def test_every_workload_holds_embedded(isolation: str, tmp_path: Path) -> None:
    one = Round(workload="all", isolation=isolation, embedded=True, nemesis=("restart",), seconds=4)  # type: ignore[arg-type]
    summary = one.play(SEED, tmp_path)
    assert (summary.status, summary.violations, summary.reasons) == ("held", [], [])
    allowed = {what for what in summary.checked if "allowed" in what}
    assert bool(allowed) == (isolation == "snapshot"), "skew and phantoms are seen where they may be, and only there"


def test_processes_of_clients_hold_over_a_server_that_is_killed(tmp_path: Path) -> None:
    one = Round(workload="all", isolation="serializable", nemesis=("kill", "cut"), seconds=5, processes=2, clients=3)
    summary = one.play(SEED, tmp_path)
    assert (summary.status, summary.violations, summary.reasons) == ("held", [], [])
