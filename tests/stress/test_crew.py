"""Crews in other processes: no Ctrl-C is theirs, at any moment, and none of their failures is told to nobody."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mvcc_kv.stress.crew import RemoteCrew, shared_counter
from mvcc_kv.stress.workloads import Bank


def blocked(pid: int) -> set[int]:
    """The signals that the process doesn't hear."""
    [mask] = [
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigBlk")
    ]
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="signals are looked up in /proc")
def test_a_process_of_clients_is_deaf_to_ctrl_c_from_its_first_moment() -> None:
    crew = RemoteCrew([0], str, Bank(), shared_counter())  # type: ignore[arg-type]
    try:
        assert crew._process.pid is not None
        assert signal.SIGINT in blocked(crew._process.pid)
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        crew.wait_until_ready()
    finally:
        crew._process.kill()
        crew._process.join()
        crew._pipe.close()
