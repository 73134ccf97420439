"""Whose client is it? An array is Redis's, a verb of ours is ours, and a browser is neither."""

from __future__ import annotations

import pytest

from mvcc_kv.protocol.guard import is_http_request
from mvcc_kv.protocol.resp.sniffing import is_redis_inline, speaks_resp
from mvcc_kv.protocol.usage import USAGE


@pytest.mark.parametrize("first", [b"*1\r\n", b"*", b"\r\n*1", b"\n\n*", b"$4\r\n", b"\0"])
def test_what_no_line_begins_with_is_left_to_the_redis_parser(first: bytes) -> None:
    assert speaks_resp(first) is True


@pytest.mark.parametrize(
    "first", [b"", b"\r\n", b"GET a", b" *1", b"\tGET a", b"SET a b\r\n", b"{", "é".encode(), b"\x16\x03\x01", b"\x1b"]
)
def test_text_is_decided_by_its_first_whole_line(first: bytes) -> None:
    assert speaks_resp(first) is None


@pytest.mark.parametrize(
    "line",
    [
        b"SET a b",
        b"set a b\r",
        b"  IncR x",
        b'set """x""" v',
        b"\tHELLO 3",
        b"EXISTS",
        b"INFO\r\n",
        b"restore-asking x",
    ],
)
def test_a_command_that_only_redis_has_is_known(line: bytes) -> None:
    assert is_redis_inline(line)


@pytest.mark.parametrize("verb", sorted(USAGE))
def test_our_verbs_are_ours(verb: str) -> None:
    assert not is_redis_inline(f"{verb} a".encode())
    assert not is_redis_inline(verb.lower().encode())


@pytest.mark.parametrize("line", [b"", b"  ", b"SETTLE a", b"xSET a", b"Host: a", b'{"key": 1}', b"\xff"])
def test_what_is_no_command_is_not_taken_for_one(line: bytes) -> None:
    assert not is_redis_inline(line)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "CONNECT", "TRACE"])
def test_a_browser_is_left_to_the_guard(method: str) -> None:
    line = f"{method} /x HTTP/1.1".encode()
    assert is_http_request(line)
    assert not is_redis_inline(line)
    assert speaks_resp(line) is None
