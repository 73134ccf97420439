"""`mvcc-kv stress` and Ctrl-C, which a terminal sends to all processes of the command; and what a kill leaves."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mvcc_kv.stress.history import decode_events

DEADLINE_S = 60.0

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc")


@contextmanager
def stressing(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command, from when its clients work on, in a group of its own with all that it starts."""
    command = [sys.executable, "-m", "mvcc_kv", "stress", "--seconds", "600", "--report", str(folder), *options]
    environment = {**os.environ, "MVCC_KV_STRESSED": str(folder), "COLUMNS": "200"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("time "):
                    break
            yield process
        finally:
            process.kill()


def left_over(folder: Path) -> list[int]:
    """The processes that were started for that report and live."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            environment = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if f"MVCC_KV_STRESSED={folder}\0".encode() in environment:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize(
    "options",
    [("--embedded", "--in-memory"), ("--processes", "2", "--nemesis", "kill,pause,cut"), ("--rate", "0.1")],
    ids=["embedded", "server", "waiting"],
)
def test_a_first_ctrl_c_ends_with_a_verdict_a_report_and_no_process(tmp_path: Path, options: tuple[str, ...]) -> None:
    with stressing(tmp_path, "--workload", "list-append", *options) as process:
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 130, (out, err)
    assert "until it was interrupted" in out and "Traceback" not in err
    assert left_over(tmp_path) == []
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["is_interrupted"] and not summary["violations"]
    assert any(decode_events((tmp_path / "history.jsonl").read_bytes().splitlines()))
    assert "It was interrupted" in (tmp_path / "report.html").read_text()


def test_a_second_ctrl_c_ends_it_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    with stressing(tmp_path, "--processes", "2", "--nemesis", "kill,pause,cut") as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        assert any(line.startswith("interrupted: stopping") for line in process.stderr)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 130, (out, err)
    assert left_over(tmp_path) == [] and "Traceback" not in err
    assert out == "" and not (tmp_path / "summary.json").exists()


def test_a_kill_of_the_command_leaves_no_process(tmp_path: Path) -> None:
    options = ["--processes", "1", "--clients", "2", "--data-dir", str(tmp_path / "data")]
    with stressing(tmp_path, *options) as process:
        started = [os.pidfd_open(pid) for pid in left_over(tmp_path) if pid != process.pid]
        process.kill()
        waiting = list(started)
        while waiting:
            ended, _, _ = select.select(waiting, [], [], DEADLINE_S)
            assert ended, f"{len(waiting)} processes go on without the command that started them"
            waiting = [it for it in waiting if it not in ended]
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    for it in started:
        os.close(it)
    assert len(started) >= 2 and left_over(tmp_path) == []
