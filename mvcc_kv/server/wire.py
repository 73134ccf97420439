"""Many sockets in one go: receive from each, send to each, without waiting for any.

A turn of the loop has many ready sockets, and a call of Python's for each costs as much as the system call in it. Here
one call does them all. `_wire.c` is the same, compiled, and used where there is a compiler; this is the rule.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from mvcc_kv.compiled import compiled_twin

__all__ = ["NOT_NOW", "Received", "receive", "receive_in_python", "send", "send_in_python"]

NOT_NOW = frozenset((errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR))
"""Errors that are none: there is nothing to receive, or no room to send, now."""

Received: TypeAlias = "bytes | int"
"""What a socket had: nothing at all where its end was reached; or the number of the error, such as EAGAIN."""


def receive_in_python(sockets: Sequence[socket.socket], size: int) -> list[Received]:
    """What each of these, which don't block, has for us: up to `size` bytes."""
    return [_received(sock, size) for sock in sockets]


def _received(sock: socket.socket, size: int) -> Received:
    try:
        return sock.recv(size)
    except OSError as error:
        return error.errno or 0


def send_in_python(sockets: Sequence[socket.socket], data: Sequence[bytes]) -> list[tuple[int, int]]:
    """Send to each what is for it, as far as it has room.

    Of those that didn't take all: its place, and how many bytes it took, or the number of the error, negative.
    """
    taken = ((at, _sent(sock, said), len(said)) for at, (sock, said) in enumerate(zip(sockets, data, strict=True)))
    return [(at, count) for at, count, length in taken if count != length]


def _sent(sock: socket.socket, data: bytes) -> int:
    try:
        return sock.send(data)
    except OSError as error:
        return -(error.errno or 0)


_TWIN = compiled_twin("mvcc_kv.server._wire")
receive: Callable[[Sequence[Any], int], list[Received]] = receive_in_python if _TWIN is None else _TWIN.receive
send: Callable[[Sequence[Any], Sequence[bytes]], list[tuple[int, int]]] = (
    send_in_python if _TWIN is None else _TWIN.send
)
