"""The proxy: forwards, and goes wrong in the ways that networks do."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from mvcc_kv.stress.proxy import Proxy

DEADLINE_S = 10.0


def echo(listener: socket.socket) -> None:
    """Say back what is said, connection by connection, each in a thread."""

    def serve(sock: socket.socket) -> None:
        with sock, suppress(OSError):
            while data := sock.recv(65536):
                sock.sendall(data)

    with suppress(OSError):
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with ExitStack() as resources:
        listener = resources.enter_context(socket.create_server(("127.0.0.1", 0)))
        thread = threading.Thread(target=echo, args=(listener,), daemon=True)
        thread.start()
        proxy = Proxy(listener.getsockname())
        yield proxy
        proxy.close()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(DEADLINE_S)


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with connected(proxy) as sock:
        yield sock


def connected(proxy: Proxy) -> socket.socket:
    host, _, port = proxy.address.rpartition(":")
    sock = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
    sock.sendall(b"hello")
    assert received(sock, 5) == b"hello"
    return sock


def received(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := sock.recv(65536)):
        data += more
    return data


def is_silent(sock: socket.socket) -> bool:
    sock.settimeout(0.2)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(DEADLINE_S)
    return False


def test_it_forwards_any_number_of_bytes(client: socket.socket) -> None:
    data = random.Random(7).randbytes(5_000_000)
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    assert received(client, len(data)) == data
    sender.join()


def test_a_cut_resets_connections_and_new_ones_work(proxy: Proxy, client: socket.socket) -> None:
    assert proxy.cut(1.0, random.Random(1)) == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    connected(proxy).close()


def test_a_cut_of_a_share_takes_at_least_one(proxy: Proxy, client: socket.socket) -> None:
    assert proxy.cut(0.0, random.Random(1)) == 1


@pytest.mark.parametrize("way", ["to the server", "to the clients"])
def test_a_held_direction_says_nothing_until_it_heals(proxy: Proxy, way: str) -> None:
    one, other = connected(proxy), connected(proxy)
    with one, other:
        proxy.hold(way)
        for sock in (one, other):
            sock.sendall(b"again")
        assert is_silent(one) and is_silent(other)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            one.recv(5)
        assert received(other, 5) == b"again"


def test_a_delay_delays_both_ways_and_keeps_the_order(proxy: Proxy, client: socket.socket) -> None:
    proxy.delay(0.3)
    client.sendall(b"one")
    client.sendall(b"two")
    assert is_silent(client)
    assert received(client, 6) == b"onetwo"


def test_an_end_is_passed_on(proxy: Proxy, client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""


def test_a_server_that_is_not_there_is_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    proxy = Proxy(address)
    host, _, port = proxy.address.rpartition(":")
    with suppress(ConnectionResetError), socket.create_connection((host, int(port)), timeout=DEADLINE_S) as sock:
        assert sock.recv(1) == b""  # or the reset is there as soon as the connection is
    proxy.close()
