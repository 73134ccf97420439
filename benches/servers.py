"""The servers that are measured: each a process of its own, all on one core, of which one is busy at a time.

What a server starts (threads, the child that writes a file for Redis) is on that core too. In the end it is killed,
so that none writes anything that nobody asked for: a directory is started from again and again.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benches.programs import find_program

__all__ = [
    "GENERATOR_CORES",
    "SERVER_CORES",
    "RunningServer",
    "as_user",
    "await_listener",
    "durable_mvcc_kv_server",
    "durable_redis_server",
    "etcd_server",
    "free_port",
    "mvcc_kv_server",
    "pinned",
    "redis_server",
    "running",
]

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = set(_CORES[:1])
GENERATOR_CORES = set(_CORES[1:2]) or SERVER_CORES
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_NO_CHECKPOINTS = ["--checkpoint-interval-s", "0", "--checkpoint-log-bytes", str(1 << 40)]
_NO_REWRITES = ["--auto-aof-rewrite-percentage", "0", "--daemonize", "no"]
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server to measure."""

    name: str
    dialect: str
    port: int
    pid: int

    def resident_bytes(self) -> int:
        """The memory that it has now."""
        with open(f"/proc/{self.pid}/statm") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES

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


def as_user(user: str | None) -> dict[str, Any]:
    """What to tell `subprocess` so that a process is that user's; None: our own."""
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


@contextmanager
def running(command: list[str], *, user: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a process on the servers' core, killed at the end of the block."""
    with pinned(SERVER_CORES):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **as_user(user)
        )
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def _listening_server(name: str, dialect: str, command: list[str]) -> Iterator[RunningServer]:
    with running(command) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        found = re.fullmatch(r"listening on .*:(\d+)\n", line)
        if found is None:
            raise RuntimeError(f"{name} did not start: it said {line!r}")
        yield RunningServer(name, dialect, int(found[1]), process.pid)


def mvcc_kv_server() -> AbstractContextManager[RunningServer]:
    """This project's server, in memory, with its defaults."""
    command = [sys.executable, "-m", "mvcc_kv", "serve", "--in-memory", "--port", "0"]
    return _listening_server("mvcc-kv", "line", command)


@contextmanager
def durable_mvcc_kv_server(
    directory: Path, *, fsync: Literal["always", "interval"] = "always", fsync_ms: int = 0
) -> Iterator[RunningServer | None]:
    """This project's server on a data directory, every commit on disk before its reply; no checkpoints of its own.

    With `fsync_ms` on a disk that takes so much longer to sync: None if there is no strace to make it one.
    """
    slow = _slow_disk(fsync_ms)
    if slow is None:
        yield None
        return
    options = ["--port", "0", "--fsync", fsync, "--data-dir", str(directory), *_NO_CHECKPOINTS]
    command = [*slow, sys.executable, "-m", "mvcc_kv", "serve", *options]
    with _listening_server("mvcc-kv", "line", command) as server:
        yield server


def redis_server() -> AbstractContextManager[RunningServer | None]:
    """A private redis-server that keeps nothing; None where it is not installed."""
    return _redis([])


def durable_redis_server(
    directory: Path, *, aof: Literal["always", "no", "off"] = "always", fsync_ms: int = 0
) -> AbstractContextManager[RunningServer | None]:
    """A private redis-server on a directory, with an append-only file that is synced before each reply, or never.

    With the file off it starts from its RDB file, if there is one. None where a program that it needs is missing.
    """
    file = ["--appendonly", "no"] if aof == "off" else ["--appendonly", "yes", "--appendfsync", aof]
    return _redis(["--dir", str(directory), *file], fsync_ms)


@contextmanager
def _redis(options: list[str], fsync_ms: int = 0) -> Iterator[RunningServer | None]:
    binary, slow = find_program("redis-server"), _slow_disk(fsync_ms)
    if binary is None or slow is None:
        yield None
        return
    port = free_port()
    command = [*slow, binary, "--bind", "127.0.0.1", "--port", str(port), "--save", "", *_NO_REWRITES, *options]
    with running(command) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"Ready to accept connections" in line:
                yield RunningServer("redis-server", "resp", port, process.pid)
                return
        raise RuntimeError("redis-server did not start")


@contextmanager
def etcd_server(directory: Path, *, batch: int | None = None) -> Iterator[RunningServer | None]:
    """A private etcd of one member, which answers once it has elected itself; None where it is not installed.

    `batch`: keeps its write buffer small. 3.4 copies that for every read, as large as the busiest moment has ever
    made it.
    """
    binary = find_program("etcd")
    if binary is None:
        yield None
        return
    port = free_port()
    clients, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    urls = ["--listen-client-urls", clients, "--advertise-client-urls", clients, "--listen-peer-urls", peers]
    member = ["--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"]
    store = ["--data-dir", str(directory / "member")]
    if batch is not None:
        store += ["--backend-batch-limit", f"{batch}"]
    with running([binary, *store, *urls, *member]) as process:
        await_listener(port, process)
        yield RunningServer("etcd", "grpc", port, process.pid)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def await_listener(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the process accepts connections there. Raises `RuntimeError` if it ends or takes too long."""
    until = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.01)
    raise RuntimeError(f"{process.args!r} did not start")


def _slow_disk(fsync_ms: int) -> list[str] | None:
    """What to put before a command so that each of its syncs takes so much longer; None if strace is missing.

    Of all the system calls only the syncs are stopped at (--seccomp-bpf), so the server is no slower otherwise.
    """
    if not fsync_ms:
        return []
    strace = find_program("strace")
    if strace is None:
        return None
    delay = f"inject=fdatasync,fsync:delay_enter={fsync_ms * 1000}"
    trace = ["-e", "trace=fdatasync,fsync", "-e", delay]
    return [strace, "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", *trace]
