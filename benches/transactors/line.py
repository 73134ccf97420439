"""Transactions in the line protocol: START and GETs in one round trip, PUTs and COMMIT in the next."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from benches.load import Client
from benches.transactors.attempts import Script, incremented
from benches.transactors.resp import STARTING

__all__ = ["LINE"]

_COMMITTED = b'{"status": "Ok"'
_CONFLICT = b'"code": "CONFLICT"'


class _LineConnection:
    """A connection that sends some lines at once and waits for as many."""

    def __init__(self, port: int) -> None:
        self._socket: socket.socket = Client(port).socket
        self._awaited = 0
        self._received = b""
        self.fileno = self._socket.fileno
        self.close = self._socket.close

    def begin(self, request: list[bytes]) -> None:
        """Send these commands."""
        self._awaited, self._received = len(request), b""
        self._socket.sendall(b"\n".join(request) + b"\n")

    def take(self) -> list[bytes] | None:
        """Their replies, or None as long as one is missing."""
        received = self._socket.recv(65536)
        if not received:
            raise RuntimeError("the server has closed the connection")
        self._received += received
        lines = self._received.split(b"\n")
        return lines[:-1] if len(lines) > self._awaited else None

    def attempt(self, keys: Sequence[bytes]) -> Script:
        """START and GET, PUT and COMMIT."""
        replies = (yield [b"START", *(b"GET " + key for key in keys)])[1:]
        puts = [b"PUT %b %b" % (key, incremented(_value(reply))) for key, reply in zip(keys, replies, strict=True)]
        done: bytes = (yield [*puts, b"COMMIT"])[-1]
        if not done.startswith(_COMMITTED) and _CONFLICT not in done:
            raise RuntimeError(f"COMMIT was answered with {done!r}")
        return done.startswith(_COMMITTED)


def _value(reply: bytes) -> bytes:
    """What is between the last quotes of `{"status": "Ok", "result": {"key": "a", "value": "1"}}`."""
    return reply[reply.rindex(b' "') + 2 : reply.rindex(b'"')]


class _LineSystem:
    """Our server, asked in lines; its counters are set and summed up over its other protocol."""

    stock = staticmethod(STARTING.stock)
    total = staticmethod(STARTING.total)

    def connect(self, port: int) -> _LineConnection:
        return _LineConnection(port)


LINE = _LineSystem()
