"""A real redis-server, and a client of it with the same call form as `clients.Client`: what is expected is Redis's."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hiredis

__all__ = ["PROGRAM", "RealRedis", "running_redis"]

PROGRAM = shutil.which("redis-server")
_START_S = 10.0
_ATTEMPTS = 5


class RealRedis:
    """One connection to a redis-server, which says commands and reads replies. `port`: for more connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def __call__(self, *arguments: bytes | str | int | float) -> Any:
        """The reply: bytes, int, None, a list, ...; an error reply is a `hiredis.ReplyError`."""
        packed: Any = arguments  # hiredis takes many, whatever its stub says
        self._socket.sendall(hiredis.pack_command(packed))
        while (reply := self._reader.gets()) is False:
            received = self._socket.recv(65536)
            assert received, "redis-server has closed the connection"
            self._reader.feed(received)
        return reply

    def fails(self, *arguments: bytes | str | int | float) -> str:
        """The error reply's text."""
        reply = self(*arguments)
        assert isinstance(reply, hiredis.ReplyError), reply
        return str(reply)

    def another(self) -> RealRedis:
        """Another connection to the same server."""
        return RealRedis(self.port)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def running_redis(directory: Path) -> Iterator[RealRedis]:
    """A redis-server that keeps nothing, and a connection to it; it is stopped at the end."""
    process, client = _started(directory)
    try:
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(_START_S)


def _started(directory: Path) -> tuple[subprocess.Popen[bytes], RealRedis]:
    """Redis can't pick a port itself, and somebody may take the one we found before it does: then try another."""
    assert PROGRAM is not None
    for _ in range(_ATTEMPTS):
        port = _free_port()
        options = f"--port {port} --bind 127.0.0.1 --dir {directory} --appendonly no --logfile redis.log".split()
        process = subprocess.Popen([PROGRAM, *options, "--save", ""], stdout=subprocess.DEVNULL)
        if (client := _connected(process, port)) is not None:
            return process, client
    raise AssertionError(f"redis-server doesn't start; see {directory}/redis.log")


def _connected(process: subprocess.Popen[bytes], port: int) -> RealRedis | None:
    """A connection, as soon as there is one; None if the server has ended instead."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            client = RealRedis(port)
        except ConnectionRefusedError:
            time.sleep(0.01)
            continue
        if str(process.pid).encode() in client("INFO", "server"):
            return client
        client.close()
    process.kill()
    process.wait(_START_S)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
