"""hiredis's twin: the same commands and the same errors after the same bytes, whatever is sent."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mvcc_kv.protocol.resp.hiredis_requests import hiredis_scan, request_parser
from mvcc_kv.protocol.resp.requests import RequestParser
from mvcc_kv.protocol.resp.scanning import BY_HEART_BYTES, BY_HEART_MEMBERS, Command, Scan, compiled_scan, scan
from tests.protocol.resp.streams import PIECES, cut, cuts, encoded, pipelines, streams


def check_identical(stream: bytes, places: list[int], *, bulk_bytes_max: int = 1 << 29) -> None:
    pure = RequestParser(bulk_bytes_max=bulk_bytes_max)
    twin = RequestParser(bulk_bytes_max=bulk_bytes_max, scan=hiredis_scan)
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


def _is_large(command: Command) -> bool:
    return len(command) > BY_HEART_MEMBERS or max(map(len, command)) > BY_HEART_BYTES


@given(pipelines)
def test_hiredis_takes_no_less_of_what_clients_write(pipeline: list[Command]) -> None:
    (by_hiredis, rest), (by_pure, pure_rest) = hiredis_scan(encoded(pipeline)), scan(encoded(pipeline))
    assert len(by_hiredis) >= len(by_pure) or any(_is_large(command) for command in pipeline)
    assert encoded(by_hiredis) + rest == encoded(by_pure) + pure_rest


@pytest.mark.parametrize("with_hiredis", [True, False])
@pytest.mark.parametrize("compiled", [compiled_scan, None])
def test_a_long_pipeline_is_read_with_it_and_without(with_hiredis: bool, compiled: Scan | None) -> None:
    pipeline = [[b"SET", b"k%d" % number, b"a\r\nb" * (number % 9)] for number in range(2_000)]
    parser = request_parser(with_hiredis=with_hiredis, compiled=compiled)
    found = [command for part in cut(encoded(pipeline), [*range(0, 60_000, 7_777)]) for command in parser.receive(part)]
    assert found == pipeline
