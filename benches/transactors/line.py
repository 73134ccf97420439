"""Transactions in the line protocol: START and GETs in one round trip, PUTs and COMMIT in the next.

With turns it does what our Python client does by itself: who has lost a key asks for a turn on it with the START of the
next attempt, and goes on asking, with first attempts too, as long as the replies say that others wait for it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence

from benches.load import Client
from benches.transactors.attempts import Script, incremented
from benches.transactors.resp import STARTING

__all__ = ["LINE", "TURNS"]

_COMMITTED = b'{"status": "Ok"'
_CONFLICT = b'"code": "CONFLICT"'


class _LineConnection:
    """A connection that sends some lines at once and waits for as many."""

    def __init__(self, port: int, *, takes_turns: bool) -> None:
        self._takes_turns = takes_turns
        self._contended: set[bytes] = set()
        self._lost = 0
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
        turn = next((key for key in keys if key in self._contended), None) if self._takes_turns else None
        started, *replies = yield [self._start(turn), *(b"GET " + key for key in keys)]
        if turn is not None and b'"waited": false, "waiting": 0' in started:
            self._contended.discard(turn)
        puts = [b"PUT %b %b" % (key, incremented(_value(reply))) for key, reply in zip(keys, replies, strict=True)]
        return self._ended((yield [*puts, b"COMMIT"])[-1])

    def _start(self, turn: bytes | None) -> bytes:
        return b"START" if turn is None else b'START {"turn": "%b", "lost": %d}' % (turn, self._lost)

    def _ended(self, done: bytes) -> bool:
        """Was it committed? What was lost is asked for a turn on."""
        if done.startswith(_COMMITTED):
            self._lost = 0
            return True
        if _CONFLICT not in done:
            raise RuntimeError(f"COMMIT was answered with {done!r}")
        self._lost += 1
        if self._takes_turns:
            self._contended.add(min(json.loads(done)["result"]["keys"]).encode())
        return False


def _value(reply: bytes) -> bytes:
    """What is between the last quotes of `{"status": "Ok", "result": {"key": "a", "value": "1"}}`."""
    return reply[reply.rindex(b' "') + 2 : reply.rindex(b'"')]


class _LineSystem:
    """Our server, asked in lines; its counters are set and summed up over its other protocol."""

    stock = staticmethod(STARTING.stock)
    total = staticmethod(STARTING.total)

    def __init__(self, *, takes_turns: bool) -> None:
        self._takes_turns = takes_turns

    def connect(self, port: int) -> _LineConnection:
        return _LineConnection(port, takes_turns=self._takes_turns)


LINE = _LineSystem(takes_turns=False)
TURNS = _LineSystem(takes_turns=True)
