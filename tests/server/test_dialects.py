"""Dialects: the first bytes tell what a connection speaks."""

from __future__ import annotations

import pytest

from mvcc_kv.engine import VersionedStore
from mvcc_kv.server.connection import Connection
from mvcc_kv.server.redis.house import House
from mvcc_kv.server.served import Services
from mvcc_kv.server.settings import Settings


def connection(settings: Settings | None = None) -> Connection:
    store = VersionedStore()
    services = Services(
        store=store, stats=store.stats, checkpoint=lambda _: None, clock=lambda: 0.0, redis=House(settings)
    )
    return Connection(services, settings or Settings())


def said(to: Connection, *parts: bytes) -> bytes:
    for part in parts:
        to.receive(part, is_burst_end=True)
        while to.can_run:
            to.run()
    while to.can_run:  # what silence has ended
        to.run()
    return to.take_output()


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
        (b"\r\n*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
        (b"SET a 1\r\n", b"+OK\r\n"),
        (b"\nincr a\n", b":1\r\n"),
        (b"PING\n", b'{"status": "Ok", "result": "PONG"}\n'),
        (b"PUT a 1\n", b'{"status": "Ok", "result": {"key": "a", "value": "1"}}\n'),
        (b"GET a\r\n", b'{"status": "Error", "result": {"code": "KEY_NOT_FOUND"'),
    ],
)
def test_the_first_bytes_tell_the_protocol_however_they_come(first: bytes, answer: bytes) -> None:
    assert said(connection(), first).startswith(answer)
    assert said(connection(), *(first[at : at + 1] for at in range(len(first)))).startswith(answer)


def test_a_connection_keeps_to_what_it_began_with() -> None:
    lines = connection()
    said(lines, b"PUT a 1\n")
    assert b"UNKNOWN_COMMAND" in said(lines, b"*1\r\n")
    resp = connection()
    said(resp, b"SET a 1\r\n")
    assert said(resp, b"GET a\r\n") == b"$1\r\n1\r\n"


def test_a_line_that_silence_ends_is_no_command_of_redis() -> None:
    quiet = connection()
    quiet.receive(b"SET a 1", is_burst_end=True)
    quiet.quiet()
    assert b"UNKNOWN_COMMAND" in said(quiet)


def test_bytes_that_are_neither_protocol_are_told_in_redis_words_and_the_connection_is_over() -> None:
    odd = connection()
    assert said(odd, b"*1\r\nfoo\r\n*1\r\n$4\r\nPING\r\n") == b"-ERR Protocol error: expected '$', got 'f'\r\n"
    assert odd.is_done


def test_an_http_request_is_nobodys() -> None:
    browser = connection()
    assert said(browser, b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a 1\r\n") == b""
    assert browser.session.speaks_http
    tricked = connection()
    said(tricked, b"SET a 1\r\nHost: localhost\r\nSET b 1\r\n")
    assert tricked.session.speaks_http
    assert said(connection(), b"SET a 1\r\nGET a\r\nHost: x\r\n") == b""


ECHO_OF_FIVE = b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n"


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        (Settings(max_bulk_bytes=5, max_array_members=2), b"$5\r\nhello\r\n"),
        (Settings(max_bulk_bytes=4), b"-ERR Protocol error: invalid bulk length\r\n"),
        (Settings(max_array_members=1), b"-ERR Protocol error: invalid multibulk length\r\n"),
    ],
)
def test_how_long_and_how_many_arguments_are_is_a_setting(settings: Settings, answer: bytes) -> None:
    assert said(connection(settings), ECHO_OF_FIVE) == answer
