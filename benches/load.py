"""A connection of a load generator, and what such a generator did."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from benches.dialects import Dialect

__all__ = ["Client", "Result", "conversation"]

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came back. `cpu_s` is the generator's own processor time: if it is near `seconds`, it was the bottleneck."""

    commands: int
    seconds: float
    cpu_s: float


class Client:
    """One connection of the load."""

    __slots__ = ("socket",)

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes, expected: bytes) -> None:
        """Send a request and compare the answer, byte for byte."""
        self.socket.sendall(request)
        answer = b""
        while len(answer) < len(expected):
            data = self.socket.recv(65536)
            if not data:
                break
            answer += data
        if answer != expected:
            raise RuntimeError(f"{request[:60]!r}... was answered with {answer[:200]!r}")


def conversation(dialect: Dialect, verb: str, keys: list[bytes]) -> tuple[bytes, bytes]:
    """A command for every key, sent at once, and what comes back."""
    return b"".join(dialect.request(verb, key) for key in keys), b"".join(dialect.reply(verb, key) for key in keys)
