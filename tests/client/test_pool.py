"""The pool over real sockets: bounded, last in first out, and never a connection that is in the middle of something."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from threading import Barrier, Thread

import pytest

from mvcc_kv.client.connection import Address, Connection
from mvcc_kv.client.pool import ConnectionPool
from mvcc_kv.errors import BadRequestError, UnavailableError


class Exchange:
    """Dials connections whose other ends it keeps, the first one first."""

    def __init__(self) -> None:
        self.peers: list[socket.socket] = []

    def dial(self) -> Connection:
        ours, theirs = socket.socketpair()
        self.peers.append(theirs)
        return Connection(ours, "the exchange", timeout_s=20.0)

    def pool(self, connections_max: int, wait_s: float = 20.0) -> ConnectionPool:
        return ConnectionPool(self.dial, connections_max=connections_max, wait_s=wait_s)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    exchange = Exchange()
    yield exchange
    for peer in exchange.peers:
        peer.close()


def test_the_latest_used_connection_is_used_next(exchange: Exchange) -> None:
    pool = exchange.pool(3)
    first, second = pool.acquire(), pool.acquire()
    pool.release(first)
    pool.release(second)
    assert pool.acquire() is second
    assert pool.acquire() is first
    for connection in (first, second):
        pool.release(connection)
    pool.close()


def test_there_are_never_more_than_so_many(exchange: Exchange) -> None:
    pool = exchange.pool(2, wait_s=0.01)
    lent = [pool.acquire(), pool.acquire()]
    with pytest.raises(UnavailableError, match="all 2 connections were in use") as caught:
        pool.acquire()
    assert caught.value.retryable
    for connection in lent:
        pool.release(connection)
    assert len(exchange.peers) == 2
    pool.close()


def test_who_waits_gets_the_next_that_comes_back(exchange: Exchange) -> None:
    pool = exchange.pool(1)
    lent, got = pool.acquire(), []
    waiter = Thread(target=lambda: got.append(pool.acquire()))
    waiter.start()
    pool.release(lent)
    waiter.join()
    assert got == [lent]
    pool.release(lent)
    pool.close()


def test_a_connection_that_the_server_closed_is_not_lent_again(exchange: Exchange) -> None:
    pool = exchange.pool(1)
    gone = pool.acquire()
    pool.release(gone)
    exchange.peers[0].close()
    fresh = pool.acquire()
    assert fresh is not gone
    pool.release(fresh)
    pool.close()


def test_a_connection_with_something_unread_is_not_lent_again(exchange: Exchange) -> None:
    pool = exchange.pool(1)
    odd = pool.acquire()
    pool.release(odd)
    exchange.peers[0].sendall(b"surprise\n")
    fresh = pool.acquire()
    assert fresh is not odd
    pool.release(fresh)
    pool.close()


def test_a_connection_that_failed_is_dropped_and_makes_room(exchange: Exchange) -> None:
    pool = exchange.pool(1)
    failed = pool.acquire()
    exchange.peers[0].close()
    with pytest.raises(UnavailableError):
        failed.request([b"GET a\n"], bytes)
    pool.release(failed)
    fresh = pool.acquire()
    assert fresh is not failed
    pool.release(fresh)
    pool.close()


def test_a_failed_dial_leaves_room_for_the_next(exchange: Exchange) -> None:
    refusals = [UnavailableError("refused", retryable=True)]

    def dial() -> Connection:
        if refusals:
            raise refusals.pop()
        return exchange.dial()

    pool = ConnectionPool(dial, connections_max=1, wait_s=20.0)
    with pytest.raises(UnavailableError, match="refused"):
        pool.acquire()
    pool.release(pool.acquire())
    pool.close()


def test_closing_tells_everyone_who_waits(exchange: Exchange) -> None:
    pool = exchange.pool(1)
    lent = pool.acquire()
    ready, told = Barrier(4), []

    def wait() -> None:
        ready.wait()
        try:
            pool.acquire()
        except UnavailableError as error:
            told.append(error.retryable)

    waiters = [Thread(target=wait) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    ready.wait()
    pool.close()
    for waiter in waiters:
        waiter.join()
    assert told == [False, False, False]
    pool.release(lent)
    assert not lent.is_alive()


def test_closing_twice_does_nothing(exchange: Exchange) -> None:
    pool = exchange.pool(1)
    pool.release(pool.acquire())
    pool.close()
    pool.close()
    assert exchange.peers[0].recv(1) == b""


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("db.example:9", Address("db.example", 9)),
        ("localhost", Address("localhost", 8080)),
        ("[::1]:65535", Address("::1", 65535)),
        ("[fe80::1]", Address("fe80::1", 8080)),
        ("fe80::1", Address("fe80::1", 8080)),
    ],
)
def test_an_address_is_a_host_and_maybe_a_port(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", ":", ":80", "host:", "host:http", "host:0", "host:65536", "[::1", "host:１", "[]:80"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="an address is"):
        Address.parse(text)
