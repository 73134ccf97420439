"""A real redis-server, as Debian has it: what our Redis is compared with. Where it is missing tests fail, not skip."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server.running import DEADLINE_S, until

__all__ = ["running_redis"]

_TRIES = 20  # to find a port that nobody takes before Redis does: it can't be told to pick one and say which


@contextmanager
def running_redis(directory: Path, *options: str) -> Iterator[int]:
    """A redis-server that keeps nothing; its port."""
    program = shutil.which("redis-server")
    assert program is not None, "redis-server is missing: apt-get install redis-server"
    for _ in range(_TRIES):
        port = _free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with open(directory / "redis.log", "wb") as log:
            process = subprocess.Popen([*command, "--dir", str(directory), *options], stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or _answers(port))  # noqa: B023
            if process.poll() is None:
                yield port
                return
        finally:
            process.kill()
            process.wait()
    raise AssertionError((directory / "redis.log").read_text())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16)[:5] in (b"+PONG", b"-NOAU")
    except OSError:
        return False
