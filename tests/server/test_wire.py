"""Many sockets in one go: each as if it were alone, compiled or not."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from typing import Any

import pytest

from mvcc_kv.server import wire

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["python", "compiled"])
def twin(request: pytest.FixtureRequest) -> Any:
    """Either twin: something with `receive` and `send`."""
    if request.param == "python":
        return type("Twin", (), {"receive": wire.receive_in_python, "send": wire.send_in_python})
    try:
        return import_module("mvcc_kv.server._wire")
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("it was not compiled")


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Three connections, ours not blocking."""
    with ExitStack() as stack:
        made = []
        for _ in range(3):
            ours, theirs = _connected()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            ours.setblocking(False)
            made.append((ours, theirs))
        yield made


def _connected() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        return server.accept()[0], theirs


def _vanish(sock: socket.socket) -> None:
    """Close it with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_each_socket_says_what_it_has(twin: Any, pairs: list[Pair]) -> None:
    pairs[0][1].sendall(b"hello")
    pairs[1][1].close()
    assert twin.receive([ours for ours, _ in pairs], 100) == [b"hello", b"", errno.EAGAIN]


def test_no_more_is_received_than_there_is_room_for(twin: Any, pairs: list[Pair]) -> None:
    pairs[0][1].sendall(b"hello")
    ours = pairs[0][0]
    assert [twin.receive([ours], 3), twin.receive([ours], 3)] == [[b"hel"], [b"lo"]]


def test_a_lost_connection_is_told_by_its_error_and_the_others_are_served(twin: Any, pairs: list[Pair]) -> None:
    _vanish(pairs[0][1])
    pairs[1][1].sendall(b"x")
    received = twin.receive([ours for ours, _ in pairs[:2]], 100)
    assert received == [errno.ECONNRESET, b"x"]
    _vanish(pairs[2][1])
    rest = twin.send([pairs[2][0], pairs[1][0]], [b"1", b"2"])
    assert [(at, -count) for at, count in rest] in ([(0, errno.ECONNRESET)], [(0, errno.EPIPE)])
    assert pairs[1][1].recv(10) == b"2"


def test_what_a_socket_has_no_room_for_is_told(twin: Any, pairs: list[Pair]) -> None:
    much = b"x" * 20_000_000
    ((at, count),) = twin.send([pairs[0][0], pairs[1][0]], [b"hello", much])
    assert at == 1
    assert 0 < count < len(much)
    assert twin.send([pairs[1][0]], [b"y"]) == [(0, -errno.EAGAIN)]
    assert pairs[0][1].recv(10) == b"hello"
    assert {errno.EAGAIN, errno.EWOULDBLOCK} <= wire.NOT_NOW


def test_nothing_is_asked_of_no_sockets(twin: Any) -> None:
    assert twin.receive([], 10) == []
    assert twin.send([], []) == []
