"""Framed together, commits are the records that each of them would be; the compiled twin has the same bytes."""

from __future__ import annotations

import os
import zlib
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.durability.files import OsFileSystem
from mvcc_kv.durability.framing import Framed, frame_in_python
from mvcc_kv.durability.log import Log, LogEnd
from mvcc_kv.durability.records import (
    SegmentHeader,
    chained_records,
    decode_commit,
    encode_commit,
    encode_header,
    encode_record,
    single_write_head,
)

U64 = st.integers(0, 2**64 - 2_000)
BODIES = st.binary(min_size=1, max_size=300)
WRITES = st.tuples(st.binary(max_size=40), st.binary(max_size=300))
SEVERAL = st.lists(WRITES, min_size=1, max_size=3).map(dict)


def compiled() -> Any:
    """The compiled twin. Without a compiler there is none; where this must not pass unnoticed, CI is set."""
    try:
        return import_module("mvcc_kv.durability._framing").frame
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("framing was not compiled")


BOTH = pytest.mark.parametrize("frame", [frame_in_python, lambda *arguments: compiled()(*arguments)])


@settings(max_examples=300)
@given(
    commits=st.lists(st.one_of(BODIES, WRITES), max_size=20),
    head=st.one_of(st.integers(0, 2**60).map(single_write_head), st.binary(max_size=5)),
    first_ts=U64,
    durable_ts=U64,
    chain=st.integers(0, 2**32 - 1),
)
def test_the_compiled_twin_frames_to_the_byte_what_the_one_in_python_frames(
    commits: list[Framed], head: bytes, first_ts: int, durable_ts: int, chain: int
) -> None:
    expected = frame_in_python(commits, head, first_ts, durable_ts, chain)
    assert compiled()(commits, head, first_ts, durable_ts, chain) == expected


@BOTH
@given(writes=st.lists(WRITES, min_size=1, max_size=20), time_us=st.integers(0, 2**63))
def test_single_writes_are_read_as_the_commits_that_they_are(
    frame: Any, writes: list[tuple[bytes, bytes]], time_us: int
) -> None:
    data, crc = frame(writes, single_write_head(time_us), 8, 5, 77)
    records = list(chained_records(encode_header(SegmentHeader(7, 77)) + data, SegmentHeader(7, 77)))
    assert [record.commit_ts for record in records] == list(range(8, 8 + len(writes)))
    assert records[-1].crc == crc and {record.durable_ts for record in records} == {5}
    for record, (key, value) in zip(records, writes, strict=True):
        assert bytes(record.body) == encode_commit({key: value}, None, None, time_us)
        assert decode_commit(record.body).writes == [(key, value)]


@settings(deadline=None)
@given(st.lists(st.one_of(st.tuples(WRITES, U64), st.lists(st.one_of(WRITES, SEVERAL), max_size=4)), max_size=12))
def test_a_batch_of_lanes_and_single_commits_is_the_records_one_after_the_other(gathered: list[Any]) -> None:
    """Whatever came how: a tuple is a commit of its own with its time, a list a lane at the time 9, with dicts too."""
    log = Log("nowhere", LogEnd(40, 77), files=OsFileSystem())
    bodies: list[bytes] = []
    for it in gathered:
        if isinstance(it, list):
            log.append_lane(41 + len(bodies), list(it), 9, "EXEC")
            for one in it:
                writes, label = (one, "EXEC") if isinstance(one, dict) else (dict([one]), None)
                bodies.append(encode_commit(writes, label, None, 9))
        else:
            (key, value), time_us = it
            log.append(41 + len(bodies), {key: value}, "label", None, time_us, None)
            bodies.append(encode_commit({key: value}, "label", None, time_us))
    expected, crc = b"", 77
    for commit_ts, body in enumerate(bodies, 41):
        record, crc = encode_record(body, commit_ts, 40, crc)
        expected += record
    assert log.has_pending == bool(bodies)
    batch = log.batch()
    assert (batch is None) == (not bodies) and not log.has_pending
    assert batch is None or batch == (expected, 40 + len(bodies), crc, False)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 63, 64, 65, 4095, 1_000_000])
def test_the_checksum_is_zlib_s_whatever_the_length(length: int) -> None:
    body = bytes(number * 7 % 256 for number in range(length))
    data, crc = compiled()([body], b"", 1, 0, 0)
    assert crc == zlib.crc32(body, zlib.crc32(data[4:28])) and data[32:] == body


@pytest.mark.parametrize("commit", [None, "text", (b"key",), (b"key", None), (b"key", "value"), [b"key", b"value"]])
def test_what_is_no_commit_is_refused_before_anything_is_framed(commit: Any) -> None:
    with pytest.raises(TypeError):
        compiled()([b"body", commit], b"", 1, 0, 0)


def test_nothing_framed_is_nothing() -> None:
    assert frame_in_python([], b"", 1, 0, 5) == compiled()([], b"", 1, 0, 5) == (b"", 5)
