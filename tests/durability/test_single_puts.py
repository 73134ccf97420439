"""Commits that only put a key, replayed in one go: what comes of it is what comes of them one by one."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.durability.records import (
    SegmentHeader,
    chained_records,
    decode_commit,
    encode_commit,
    encode_record,
    encode_tokens,
)
from mvcc_kv.durability.single_puts import replay_puts, replay_puts_in_python
from mvcc_kv.values import Expiring

KEYS = st.sampled_from([b"", b"a", b"key:000000000001", "é".encode()])
VALUES = st.sampled_from([b"1", b'"%032d"' % 7, b"", b"x" * 300])
PUTS = st.tuples(st.dictionaries(KEYS, VALUES, min_size=1, max_size=1), st.none(), st.none(), st.none())
OTHERS = st.tuples(
    st.dictionaries(KEYS, VALUES | st.none() | st.just(Expiring(b"1", 5)), max_size=2),
    st.none() | st.just("label") | st.just(""),
    st.none() | st.just("token"),
    st.none() | st.just({b"a": (1, b"0")}),
)
BODIES = st.lists(
    (PUTS | PUTS | PUTS | OTHERS).map(lambda it: encode_commit(it[0], it[1], it[2], 7, it[3])), max_size=8
)
BODIES = st.tuples(BODIES, st.booleans(), BODIES).map(lambda it: [*it[0], *[encode_tokens([("t", 1)])] * it[1], *it[2]])

Place = tuple[int, int, int]


def compiled() -> Callable[..., Place]:
    """The compiled one. Without a compiler there is none; where this must not pass unnoticed, CI is set."""
    try:
        found: Callable[..., Place] = import_module("mvcc_kv.durability._single_puts").replay_puts
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("it was not compiled")
    return found


def framed(bodies: list[bytes], end_ts: int, end_crc: int) -> bytes:
    records = []
    for body in bodies:
        end_ts += body[0] != 2
        record, end_crc = encode_record(body, end_ts, 0, end_crc)
        records.append(record)
    return b"".join(records)


def one_by_one(data: bytes, offset: int, end: SegmentHeader, items: dict[bytes, bytes], count: int) -> Place:
    """What the rule says: decode record after record, and stop at what is no put of one key."""
    for record in chained_records(data, end, offset):
        if not count or not record.is_commit:
            break
        commit = decode_commit(record.body)
        is_put = len(commit.writes) == 1 and type(commit.writes[0][1]) is bytes
        if not is_put or commit.label is not None or commit.token is not None or commit.superseded is not None:
            break
        items.update(commit.writes)  # type: ignore[arg-type]
        offset, end, count = record.end, SegmentHeader(record.commit_ts, record.crc), count - 1
    return offset, *end


@settings(max_examples=500)
@given(
    BODIES, st.integers(0, 3), st.sampled_from([0, 2**40]), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 3, 99])
)
def test_a_run_of_puts_is_what_they_are_one_by_one(
    bodies: list[bytes], skip: int, end_ts: int, end_crc: int, count: int
) -> None:
    data = b"-" * skip + framed(bodies, end_ts, end_crc)
    expected: dict[bytes, bytes] = {b"before": b"1"}
    place = one_by_one(data, skip, SegmentHeader(end_ts, end_crc), expected, count)
    for replay in (replay_puts_in_python, compiled()):
        items = {b"before": b"1"}
        assert replay(data, skip, end_ts, end_crc, items, count) == place
        assert list(items.items()) == list(expected.items())
        assert all(type(it) is bytes for pair in items.items() for it in pair)


@settings(max_examples=500)
@given(BODIES, st.data())
def test_damage_ends_a_run_where_it_ends_the_records(bodies: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(framed(bodies, 0, 0))
    for _ in range(data.draw(st.integers(0, 2))):
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    text = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    expected: dict[bytes, bytes] = {}
    place = one_by_one(text, 0, SegmentHeader(0, 0), expected, 99)
    for replay in (replay_puts_in_python, compiled()):
        items: dict[bytes, bytes] = {}
        assert replay(text, 0, 0, 0, items, 99) == place
        assert items == expected


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3), st.data())
def test_lengths_that_lie_are_nobodys_puts(parts: list[bytes], data: st.DataObject) -> None:
    """The checksum holds, the lengths within the body don't add up: the reader is left to say what that is."""
    numbers = st.sampled_from([0, 1, 20, 2**31, 2**32 - 1, 2**32 - 20])
    lengths = b"".join(data.draw(numbers).to_bytes(4, "little") for _ in range(2))
    body = encode_commit({}, None, None, 7) + lengths + b"".join(parts)
    record, crc = encode_record(body, 1, 0, 0)
    is_put = int.from_bytes(lengths[:4], "little") + int.from_bytes(lengths[4:], "little") + 20 == len(body)
    for replay in (replay_puts_in_python, compiled()):
        assert replay(record, 0, 0, 0, {}, 99) == ((len(record), 1, crc) if is_put else (0, 0, 0))


@given(st.binary(max_size=300))
def test_the_compiled_checksum_is_zlibs(value: bytes) -> None:
    record, crc = encode_record(encode_commit({b"k": value}, None, None, 7), 1, 0, 0)
    assert crc == zlib.crc32(record[32:], zlib.crc32(record[4:28]))
    assert compiled()(record, 0, 0, 0, {}, 1) == (len(record), 1, crc)


def test_a_log_of_puts_is_replayed_in_one_go() -> None:
    """So a start is as fast as it is said to be."""
    bodies = [encode_commit({b"key:%012d" % number: b"1"}, None, None, 7) for number in range(1_000)]
    data, items = framed(bodies, 0, 0), dict[bytes, Any]()
    assert replay_puts(data, 0, 0, 0, items, 2_000)[:2] == (len(data), 1_000)
    assert len(items) == 1_000
