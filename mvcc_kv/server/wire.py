"""Many sockets in one go: wait for the first, receive from each, send to each.

A turn of the loop has many ready sockets, and a call of Python's for each costs as much as the system call in it. Here
one call does them all. `_wire.c` is the same, compiled, and used where there is a compiler, and `hear` where the system
has epoll; this is the rule.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from selectors import BaseSelector, SelectorKey
from time import perf_counter
from typing import Any, NamedTuple, Protocol, TypeAlias

from mvcc_kv.compiled import compiled_twin

__all__ = [
    "NOT_NOW",
    "Hear",
    "Heard",
    "Received",
    "ear",
    "hear_in_python",
    "receive",
    "receive_in_python",
    "send",
    "send_in_python",
]

HEARD_MAX = 64
"""Of so many something is heard at a time: the first is answered when all of them have been executed."""

_yield_core: Callable[[], None] = getattr(os, "sched_yield", lambda: None)

NOT_NOW = frozenset((errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR))
"""Errors that are none: there is nothing to receive, or no room to send, now."""

Received: TypeAlias = "bytes | int"
"""What a socket had: nothing at all where its end was reached; or the number of the error, such as EAGAIN."""


class Heard(NamedTuple):
    """What has happened.

    `said`: what each of `plain` has sent, not empty. `ended`: of others that are plain, the end, or the number of an
    error. `events`: of everybody else, the descriptor, and for what it is ready, as selectors tell it.
    """

    plain: list[Any]
    said: list[bytes]
    ended: list[tuple[Any, Received]]
    events: list[tuple[int, int]]


class Hear(Protocol):
    """Waits until something happens, for `timeout_s` at most (None: forever), and receives at once from those who are
    `plain`, by descriptor: peers whose sockets are watched for reading alone.

    It doesn't sleep before `poll_s` have passed; see `polling.py`.
    """

    def __call__(self, plain: Mapping[int, Any], timeout_s: float | None, poll_s: float, /) -> Heard: ...


def hear_in_python(
    selector: BaseSelector, size: int, plain: Mapping[int, Any], timeout_s: float | None, poll_s: float
) -> Heard:
    """What the selector tells of, and up to `size` bytes from each who is plain, the first `HEARD_MAX` of them."""
    heard = Heard([], [], [], [])
    if timeout_s is not None:
        poll_s = min(poll_s, timeout_s)
    for key, mask in _polled(selector, poll_s) or selector.select(timeout_s and timeout_s - max(poll_s, 0.0)):
        peer = plain.get(key.fd)
        if peer is None or len(heard.said) == HEARD_MAX:
            heard.events.append((key.fd, mask))
            continue
        data = _received(peer.socket, size)
        if data and isinstance(data, bytes):
            heard.plain.append(peer)
            heard.said.append(data)
        else:
            heard.ended.append((peer, data))
    return heard


def _polled(selector: BaseSelector, poll_s: float) -> list[tuple[SelectorKey, int]]:
    """What the selector tells of before `poll_s` have passed; others have the core in between."""
    until_s = perf_counter() + poll_s if poll_s > 0 else 0.0
    while perf_counter() < until_s:
        events = selector.select(0)
        if events:
            return events
        _yield_core()
    return []


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


def ear(selector: BaseSelector, size: int) -> Hear:
    """`hear_in_python` with this selector, and this many bytes at a time; or what was compiled of it."""
    if hasattr(_TWIN, "hear") and isinstance(selector, getattr(selectors, "EpollSelector", ())):
        hear = partial(_TWIN.hear, selector.fileno(), size, HEARD_MAX)  # type: ignore[union-attr, attr-defined]
        return lambda plain, timeout_s, poll_s: tuple.__new__(Heard, hear(plain, timeout_s, poll_s))
    return partial(hear_in_python, selector, size)


receive: Callable[[Sequence[Any], int], list[Received]] = receive_in_python if _TWIN is None else _TWIN.receive
send: Callable[[Sequence[Any], Sequence[bytes]], list[tuple[int, int]]] = (
    send_in_python if _TWIN is None else _TWIN.send
)
