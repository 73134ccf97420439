"""The isolation checker: how many transactions a second it judges, and how much memory that takes at most.

Each measurement is a process of its own, `mvcc-kv check` on a file of list-append transactions. It is to grow as
the history does, not faster: `each` is the time a transaction.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benches.histories import write_history
from benches.parts import Effort, OnStep, Part, Report, count, table

__all__ = ["CHECKER", "SIZES"]

SIZES = (10_000, 100_000, 1_000_000)
PROCESSES = (10, 50)
_ROUNDS_MAX = 3


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows = []
    for transactions in _sizes(effort):
        for processes in PROCESSES:
            path = effort.scratch / f"history-{transactions}-{processes}.jsonl"
            write_history(path, transactions, processes)
            rows.append(_measure(path, transactions, processes, _rounds(effort), on_step))
            path.unlink()
    return _report(rows)


def _sizes(effort: Effort) -> list[int]:
    """No history is longer than the large directories are large."""
    return sorted({min(size, effort.keys) for size in SIZES})


def _rounds(effort: Effort) -> int:
    return min(effort.rounds, _ROUNDS_MAX)


def _measure(path: Path, transactions: int, processes: int, rounds: int, on_step: OnStep) -> dict[str, Any]:
    seconds, peaks = [], []
    for _ in range(rounds):
        elapsed_s, peak_bytes = _check(path)
        seconds.append(elapsed_s)
        peaks.append(peak_bytes)
        on_step()
    return {
        "transactions": transactions,
        "processes": processes,
        "file_bytes": path.stat().st_size,
        "seconds": median(seconds),
        "transactions_per_second": transactions / median(seconds),
        "peak_bytes": max(peaks),
    }


def _check(path: Path) -> tuple[float, int]:
    """How long it took, and the most memory that it had."""
    command = [sys.executable, "-m", "mvcc_kv", "check", str(path), "--level", "strict-serializable"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"a correct history was judged with status {process.returncode}: {path}")
    return time.perf_counter() - began, used.ru_maxrss * 1024


def _report(rows: list[dict[str, Any]]) -> Report:
    columns = ("transactions", "clients", "file MB", "seconds", "transactions/s", "each us", "peak MB")
    made = table("The isolation checker on list-append histories", *columns)
    for row in rows:
        made.add_row(
            count(row["transactions"]),
            count(row["processes"]),
            count(row["file_bytes"] / 1e6, 1),
            count(row["seconds"], 2),
            count(row["transactions_per_second"]),
            count(1e6 / row["transactions_per_second"], 1),
            count(row["peak_bytes"] / 1e6),
        )
    return Report(made, rows)


CHECKER = Part(
    "the isolation checker",
    lambda effort: len(_sizes(effort)) * len(PROCESSES) * _rounds(effort),
    _run,
)
