"""hiredis's twin: the same commands and the same errors after the same bytes, whatever is sent."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mvcc_kv.protocol.resp.hiredis_requests import HAS_HIREDIS, request_parser
from mvcc_kv.protocol.resp.requests import Command, RequestParser
from tests.protocol.resp.streams import PIECES, cut, cuts, encoded, pipelines, streams

pytestmark = pytest.mark.skipif(not HAS_HIREDIS, reason="needs the extra mvcc-kv[redis]")


def check_identical(stream: bytes, places: list[int], *, bulk_bytes_max: int = 1 << 29) -> None:
    pure = RequestParser(bulk_bytes_max=bulk_bytes_max)
    twin = request_parser(bulk_bytes_max=bulk_bytes_max, with_hiredis=True)
    for part in cut(stream, places):
        assert twin.receive(part) == pure.receive(part)
        assert twin.is_unfinished == pure.is_unfinished
        assert (twin.error and twin.error.reply) == (pure.error and pure.error.reply)


@given(pipelines, cuts)
def test_valid_pipelines_are_read_the_same(pipeline: list[Command], places: list[int]) -> None:
    check_identical(encoded(pipeline), places)


@given(pipelines, st.integers(0, 400), st.integers(0, 3), st.sampled_from(PIECES), cuts)
def test_damaged_pipelines_are_read_the_same(
    pipeline: list[Command], at: int, gone: int, piece: bytes, places: list[int]
) -> None:
    stream = encoded(pipeline)
    check_identical(stream[:at] + piece + stream[at + gone :], places)


@given(streams, cuts)
@example(b"*1\r\n+foo\r\n*1\r", [])
@example(b"*1\r\n+0123456789\r\n*1\r\n", [])
@example(b"*1\r\n=7\r\ntxt:foo\r\n", [])
@example(b"*1\r\n(12\r\n", [])
@example(b"*1\r\n$1\r\naXX*1\r\n$1\r\nb\r\n", [])
@example(b"*1\r\n*4000000000\r\n", [])
@example(b"*4000000000\r\n", [])
@example(b"$0\r\n\r\n*1\r\n$1\r\na\r\n", [])
@example(b"#f\r\n*1\r\n$1\r\na\r\n", [])
@example(b":0\r\n*1\r\n$1\r\na\r\n", [])
@example(b"*1\r\n*0\r\n*1\r\n$1\r\na\r\n", [])
def test_anything_is_read_the_same(stream: bytes, places: list[int]) -> None:
    check_identical(stream, places)


@given(st.binary(max_size=100), cuts)
def test_random_bytes_are_read_the_same(stream: bytes, places: list[int]) -> None:
    check_identical(stream, places)


@given(pipelines)
def test_lowered_limits_hold_too(pipeline: list[Command]) -> None:
    check_identical(encoded(pipeline), [], bulk_bytes_max=10)
