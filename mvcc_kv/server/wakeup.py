"""What makes a sleeping loop turn: a pair of sockets, of which the loop's selector watches one."""

from __future__ import annotations

import contextlib
import socket

__all__ = ["WakeUp"]


class WakeUp:
    """`call` it from any thread, or from a signal's handler."""

    def __init__(self) -> None:
        self.receiver, self._sender = socket.socketpair()
        for sock in (self.receiver, self._sender):
            sock.setblocking(False)

    @property
    def descriptor(self) -> int:
        """What to write a byte to, instead of a `call`."""
        return self._sender.fileno()

    def call(self) -> None:
        """Make the loop turn."""
        with contextlib.suppress(BlockingIOError, OSError):  # full: it will wake anyway; closed: it is over
            self._sender.send(b"\0")

    def heard(self) -> None:
        """The loop has turned: forget the calls."""
        with contextlib.suppress(BlockingIOError):
            while len(self.receiver.recv(4096)) == 4096:
                pass

    def close(self) -> None:
        self.receiver.close()
        self._sender.close()
