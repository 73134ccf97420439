"""The servers that are measured: each a process of its own, all on one core, of which one is busy at a time."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benches.dialects import DIALECTS, KEYS

__all__ = [
    "GENERATOR_CORES",
    "SERVER_CORES",
    "RunningServer",
    "echo_server",
    "mvcc_kv_server",
    "pinned",
    "redis_server",
]

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = set(_CORES[:1])
GENERATOR_CORES = set(_CORES[1:2]) or SERVER_CORES
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server to measure."""

    name: str
    dialect: str
    port: int
    pid: int

    def cpu_s(self) -> float:
        """The processor time that it has used so far, in seconds."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Processes started in this block run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _process(command: list[str], stdin: bytes = b"") -> Iterator[subprocess.Popen[bytes]]:
    with pinned(SERVER_CORES):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    try:
        process.stdin.write(stdin)
        process.stdin.close()
        yield process
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def _python_server(name: str, dialect: str, arguments: list[str], stdin: bytes = b"") -> Iterator[RunningServer]:
    with _process([sys.executable, "-m", *arguments], stdin) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        found = re.fullmatch(r"listening on .*:(\d+)\n", line)
        if found is None:
            raise RuntimeError(f"{name} did not start: it said {line!r}")
        yield RunningServer(name, dialect, int(found[1]), process.pid)


@contextmanager
def mvcc_kv_server() -> Iterator[RunningServer]:
    """This project's server, in memory, with its defaults."""
    with _python_server("mvcc-kv", "line", ["mvcc_kv", "serve", "--in-memory", "--port", "0"]) as server:
        yield server


@contextmanager
def echo_server() -> Iterator[RunningServer]:
    """The bare echo server."""
    reply = DIALECTS["echo"].reply("GET", KEYS[0])
    with _python_server("echo", "echo", ["benches.echo"], reply) as server:
        yield server


@contextmanager
def redis_server() -> Iterator[RunningServer | None]:
    """A private redis-server that keeps nothing; None where it is not installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    command = [binary, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with _process([*command, "--daemonize", "no"]) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"Ready to accept connections" in line:
                yield RunningServer("redis-server", "resp", port, process.pid)
                return
        raise RuntimeError("redis-server did not start")
