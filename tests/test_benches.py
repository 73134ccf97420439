"""The benchmarks run: every row is there, and somebody answered. How fast is not a test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_a_quick_run_measures_every_workload_on_every_server(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benches", "--quick", "--results", str(tmp_path)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    [written] = tmp_path.glob("*.json")
    figures = json.loads(written.read_text())
    assert figures["machine"].keys() >= {"cpu", "cores", "python", "pgo"}
    rows = figures["commands"]["rows"]
    workloads = {(row["verb"], row["depth"], row["connections"]) for row in rows}
    assert workloads == set(product(["GET", "PUT"], [1, 16, 64], [1, 50])) and len(rows) == 12
    for row in rows:
        assert row["commands_per_second"].keys() >= {"mvcc-kv", "echo"}
        assert all(count > 0 for count in row["commands_per_second"].values())
        assert row["ratio_to_echo"] > 0
    assert str(written) in process.stdout
