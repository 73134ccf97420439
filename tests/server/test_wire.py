"""Many sockets in one go: each as if it were alone, compiled or not."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from itertools import chain, product
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from mvcc_kv.server import wire

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["python", "compiled"])
def twin(request: pytest.FixtureRequest) -> Any:
    """Either twin: something with `receive` and `send`."""
    if request.param == "python":
        return type("Twin", (), {"receive": wire.receive_in_python, "send": wire.send_in_python})
    return _compiled()


def _compiled() -> ModuleType:
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


def test_a_closed_socket_is_an_error_of_its_own_and_the_others_are_served(twin: Any, pairs: list[Pair]) -> None:
    pairs[0][0].close()
    pairs[1][1].sendall(b"x")
    ours = [ours for ours, _ in pairs[:2]]
    assert twin.receive(ours, 100) == [errno.EBADF, b"x"]
    assert twin.send(ours, [b"1", b"2"]) == [(0, -errno.EBADF)]
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


class _Peer(NamedTuple):
    socket: socket.socket


@pytest.fixture
def selector() -> Iterator[selectors.DefaultSelector]:
    with selectors.DefaultSelector() as made:
        yield made


Listen = Callable[[Mapping[int, Any], float | None], wire.Heard]


@pytest.fixture(params=product(["python", "compiled"], [0.0, 0.0005]), ids="{0[0]}-{0[1]}".format)
def hear(request: pytest.FixtureRequest, selector: selectors.DefaultSelector) -> Listen:
    """Either twin, with 100 bytes at a time, awake for so long or not at all."""
    twin, poll_s = request.param
    if twin == "python":
        return lambda plain, timeout_s: wire.hear_in_python(selector, 100, plain, timeout_s, poll_s)
    compiled = partial(_compiled().hear, selector.fileno(), 100, wire.HEARD_MAX)
    return lambda plain, timeout_s: wire.Heard._make(compiled(plain, timeout_s, poll_s))


def _watched(selector: selectors.DefaultSelector, pairs: list[Pair]) -> dict[int, _Peer]:
    for ours, _ in pairs:
        selector.register(ours, selectors.EVENT_READ)
    return {ours.fileno(): _Peer(ours) for ours, _ in pairs}


def test_from_those_who_are_plain_is_received_at_once(
    hear: Listen, selector: selectors.DefaultSelector, pairs: list[Pair]
) -> None:
    plain = _watched(selector, pairs)
    silent = pairs[1][0].fileno()
    pairs[0][1].sendall(b"hello")
    pairs[2][1].sendall(b"x" * 150)
    heard = hear(plain, None)
    assert dict(zip((it.socket for it in heard.plain), heard.said, strict=True)) == {
        pairs[0][0]: b"hello",
        pairs[2][0]: b"x" * 100,
    }
    assert (heard.ended, heard.events) == ([], [])
    assert hear(plain, 0.0).said == [b"x" * 50]
    assert hear(plain, 0.0) == hear(plain, -1.0) == hear(plain, 0.0001) == ([], [], [], [])
    assert silent in plain


def test_of_others_only_their_events_are_told(
    hear: Listen, selector: selectors.DefaultSelector, pairs: list[Pair]
) -> None:
    _watched(selector, pairs)
    pairs[0][1].sendall(b"hello")
    selector.modify(pairs[1][0], selectors.EVENT_READ | selectors.EVENT_WRITE)
    heard = hear({}, None)
    assert sorted(heard.events) == sorted([(pairs[0][0].fileno(), 1), (pairs[1][0].fileno(), 2)])
    assert (heard.plain, heard.said, heard.ended) == ([], [], [])
    assert pairs[0][0].recv(10) == b"hello"


def test_the_end_of_who_is_plain_is_told_and_so_is_an_error(
    hear: Listen, selector: selectors.DefaultSelector, pairs: list[Pair]
) -> None:
    plain = _watched(selector, pairs)
    pairs[0][1].close()
    _vanish(pairs[1][1])
    heard = hear(plain, None)
    assert {it.socket: data for it, data in heard.ended} == {pairs[0][0]: b"", pairs[1][0]: errno.ECONNRESET}
    assert (heard.plain, heard.said, heard.events) == ([], [], [])


def test_of_many_who_speak_all_are_heard_some_at_a_time(hear: Listen, selector: selectors.DefaultSelector) -> None:
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(wire.HEARD_MAX + 10)]
        for sock in chain.from_iterable(pairs):
            stack.enter_context(sock).setblocking(False)
        plain = _watched(selector, pairs)
        for _, theirs in pairs:
            theirs.sendall(b"x")
        told: set[int] = set()
        while len(told) < len(pairs):
            heard = hear(plain, None)
            assert len(heard.said) <= wire.HEARD_MAX
            told.update(it.socket.fileno() for it in heard.plain)
        assert told == set(plain)


def test_who_is_awake_hears_without_sleeping(selector: selectors.DefaultSelector, pairs: list[Pair]) -> None:
    """Nothing but a look: if it slept, it would do so until the end of time."""
    plain = _watched(selector, pairs)
    looks = 0

    class Watching:
        def select(self, timeout_s: float | None) -> list[tuple[selectors.SelectorKey, int]]:
            nonlocal looks
            assert timeout_s == 0
            looks += 1
            if looks == 3:
                pairs[0][1].sendall(b"hello")
            return selector.select(0)

    assert wire.hear_in_python(Watching(), 100, plain, None, 3600.0).said == [b"hello"]  # type: ignore[arg-type]
    assert looks == 3


def test_who_is_awake_is_so_no_longer_than_it_may_wait(selector: selectors.DefaultSelector, pairs: list[Pair]) -> None:
    """If it were, it would be so until the end of time."""
    plain = _watched(selector, pairs)
    assert wire.hear_in_python(selector, 100, plain, 0.001, 1e9) == ([], [], [], [])
    assert _compiled().hear(selector.fileno(), 100, wire.HEARD_MAX, plain, 0.001, 1e9) == ([], [], [], [])


def test_a_signal_ends_the_wait_and_its_handler_is_called(
    hear: Listen, selector: selectors.DefaultSelector, pairs: list[Pair]
) -> None:
    _watched(selector, pairs)
    called: list[int] = []

    def rings(number: int, _: object) -> None:
        called.append(number)
        pairs[0][1].sendall(b"x")

    before = signal.signal(signal.SIGALRM, rings)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while not called:
            hear({}, None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert called == [signal.SIGALRM]
