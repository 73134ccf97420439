"""The log's records: what is encoded is decoded, byte by byte as the format says, and limits are refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.durability.records import (
    FORMAT_VERSION,
    HEADER_BYTES,
    RECORD_HEADER_BYTES,
    RETAINING_VERSION,
    TOKEN_BYTES_MAX,
    Commit,
    SegmentHeader,
    chained_records,
    decode_commit,
    decode_header,
    decode_tokens,
    encode_any_commit,
    encode_commit,
    encode_header,
    encode_record,
    encode_tokens,
    find_records,
    read_record,
    retains_history,
    segment_name,
    segment_ts,
    tells_expiry,
)
from mvcc_kv.engine.history import Superseded
from mvcc_kv.errors import BadRequestError, LimitExceededError
from mvcc_kv.values import Expiring

U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
TOKENS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=63)
KEYS = TEXT.map(str.encode)
WRITES = st.dictionaries(KEYS, st.none() | KEYS | st.builds(Expiring, KEYS, U64), max_size=6)
VERSIONS = st.tuples(U64, KEYS)

# A log of two segments, byte by byte as the first release wrote it: commits 1 to 3, and 4 after a checkpoint.
FIRST_RELEASE = (
    "6d7663636b764c0a01000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "1b07eb0cff526563010000000000000000000000000000000000000000000000adff4aa202ff5265631600000001000000000000000000000000000000"
    "adff4aa2bca4be1601ffff0001401e18240a0600010000000100000061"
    "31ff5265632700000002000000000000000100000000000000bca4be1656b898d00102000202401e18240a06006d657432010000000100000061320200"
    "000003000000c3a9227822ff526563150000000300000000000000010000000000000056b898d0d69637d801ffff0003401e18240a060001000000ffff"
    "ffff61",
    "6d7663636b764c0a01000000d69637d80300000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "4a7ac563ff5265630c00000003000000000000000300000000000000d69637d8b43cc255020200000000000000027432"
    "ff5265631800000004000000000000000300000000000000b43cc255807f12fa0100000204401e18240a0600743401000000010000006234",
)


def times(writes: Iterable[tuple[bytes, bytes | None]]) -> dict[bytes, int]:
    """When those of the keys expire that do, which equality doesn't see."""
    return {key: value.expires_us for key, value in writes if isinstance(value, Expiring)}


@given(WRITES, st.none() | TEXT, st.none() | TOKENS, U64)
def test_a_commit_comes_back_as_it_was(
    writes: dict[bytes, bytes | None], label: str | None, token: str | None, time_us: int
) -> None:
    body = encode_commit(writes, label, token, time_us)
    commit = decode_commit(memoryview(body))
    assert commit == Commit(list(writes.items()), label, token, time_us)
    assert times(commit.writes) == times(writes.items())
    assert tells_expiry(body) == bool(times(writes.items()))


@given(WRITES, st.none() | TEXT, st.none() | TOKENS, U64, st.data())
def test_a_commit_comes_back_with_what_it_superseded(
    writes: dict[bytes, bytes | None], label: str | None, token: str | None, time_us: int, data: st.DataObject
) -> None:
    superseded: dict[bytes, Superseded] = {
        key: version for key in writes if (version := data.draw(st.none() | VERSIONS)) is not None
    }
    body = encode_commit(writes, label, token, time_us, superseded)
    commit = decode_commit(memoryview(body))
    assert commit == Commit(list(writes.items()), label, token, time_us, superseded)
    assert times(commit.writes) == times(writes.items())
    record = read_record(encode_record(body, 1, 0, 0)[0], 0)
    assert record is not None and record.is_commit


@given(KEYS, KEYS | st.just(b"x" * 2_000_000) | st.builds(Expiring, KEYS, U64) | st.none(), U64)
def test_the_short_cut_for_one_write_has_the_same_bytes(key: bytes, value: bytes | None, time_us: int) -> None:
    assert encode_commit({key: value}, None, None, time_us) == encode_any_commit(
        {key: value}, None, None, time_us, None
    )


@given(st.lists(st.tuples(TOKENS, U64)))
def test_tokens_come_back_as_they_were(tokens: list[tuple[str, int]]) -> None:
    assert decode_tokens(memoryview(encode_tokens(tokens))) == tokens


@given(U64, U32)
def test_a_header_comes_back_as_it_was(base_ts: int, base_crc: int) -> None:
    data = encode_header(SegmentHeader(base_ts, base_crc))
    assert len(data) == HEADER_BYTES
    assert decode_header(data + b"more") == SegmentHeader(base_ts, base_crc)
    assert decode_header(data[:-1]) is None
    assert not retains_history(data)
    retaining = encode_header(SegmentHeader(base_ts, base_crc), RETAINING_VERSION)
    assert decode_header(retaining) == SegmentHeader(base_ts, base_crc)
    assert retains_history(retaining)


