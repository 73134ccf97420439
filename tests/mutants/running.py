"""Runs of `mvcc-kv stress` on a copy of the package with one bug put in.

    package --copy--> a temporary directory --replace--> mutant --python -m mvcc_kv stress ...--> summary.json

A mutant is *found* if the run's status is `violated`. The exit status alone would not do: a copy that can't even be
imported ends with 1, too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import mvcc_kv
from tests.mutants.table import Mutant

__all__ = ["Finding", "changed", "command", "mutated", "try_to_find", "unharmed"]

_JUDGING_S = 10.0
PACKAGE = Path(mvcc_kv.__file__).parent


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a run on a mutant: `violated` if it was found, `held` or `invalid` if not, else `failed`."""

    mutant: str
    workload: str
    status: str
    took_s: float
    words: str

    @property
    def is_found(self) -> bool:
        return self.status == "violated"


@contextmanager
def mutated(mutant: Mutant) -> Iterator[Path]:
    """A directory to import the mutant from. Raises `AssertionError` if it doesn't fit the source any more."""
    with tempfile.TemporaryDirectory(prefix="mvcc-kv-mutant-") as directory:
        copy = Path(directory) / "mvcc_kv"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        file = copy / mutant.file
        file.write_text(changed(mutant, file.read_text()))
        yield Path(directory)


def changed(mutant: Mutant, source: str) -> str:
    """The source with the bug. Raises `AssertionError` unless there is exactly one place for it."""
    times = source.count(mutant.old)
    assert times == 1, f"{mutant.name}: its place is in {mutant.file} {times} times, not once; mend the table"
    return source.replace(mutant.old, mutant.new)


def unharmed(mutant: Mutant) -> Mutant:
    """The same run on the package as it is: if that is violated too, the mutant's finding says nothing."""
    return replace(mutant, name=f"control: {mutant.name}", new=mutant.old)


def command(mutant: Mutant, workload: str, seconds: float) -> list[str]:
    """The arguments of `mvcc-kv` for that mutant."""
    options = ["--workload", workload, "--isolation", mutant.isolation, "--seed", str(mutant.seed)]
    return ["stress", *options, "--seconds", f"{seconds:g}", *mutant.options]


def try_to_find(
    mutant: Mutant, *, workload: str | None = None, seconds: float | None = None, budget_s: float = 60.0
) -> Finding:
    """Stress the mutant, with its recorded workload or another one."""
    workload = workload or mutant.workload
    with mutated(mutant) as directory:
        began_s = time.monotonic()
        report = directory / "report"
        (directory / "matplotlib.py").write_text('raise ImportError("nobody looks at the pictures")\n')
        arguments = [*command(mutant, workload, seconds or mutant.seconds), "--quiet", "--report", str(report)]
        told = _run([sys.executable, "-m", "mvcc_kv", *arguments], directory, budget_s)
        took_s = time.monotonic() - began_s
        status, words = _read(report / "summary.json", told)
    return Finding(mutant.name, workload, status, round(took_s, 1), words)


def _run(arguments: list[str], directory: Path, budget_s: float) -> str:
    """What it said. One that takes too long is ended as Ctrl-C would, so that it ends its server."""
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        arguments, cwd=directory, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            told, _ = process.communicate(timeout=budget_s)
        except subprocess.TimeoutExpired:
            told = _interrupted(process)
    return told


def _interrupted(process: subprocess.Popen[str]) -> str:
    """What it said. The first Ctrl-C leaves it time to judge what there is, the second none."""
    process.send_signal(signal.SIGINT)
    try:
        told, _ = process.communicate(timeout=_JUDGING_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate()
    return told


def _read(summary: Path, told: str) -> tuple[str, str]:
    if not summary.exists():
        return "failed", told[-500:].strip()
    found = json.loads(summary.read_text())
    words = [*found["violations"], *found["reasons"], ""]
    return found["status"], words[0].split("\n")[0][:200]
