"""What was answered over RESP is there after `kill -9`: strings, times to live, and transactions whole."""

from __future__ import annotations

import signal
from pathlib import Path

from ..e2e.processes import serving
from .servers import Place

FAR_MS = 4_102_444_800_000


def test_what_was_answered_outlives_a_kill(tmp_path: Path) -> None:
    options = ("--data-dir", str(tmp_path / "data"))
    with serving(*options, cwd=tmp_path) as process, Place(*process.address, is_ours=True).connect() as client:
        assert client.ask("SET", "a", b"\x00\xff", "PXAT", FAR_MS) == b"+OK\r\n"
        assert client.ask("INCRBY", "n", 7) == b":7\r\n"
        for command in (["MULTI"], ["SET", "b", 1], ["DEL", "n"], ["EXEC"]):
            reply = client.ask(*command)
        assert reply == b"*2\r\n+OK\r\n:1\r\n"
        client.ask("START")
        assert client.ask("SET", "a", "never committed") == b"+OK\r\n"
        process.signal(signal.SIGKILL)
        process.ended()
    with serving(*options, cwd=tmp_path) as process, Place(*process.address, is_ours=True).connect() as client:
        assert client.asked("GET", "a") == b"\x00\xff"
        assert client.asked("PEXPIRETIME", "a") == FAR_MS
        assert client.asked("MGET", "b", "n") == [b"1", None]


def test_many_acknowledged_writes_outlive_a_kill(tmp_path: Path) -> None:
    """Pipelined; killed in the middle: as many are there as were answered, or more, and without a hole."""
    options = ("--data-dir", str(tmp_path / "data"))
    with serving(*options, cwd=tmp_path) as process, Place(*process.address, is_ours=True).connect() as client:
        for n in range(2000):
            client.send("SET", f"k{n:04}", n)
        for _ in range(500):
            assert client.reply() == b"+OK\r\n"
        process.signal(signal.SIGKILL)
        process.ended()
    with serving(*options, cwd=tmp_path) as process, Place(*process.address, is_ours=True).connect() as client:
        there = client.asked("DBSIZE")
        assert there >= 500
        assert client.asked("EXISTS", *(f"k{n:04}" for n in range(there))) == there
