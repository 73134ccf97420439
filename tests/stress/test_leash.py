"""A server that is started on a leash ends with its owner, however that ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

DEADLINE_S = 30.0

OWNER = """
import os, signal, sys, threading
from pathlib import Path
from mvcc_kv.stress.server import ServerTarget

def command(port):
    leash = ["-m", "mvcc_kv.stress.leash", str(os.getpid())]
    return [sys.executable, *leash, "mvcc_kv", "serve", "--port", str(port), "--in-memory", "--log-level", "warning"]

def start():
    targets.append(ServerTarget(command, lambda address: None, Path(sys.argv[1])))

targets = []
starting = threading.Thread(target=start)
starting.start()
starting.join()  # a server outlives the thread that asked for it
[target] = targets
assert target.complaints() == []
target.pause()
os.waitid(os.P_PID, target.pid, os.WSTOPPED | os.WNOWAIT)
print(target.pid, flush=True)
signal.pause()
"""


@contextmanager
def owned(log: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process with a server that is stopped, and the server's id."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(log)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        try:
            yield owner, pid
        finally:
            owner.kill()
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a stopped process can't notice")
def test_a_stopped_server_ends_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    with owned(tmp_path / "log") as (owner, pid):
        watched = os.pidfd_open(pid)
        assert Path(f"/proc/{pid}/stat").read_text().split()[2] == "T"
        owner.kill()
        ended, _, _ = select.select([watched], [], [], DEADLINE_S)
        os.close(watched)
        assert ended == [watched]


def test_a_program_whose_owner_is_gone_already_is_not_run() -> None:
    owner = 1 if os.getpid() != 1 else 2
    command = [sys.executable, "-m", "mvcc_kv.stress.leash", str(owner), "mvcc_kv", "--version"]
    ended = subprocess.run(command, capture_output=True, timeout=DEADLINE_S)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")


def test_what_is_run_has_its_own_name_and_arguments() -> None:
    command = [sys.executable, "-m", "mvcc_kv.stress.leash", str(os.getpid()), "mvcc_kv", "--version"]
    ended = subprocess.run(command, capture_output=True, timeout=DEADLINE_S)
    assert ended.returncode == 0 and ended.stdout.startswith(b"mvcc-kv ")
