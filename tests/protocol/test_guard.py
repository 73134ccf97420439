"""The HTTP guard: what a browser sends is known for what it is, and nothing that a client sends is."""

from __future__ import annotations

import pytest

from mvcc_kv.protocol.framing import Line, OverlongLine
from mvcc_kv.protocol.guard import is_host_header, is_http_request, may_hold_host_header, speaks_http

REQUESTS = [
    b"GET / HTTP/1.1",
    b"HEAD /x?y=1 HTTP/1.1",
    b"POST /commands HTTP/1.1",
    b"OPTIONS * HTTP/1.0",
    b"PUT /a HTTP/1.1",
    b"get http://localhost:8080/ http/1.1",
    b"CONNECT localhost:443 HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"GET / HTTP/3",
    b"GET  /  HTTP/1.1 ",
    "GET /é HTTP/1.1".encode(),
]
COMMANDS = [
    b"GET key1",
    b"PUT key1 value1",
    b"PUT key1 HTTP/1.1 is old",
    b"PUT a b HTTP/1.1",
    b"GET HTTP/1.1",
    b"PUT Host: x",
    b'PUT {"key": "Host:", "value": "GET / HTTP/1.1"}',
    b"PUT host x",
    b"START",
    b"\xff",
]


@pytest.mark.parametrize("line", REQUESTS)
def test_a_request_line_is_known_as_the_first_line_only(line: bytes) -> None:
    assert is_http_request(line)
    assert speaks_http([line, b"PUT a 1"], from_the_first=True)
    assert not speaks_http([line], from_the_first=False)
    assert not speaks_http([b"START", line], from_the_first=True)


@pytest.mark.parametrize("line", [b"Host: localhost", b"host:x", b"HOST : y", b" hOsT:", b"\tHost:\xff"])
@pytest.mark.parametrize("from_the_first", [True, False])
def test_a_host_header_is_known_anywhere(line: bytes, from_the_first: bool) -> None:
    assert is_host_header(line)
    assert speaks_http([b"START", b"PUT a 1", line], from_the_first=from_the_first)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_not_taken_for_http(line: bytes) -> None:
    assert not speaks_http([line, line], from_the_first=True)


@pytest.mark.parametrize("data", [b"x\nHost: y", b"HOST:", b"host :"])
def test_the_quick_look_misses_no_header_that_a_browser_writes(data: bytes) -> None:
    assert may_hold_host_header(data)


def overlong(line: bytes) -> OverlongLine:
    return OverlongLine(line[:1024], len(line))


@pytest.mark.parametrize(
    "line",
    [
        overlong(b"GET /" + b"x" * 5000 + b" HTTP/1.1"),
        overlong(b"POST http://localhost/" + b"x" * 1024 + b" HTTP/1.1"),
        overlong(b"get /" + b"x" * (1024 - 5 - 1) + b" HTTP/1.1"),
        overlong(b"GET /" + b"x" * (1024 - 5 - 4) + b" HTTP/1.1"),
        overlong(b"GET /" + b"x" * (1024 - 5 - 8) + b" HTTP/1.1"),
        overlong(b"Host: " + b"x" * 5000),
    ],
)
def test_a_request_too_long_for_a_line_is_known_too(line: Line) -> None:
    assert speaks_http([line], from_the_first=True)


@pytest.mark.parametrize(
    "line", [b"PUT /users/1 " + b"x" * 5000, b"PUT /a b " + b"HTTP" * 500, b"PUT k " + b"/" * 5000]
)
def test_a_command_too_long_for_a_line_is_not_taken_for_http(line: bytes) -> None:
    assert not speaks_http([overlong(line)], from_the_first=True)