@pytest.mark.parametrize("version", [FORMAT_VERSION, RETAINING_VERSION])
def test_a_header_that_was_about_to_tell_of_expiry_can_be_read_before_after_and_in_between(version: int) -> None:
    header = SegmentHeader(41, 0xABCD)
    before, after = encode_header(header, version), encode_header(header, version, expiring=True)
    for written in range(0, HEADER_BYTES, 4):
        data = after[:written] + before[written:]
        assert decode_header(data) == header
        assert retains_history(data) == (version == RETAINING_VERSION)


def test_a_time_too_late_for_a_record_is_the_last_that_it_can_tell() -> None:
    """Redis takes milliseconds that are 2**63 of them, and the server fell over its own log."""
    written = decode_commit(memoryview(encode_commit({b"k": Expiring(b"1", 2**63 * 1_000)}, None, None, 0)))
    assert times(written.writes) == {b"k": 2**64 - 1}


def test_the_format_of_a_commit_with_values_that_expire_is_as_it_is_written_down() -> None:
    header = encode_header(SegmentHeader(41, 0xABCD), expiring=True)
    assert header[:60] == b"mvcckvL\n" + struct.pack("<IIQ", 4, 0xABCD, 41) + bytes(36)
    retaining = encode_header(SegmentHeader(41, 0xABCD), RETAINING_VERSION, expiring=True)
    assert retaining[8:12] == struct.pack("<I", 5)
    expiries = struct.pack("<IIQIQ", 2, 0, 1_000, 2, 2_000)
    writes = {b"k": Expiring(b"1", 1_000), b"gone": None, b"l": Expiring(b"2", 2_000)}
    assert encode_commit(writes, "me", "t", 7) == (
        struct.pack("<BHBQ", 5, 2, 1, 7) + b"me" + b"t" + expiries
        + struct.pack("<II", 1, 1) + b"k" + b"1"
        + struct.pack("<II", 4, 0xFFFFFFFF) + b"gone"
        + struct.pack("<II", 1, 1) + b"l" + b"2"
    )  # fmt: skip
    assert (
        encode_commit(writes, "me", "t", 7, {})[:27] == struct.pack("<BHBQ", 7, 2, 1, 7) + b"me" + b"t" + expiries[:12]
    )


