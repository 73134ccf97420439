"""Refusing: who comes when the server is full is told so, in words of the protocol that it speaks.

    accepted --first bytes--> Redis's?  -ERR max number of clients reached
        |                     else      {"status":"Error", ...}
        +--silence, or too many wait--> {"status":"Error", ...}

A connection tells by its first bytes what it speaks, and most clients send them at once. Who is refused waits for
nothing else, holds no session and no buffer, and is gone in a moment.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ, BaseSelector

from mvcc_kv.errors import UnavailableError
from mvcc_kv.protocol.replies import error_reply
from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.deadlines import Deadlines, Timer
from mvcc_kv.server.dialects import Sniffer

__all__ = ["Refusing"]

WAITING_MAX = 256
_PEEKED_BYTES = 64 * 1024  # what stays unread when a socket is closed resets it, and takes what was said along
_TOO_MANY = resp.error("ERR max number of clients reached")


class Refusing:
    """Sends clients away. `quiet_s`: how long one may be silent. `now` tells when the loop's turn began."""

    def __init__(
        self,
        selector: BaseSelector,
        deadlines: Deadlines,
        *,
        connections_max: int,
        quiet_s: float,
        now: Callable[[], float],
    ) -> None:
        self._selector = selector
        self._deadlines = deadlines
        self._quiet_s = quiet_s
        self._now = now
        self._waiting: dict[socket.socket, Timer] = {}
        self._line = error_reply(
            UnavailableError(
                f"this server serves {connections_max} connections at most (--max-connections); try again later",
                retryable=True,
            )
        )

    def __len__(self) -> int:
        """How many wait to be told."""
        return len(self._waiting)

    def refuse(self, sock: socket.socket) -> None:
        """Send this client away, as soon as it's clear in which words."""
        if len(self._waiting) >= WAITING_MAX:
            _part(sock, self._line)
            return
        self._waiting[sock] = self._deadlines.add(self._now() + self._quiet_s, lambda _: self._tell(sock, self._line))
        self._selector.register(sock, EVENT_READ, partial(self._hear, sock, Sniffer()))

    def close(self) -> None:
        """Wait for nobody any more."""
        for sock in list(self._waiting):
            self._tell(sock, self._line)

    def _hear(self, sock: socket.socket, sniffer: Sniffer, _: int) -> None:
        try:
            data = sock.recv(_PEEKED_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        is_resp = sniffer.speaks_resp(data) if data else False
        if is_resp is not None:
            self._tell(sock, _TOO_MANY if is_resp else self._line)

    def _tell(self, sock: socket.socket, reply: bytes) -> None:
        self._deadlines.cancel(self._waiting.pop(sock))
        self._selector.unregister(sock)
        _part(sock, reply)


def _part(sock: socket.socket, reply: bytes) -> None:
    with contextlib.suppress(OSError):
        sock.send(reply)
    sock.close()
