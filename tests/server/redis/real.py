"""A real redis-server, and a client of it with the same call form as `clients.Client`: what is expected is Redis's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hiredis

from tests.real_redis import running_redis

__all__ = ["RealRedis", "connected_redis"]


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
def connected_redis(directory: Path) -> Iterator[RealRedis]:
    """A redis-server that keeps nothing, and a connection to it; it is stopped at the end."""
    with running_redis(directory) as port:
        client = RealRedis(port)
        try:
            yield client
        finally:
            client.close()
