"""A real redis-server 7.0 on a port that the kernel picked: what Redis itself makes of the same bytes."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["STREAM_BYTES", "answers", "is_installed", "running_redis"]

STREAM_BYTES = 2_048  # Redis reads so much at once, and writes the answers to it at once


def is_installed() -> bool:
    """Whether there is a redis-server here, of the version whose rules we follow."""
    path = shutil.which("redis-server")
    return path is not None and "v=7.0." in subprocess.run([path, "--version"], capture_output=True, text=True).stdout


@contextmanager
def running_redis(*arguments: str) -> Iterator[int]:
    """A server that keeps nothing; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", *arguments]
    server = subprocess.Popen(["redis-server", *options], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        assert any("Ready to accept connections" in line for line in server.stdout), "redis-server did not start"
        yield port
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def answers(port: int, stream: bytes, *, half_close: bool = True) -> bytes:
    """All that the server sends for the stream until it closes; without `half_close` only an error makes it close.

    What follows an error should have come with it: a server that closes with bytes unread takes its answers back. And
    who has half closed gets no more than one write's answers.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(stream)
        if half_close:
            with suppress(OSError):  # it may have closed already
                connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        while piece := connection.recv(65536):
            received += piece
    return bytes(received)
