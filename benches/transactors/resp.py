"""Transactions over Redis's protocol: with WATCH, as clients of Redis have them, and with our START ... COMMIT.

WATCH a; GET a         ->  MULTI; SET a 2; EXEC       nothing but null if somebody else has written a
START; GET a           ->  SET a 2; COMMIT            CONFLICT if so
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import hiredis

from benches.dataset import resp
from benches.load import Client
from benches.transactors.attempts import Script, incremented, key_name

__all__ = ["STARTING", "WATCHING", "RespConnection", "started", "watched"]

_ZERO = incremented(b"-1")
_AT_ONCE = 1000


class RespConnection:
    """A connection that sends some commands at once and waits for as many replies."""

    def __init__(self, port: int, attempt: Callable[[Sequence[bytes]], Script]) -> None:
        self._socket: socket.socket = Client(port).socket
        self._reader = hiredis.Reader()
        self._awaited = 0
        self._replies: list[Any] = []
        self.attempt = attempt
        self.fileno = self._socket.fileno
        self.close = self._socket.close

    def begin(self, request: Sequence[bytes]) -> None:
        """Send these commands."""
        self._awaited, self._replies = len(request), []
        self._socket.sendall(b"".join(request))

    def take(self) -> list[Any] | None:
        """Their replies, or None as long as one is missing."""
        received = self._socket.recv(65536)
        if not received:
            raise RuntimeError("the server has closed the connection")
        self._reader.feed(received)
        replies = self._replies
        while len(replies) < self._awaited:
            reply = self._reader.gets()
            if reply is False:
                return None
            replies.append(reply)
        return replies


def watched(keys: Sequence[bytes]) -> Script:
    """An attempt with WATCH, MULTI and EXEC."""
    values = (yield [resp(b"WATCH", *keys), *(resp(b"GET", key) for key in keys)])[1:]
    writes = [resp(b"SET", key, incremented(value)) for key, value in zip(keys, values, strict=True)]
    done = (yield (resp(b"MULTI"), *writes, resp(b"EXEC")))[-1]  # which no client sends one by one
    if isinstance(done, hiredis.ReplyError):
        raise RuntimeError(f"EXEC was answered with {done}")
    return done is not None


def started(keys: Sequence[bytes]) -> Script:
    """An attempt with START and COMMIT."""
    values = (yield [resp(b"START"), *(resp(b"GET", key) for key in keys)])[1:]
    writes = [resp(b"SET", key, incremented(value)) for key, value in zip(keys, values, strict=True)]
    done = (yield [*writes, resp(b"COMMIT")])[-1]
    if isinstance(done, hiredis.ReplyError) and not str(done).startswith("CONFLICT"):
        raise RuntimeError(f"COMMIT was answered with {done}")
    return isinstance(done, int)


class _RespSystem:
    """Redis or ours, with one way or the other to make transactions."""

    def __init__(self, attempt: Callable[[Sequence[bytes]], Script]) -> None:
        self._attempt = attempt

    def connect(self, port: int) -> RespConnection:
        return RespConnection(port, self._attempt)

    def stock(self, port: int, keys: int) -> None:
        self._ask_all(port, [resp(b"SET", key_name(number), _ZERO) for number in range(keys)])

    def total(self, port: int, keys: int) -> int:
        return sum(map(int, self._ask_all(port, [resp(b"GET", key_name(number)) for number in range(keys)])))

    def _ask_all(self, port: int, commands: list[bytes]) -> list[Any]:
        connection = self.connect(port)
        left, answers = iter(commands), []
        while some := list(islice(left, _AT_ONCE)):
            connection.begin(some)
            while (replies := connection.take()) is None:
                pass
            answers += replies
        connection.close()
        return answers


WATCHING = _RespSystem(watched)
STARTING = _RespSystem(started)