@given(st.binary(min_size=1, max_size=100), U64, U64, U32, st.binary(max_size=10), st.binary(max_size=10))
def test_a_record_comes_back_as_it_was_wherever_it_stands(
    body: bytes, commit_ts: int, durable_ts: int, chain: int, before: bytes, after: bytes
) -> None:
    data, crc = encode_record(body, commit_ts, durable_ts, chain)
    assert len(data) == RECORD_HEADER_BYTES + len(body)
    record = read_record(before + data + after, len(before))
    assert record is not None
    assert (record.offset, record.end) == (len(before), len(before) + len(data))
    assert (record.commit_ts, record.durable_ts, record.chain, record.crc) == (commit_ts, durable_ts, chain, crc)
    assert bytes(record.body) == body
    assert [found.offset for found in find_records(before + data + after, 0)] == [len(before)]


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_record_with_a_flipped_bit_is_none(body: bytes, data: st.DataObject) -> None:
    record, _ = encode_record(body, 1, 0, 0)
    bit = data.draw(st.integers(0, 8 * len(record) - 1))
    flipped = bytearray(record)
    flipped[bit // 8] ^= 1 << bit % 8
    assert read_record(bytes(flipped), 0) is None


def test_a_record_cut_short_is_none() -> None:
    record, _ = encode_record(b"body", 1, 0, 0)
    assert all(read_record(record[:size], 0) is None for size in range(len(record)))
    assert read_record(bytes(100), 0) is None


def test_records_are_found_behind_damage() -> None:
    first, crc = encode_record(b"first", 1, 0, 0)
    second, crc = encode_record(b"second", 2, 0, crc)
    third, _ = encode_record(b"third", 3, 0, crc)
    damaged = first + b"\xffRec\xff" + second[:-1] + b"\xff" + third
    assert [record.commit_ts for record in find_records(damaged, 0)] == [1, 3]


def test_the_format_is_as_it_is_written_down() -> None:
    header = encode_header(SegmentHeader(41, 0xABCD))
    assert header[:60] == b"mvcckvL\n" + struct.pack("<IIQ", 1, 0xABCD, 41) + bytes(36)
    assert header[60:] == struct.pack("<I", zlib.crc32(header[:60]))
    body = encode_commit({b"k": b"1", b"gone": None}, "me", "t", 7)
    assert body == (
        struct.pack("<BHBQ", 1, 2, 1, 7) + b"me" + b"t"
        + struct.pack("<II", 1, 1) + b"k" + b"1"
        + struct.pack("<II", 4, 0xFFFFFFFF) + b"gone"
    )  # fmt: skip
    record, crc = encode_record(body, 42, 41, 0xABCD)
    fields = struct.pack("<IQQI", len(body), 42, 41, 0xABCD)
    assert crc == zlib.crc32(fields + body)
    assert record == b"\xffRec" + fields + struct.pack("<I", crc) + body
    assert encode_tokens([("t", 42)]) == b"\x02" + struct.pack("<QB", 42, 1) + b"t"


def test_the_format_of_a_commit_that_says_what_it_superseded_is_as_it_is_written_down() -> None:
    header = encode_header(SegmentHeader(41, 0xABCD), RETAINING_VERSION)
    assert header[:60] == b"mvcckvL\n" + struct.pack("<IIQ", 2, 0xABCD, 41) + bytes(36)
    superseded = {b"k": (40, b"22"), b"gone": (7, b"")}
    body = encode_commit({b"k": b"1", b"gone": None, b"new": b"3", b"not there": None}, "me", "t", 7, superseded)
    assert body == (
        struct.pack("<BHBQ", 3, 2, 1, 7) + b"me" + b"t"
        + struct.pack("<III", 1, 1, 2) + b"k" + b"1" + struct.pack("<Q", 40) + b"22"
        + struct.pack("<III", 4, 0xFFFFFFFF, 0) + b"gone" + struct.pack("<Q", 7)
        + struct.pack("<III", 3, 1, 0xFFFFFFFF) + b"new" + b"3"
        + struct.pack("<III", 9, 0xFFFFFFFF, 0xFFFFFFFF) + b"not there"
    )  # fmt: skip


def test_a_log_of_the_first_release_is_read_and_its_format_still_written() -> None:
    first, second = (bytes.fromhex(segment) for segment in FIRST_RELEASE)
    header, next_header = decode_header(first), decode_header(second)
    assert header == SegmentHeader(0, 0) and next_header is not None
    found = [*chained_records(first, header), *chained_records(second, next_header)]
    assert next_header == SegmentHeader(3, found[3].crc)
    assert [decode_commit(record.body) for record in found if record.is_commit] == [
        Commit([(b"a", b"1")], None, None, 1_700_000_000_000_001),
        Commit([(b"a", b"2"), ("é".encode(), b'"x"')], "me", "t2", 1_700_000_000_000_002),
        Commit([(b"a", None)], None, None, 1_700_000_000_000_003),
        Commit([(b"b", b"4")], "", "t4", 1_700_000_000_000_004),
    ]
    assert decode_tokens(found[4].body) == [("t2", 2)]
    assert found[-1].end == len(second)
    again = encode_header(next_header, FORMAT_VERSION)
    for record in found[4:]:
        body = bytes(record.body)
        if record.is_commit:
            commit = decode_commit(record.body)
            body = encode_commit(dict(commit.writes), commit.label, commit.token, commit.time_us)
        again += encode_record(body, record.commit_ts, record.durable_ts, record.chain)[0]
    assert again == second


def test_no_label_and_an_empty_one_are_told_apart() -> None:
    for label in (None, ""):
        assert decode_commit(memoryview(encode_commit({}, label, None, 0))).label == label


def test_a_label_that_utf_8_can_not_hold_is_kept_as_far_as_it_can() -> None:
    assert decode_commit(memoryview(encode_commit({}, "a\ud800", None, 0))).label == "a?"


@pytest.mark.parametrize("token", ["", "x" * (TOKEN_BYTES_MAX + 1), "é" * 128, "\ud800"])
def test_a_token_that_a_record_can_not_hold_is_refused(token: str) -> None:
    with pytest.raises(BadRequestError, match="commit's id"):
        encode_commit({}, None, token, 0)


def test_the_longest_token_is_kept() -> None:
    token = "x" * TOKEN_BYTES_MAX
    assert decode_commit(memoryview(encode_commit({}, None, token, 0))).token == token


class Huge(bytes):
    """Bytes that say that they are longer than a test has memory for."""

    size = 0

    def __len__(self) -> int:
        return self.size


@pytest.mark.parametrize("size", [2**32, 2**40])
def test_writes_that_a_record_can_not_hold_are_refused(size: int) -> None:
    huge = Huge(b"x")
    huge.size = size
    writes: list[Mapping[bytes, bytes | None]] = [{b"k": huge}, {huge: b"1"}, {huge: None}]
    for refused in writes:
        with pytest.raises(LimitExceededError) as raised:
            encode_commit(refused, None, None, 0)
        assert raised.value.evidence["actual"] >= size
        assert raised.value.evidence["limit"] == 2**32 - 1
    with pytest.raises(LimitExceededError, match="supersedes") as raised:
        encode_commit({b"k": b"1"}, None, None, 0, {b"k": (1, huge)})
    assert raised.value.evidence["actual"] >= size


def test_names_are_in_the_order_of_their_timestamps() -> None:
    names = [segment_name(ts) for ts in (0, 9, 10, 2**40)]
    assert names == sorted(names)
    assert [segment_ts(name) for name in names] == [1, 10, 11, 2**40 + 1]
    for other in ("log-1.wal", "log-00000000000000000001.wal.tmp", "xlog-00000000000000000001.wal", "checkpoint.json"):
        assert segment_ts(other) is None
