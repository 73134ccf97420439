"""The door: clients come in by the listeners, some in each turn, until it is closed."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ, BaseSelector

from mvcc_kv.server.deadlines import Deadlines
from mvcc_kv.server.listeners import Listeners, address_name
from mvcc_kv.server.logs import event

__all__ = ["Door"]

_ACCEPTS_PER_TURN = 64
_ACCEPT_PAUSE_S = 0.1


class Door:
    """Accepts, and hands each client's socket and name to `welcome`. `now` tells when the loop's turn began."""

    def __init__(
        self,
        listeners: Listeners,
        selector: BaseSelector,
        deadlines: Deadlines,
        *,
        welcome: Callable[[socket.socket, str], None],
        now: Callable[[], float],
    ) -> None:
        self._listeners = listeners
        self._selector = selector
        self._deadlines = deadlines
        self._welcome = welcome
        self._now = now

    def open(self) -> None:
        """Let clients come in."""
        for sock in self._listeners.sockets:
            self._selector.register(sock, EVENT_READ, partial(self._accept, sock))

    def close(self) -> None:
        """Let nobody come in any more."""
        for sock in self._listeners.sockets:
            with contextlib.suppress(KeyError):  # paused
                self._selector.unregister(sock)
        self._listeners.close()

    def _accept(self, listener: socket.socket, _: int) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._accept_failed(listener, error)
                return
            self._welcome(sock, address_name(address))

    def _accept_failed(self, listener: socket.socket, error: OSError) -> None:
        """Out of descriptors, most likely: let clients wait in the backlog for a moment."""
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            return
        event(logging.ERROR, "cannot accept", reason=str(error), hint="raise the limit of open files (ulimit -n)")
        self._selector.unregister(listener)

        def resume(_: float) -> None:
            if listener in self._listeners.sockets:
                self._selector.register(listener, EVENT_READ, partial(self._accept, listener))

        self._deadlines.add(self._now() + _ACCEPT_PAUSE_S, resume)
