"""The compiled scan takes what the one in Python takes, to the byte."""

from __future__ import annotations

import os
from importlib import import_module

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mvcc_kv.protocol.resp.scanning import BY_HEART_BYTES, BY_HEART_MEMBERS, Command, Scan, scan
from tests.protocol.resp.streams import PIECES, encoded, pipelines, streams


def compiled() -> Scan:
    """The compiled scan. Without a compiler there is none; where this must not pass unnoticed, CI is set."""
    try:
        found: Scan = import_module("mvcc_kv.protocol.resp._scanning").scan
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("the scan was not compiled")
    return found


@settings(max_examples=300)
@given(pipelines, st.integers(0, 400), st.integers(0, 3), st.sampled_from(PIECES), st.integers(0, 400))
def test_damaged_pipelines_are_scanned_the_same(
    pipeline: list[Command], at: int, gone: int, piece: bytes, length: int
) -> None:
    stream = encoded(pipeline)
    for data in (stream, stream[:length], stream[:at] + piece + stream[at + gone :]):
        assert compiled()(data) == scan(data)


@given(st.one_of(streams, st.binary(max_size=100)))
@example(b"*0\r\n*1\r\n$1\r\na\r\n")
@example(b"*01\r\n$1\r\na\r\n")
@example(b"*1\r\n$01\r\na\r\n")
@example(b"*1\r\n$-1\r\n")
@example(b"*1\r\n$99999999999999999999\r\n")
@example(b"*2\r\n$3\r\nGET\r\n$3\r\n\r\n\r\r\n")
def test_anything_is_scanned_the_same(data: bytes) -> None:
    assert compiled()(data) == scan(data)


@pytest.mark.parametrize("length", [BY_HEART_BYTES, BY_HEART_BYTES + 1])
@pytest.mark.parametrize("members", [1, 2, 3, 4, BY_HEART_MEMBERS, BY_HEART_MEMBERS + 1])
def test_both_know_arguments_and_commands_of_the_same_size_by_heart(length: int, members: int) -> None:
    data = encoded([[b"PING"], [b"a"] * (members - 1) + [b"x" * length], [b"PING"]])
    assert compiled()(data) == scan(data)


def test_only_bytes_are_scanned() -> None:
    with pytest.raises(TypeError, match="not bytearray"):
        compiled()(bytearray(b"*1"))  # type: ignore[arg-type]
