"""A clock that jumps: only in the program that was started so, and only its wall clock."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from mvcc_kv.stress.clock import Offset

YEAR_NS = 365 * 86_400 * 10**9


def test_a_shifted_clock_follows_its_offset(tmp_path: Path) -> None:
    offset = Offset(tmp_path / "offset")
    clock = offset.shifted(lambda: 1000)
    assert clock() == 1000
    Offset(tmp_path / "offset").jump(-400)
    assert clock() == 600, "whoever else has the file may change it"


def test_a_program_is_run_with_its_arguments_and_another_time(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text("import sys, time\nprint(sys.argv[1], time.time_ns(), time.time())\n")
    Offset(tmp_path / "offset").jump(YEAR_NS)
    command = [sys.executable, "-m", "mvcc_kv.stress.clock", str(tmp_path / "offset"), "told", "hello"]
    started_ns = time.time_ns()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
    )
    said, time_ns, time_s = done.stdout.split()
    assert said == "hello"
    assert int(time_ns) >= started_ns + YEAR_NS and float(time_s) >= (started_ns + YEAR_NS) / 1e9 - 1
