r"""The log's format, version 1: segments of records, byte by byte. Pure: bytes in, bytes out.

All numbers are little-endian and unsigned. A segment, `log-00000000000000000042.wal`, is named after the first
commit_ts that it may hold. It begins with 64 bytes:

    at   bytes
     0   8      b"mvcckvL\n"
     8   4      format version: 1
    12   4      base crc: the crc of the last record before this segment; 0 if there is none
    16   8      base ts: the commit_ts of the last commit before this segment
    24   36     zeros
    60   4      crc: zlib's CRC-32 of the 60 bytes before

Then records follow each other without a gap, and zeros up to the end of the space that was set aside:

     0   4      b"\xffRec" (no JSON text holds a byte 0xff, so a value can't look like a record)
     4   4      length of the body
     8   8      commit_ts
    16   8      durable ts: every commit up to this one was on disk when this record was written
    24   4      chain: the crc of the record before (the base crc for a segment's first)
    28   4      crc: zlib's CRC-32 of the 24 bytes from `length` to `chain` and of the body
    32   ...    body

A commit's body:

     0   1      kind: 1
     1   2      length of the label in UTF-8; 65535: no label
     3   1      length of the token; 0: no token
     4   8      time of the commit, microseconds since 1970
    12   ...    label, token, then for each write:
         4      length of the key
         4      length of the value; 0xffffffff: the key is deleted, and no value follows
         ...    key, value: UTF-8, JSON text

A body of kind 2 keeps the tokens of earlier commits (exactly-once commits) when the log moves on to a new segment:
after the kind, for each token 8 bytes commit_ts, 1 byte length, the token. An empty token: everything up to its
commit_ts is forgotten. Its record has the commit_ts of the commit before it.

Rules: commit timestamps go up by one; each record's chain is the crc of the one before. So a record that is missing,
twice there, or from somewhere else is noticed, and every record can be recognised by itself.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from mvcc_kv.errors import BadRequestError, LimitExceededError

__all__ = [
    "HEADER_BYTES",
    "RECORD_HEADER_BYTES",
    "Commit",
    "Record",
    "SegmentHeader",
    "decode_commit",
    "decode_header",
    "decode_tokens",
    "encode_commit",
    "encode_header",
    "encode_record",
    "encode_tokens",
    "find_records",
    "read_record",
    "segment_name",
    "segment_ts",
]

FORMAT_VERSION = 1
HEADER_BYTES = 64
RECORD_HEADER_BYTES = 32
BODY_BYTES_MAX = 0xFFFFFFFF
TOKEN_BYTES_MAX = 255

_MAGIC = b"mvcckvL\n"
_RECORD_MAGIC = b"\xffRec"
_HEADER = Struct("<8sIIQ36x")
_RECORD = Struct("<IQQI")
_U32 = Struct("<I")
_COMMIT = Struct("<BHBQ")
_WRITE = Struct("<II")
_TOKEN = Struct("<QB")
_COMMIT_KIND, _TOKENS_KIND = 1, 2
_TOMBSTONE = 0xFFFFFFFF
_NO_LABEL = 0xFFFF
_NAME = re.compile(r"log-([0-9]{20})\.wal\Z")


class SegmentHeader(NamedTuple):
    """Where a segment continues the log: after this commit, whose record had this crc."""

    base_ts: int
    base_crc: int


class Record(NamedTuple):
    """A whole record: its checksum holds. Whether it belongs where it stands is for the reader to see."""

    offset: int
    end: int
    commit_ts: int
    durable_ts: int
    chain: int
    crc: int
    body: memoryview

    @property
    def is_commit(self) -> bool:
        return self.body[0] == _COMMIT_KIND


class Commit(NamedTuple):
    """What one transaction wrote; a value of None deletes."""

    writes: list[tuple[bytes, bytes | None]]
    label: str | None
    token: str | None
    time_us: int


def segment_name(base_ts: int) -> str:
    """The name of the segment that continues after `base_ts`.

    >>> segment_name(41)
    'log-00000000000000000042.wal'
    """
    return f"log-{base_ts + 1:020}.wal"


def segment_ts(name: str) -> int | None:
    """The first commit_ts that the segment of this name may hold; None if it's no segment's name."""
    match = _NAME.match(name)
    return None if match is None else int(match[1])


def encode_header(header: SegmentHeader) -> bytes:
    """A segment's first 64 bytes."""
    head = _HEADER.pack(_MAGIC, FORMAT_VERSION, header.base_crc, header.base_ts)
    return head + _U32.pack(zlib.crc32(head))


def decode_header(data: bytes) -> SegmentHeader | None:
    """The header, or None if these are not one's bytes. Raises `ValueError` for a newer format version."""
    if len(data) < HEADER_BYTES or _U32.unpack_from(data, 60)[0] != zlib.crc32(memoryview(data)[:60]):
        return None
    magic, version, base_crc, base_ts = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        return None
    if version > FORMAT_VERSION:
        raise ValueError(f"format version {version}, from a newer mvcc-kv; this one reads version {FORMAT_VERSION}")
    return SegmentHeader(base_ts, base_crc)


def encode_record(body: bytes, commit_ts: int, durable_ts: int, chain: int) -> tuple[bytes, int]:
    """The record's bytes and its crc, which the next one's chain repeats."""
    fields = _RECORD.pack(len(body), commit_ts, durable_ts, chain)
    crc = zlib.crc32(body, zlib.crc32(fields))
    return b"".join((_RECORD_MAGIC, fields, _U32.pack(crc), body)), crc


def read_record(data: bytes, offset: int) -> Record | None:
    """The whole record at `offset`, or None if there is none."""
    start = offset + RECORD_HEADER_BYTES
    if len(data) < start + 1 or data[offset : offset + 4] != _RECORD_MAGIC:
        return None
    length, commit_ts, durable_ts, chain = _RECORD.unpack_from(data, offset + 4)
    end = start + length
    if length == 0 or end > len(data):
        return None
    (crc,) = _U32.unpack_from(data, offset + 28)
    view = memoryview(data)
    body = view[start:end]
    if zlib.crc32(body, zlib.crc32(view[offset + 4 : offset + 28])) != crc:
        return None
    return Record(offset, end, commit_ts, durable_ts, chain, crc, body)


def find_records(data: bytes, offset: int) -> Iterator[Record]:
    """Every whole record at or after `offset`, wherever it stands: what is left behind a damage."""
    while (offset := data.find(_RECORD_MAGIC, offset)) >= 0:
        record = read_record(data, offset)
        if record is None:
            offset += 1
        else:
            yield record
            offset = record.end


def encode_commit(writes: Mapping[bytes, bytes | None], label: str | None, token: str | None, time_us: int) -> bytes:
    """A commit's body. Raises `BadRequestError` or `LimitExceededError` for a token or writes that it can't hold."""
    label_bytes = b"" if label is None else label.encode(errors="replace")
    token_bytes = b"" if token is None else _token_bytes(token)
    label_length = _NO_LABEL if label is None else len(label_bytes)
    parts = [_COMMIT.pack(_COMMIT_KIND, label_length, len(token_bytes), time_us), label_bytes, token_bytes]
    try:
        for key, value in writes.items():
            if value is None:
                parts += (_WRITE.pack(len(key), _TOMBSTONE), key)
            else:
                parts += (_WRITE.pack(len(key), len(value)), key, value)
    except StructError:
        raise _too_large(writes) from None
    body = b"".join(parts)
    if len(body) > BODY_BYTES_MAX:
        raise _too_large(writes)
    return body


def _token_bytes(token: str) -> bytes:
    try:
        data = token.encode()
    except UnicodeEncodeError as error:
        raise BadRequestError(f"the commit's id {token!r} can't be written in UTF-8: {error.reason}") from None
    if not 0 < len(data) <= TOKEN_BYTES_MAX:
        raise BadRequestError(f"a commit's id has 1 to {TOKEN_BYTES_MAX} bytes in UTF-8, not {len(data)}")
    return data


def _too_large(writes: Mapping[bytes, bytes | None]) -> LimitExceededError:
    actual = sum(len(key) + len(value or b"") for key, value in writes.items())
    return LimitExceededError(
        f"the log takes at most {BODY_BYTES_MAX} bytes in one transaction, not {actual}",
        limit=BODY_BYTES_MAX,
        actual=actual,
    )


def decode_commit(body: memoryview) -> Commit:
    """The commit that a whole record's body tells of."""
    _, label_length, token_length, time_us = _COMMIT.unpack_from(body)
    at = _COMMIT.size
    label = None
    if label_length != _NO_LABEL:
        label = str(body[at : at + label_length], "utf-8")
        at += label_length
    token = str(body[at : at + token_length], "utf-8") or None
    at += token_length
    writes: list[tuple[bytes, bytes | None]] = []
    while at < len(body):
        key_length, value_length = _WRITE.unpack_from(body, at)
        at += _WRITE.size
        key = bytes(body[at : at + key_length])
        at += key_length
        if value_length == _TOMBSTONE:
            writes.append((key, None))
        else:
            writes.append((key, bytes(body[at : at + value_length])))
            at += value_length
    return Commit(writes, label, token, time_us)


def encode_tokens(tokens: Iterable[tuple[str, int]]) -> bytes:
    """The body that keeps `(token, commit_ts)` pairs."""
    pairs = ((token.encode(), commit_ts) for token, commit_ts in tokens)
    return bytes([_TOKENS_KIND]) + b"".join(_TOKEN.pack(commit_ts, len(token)) + token for token, commit_ts in pairs)


def decode_tokens(body: memoryview) -> list[tuple[str, int]]:
    """The `(token, commit_ts)` pairs that a whole record's body keeps."""
    tokens, at = [], 1
    while at < len(body):
        commit_ts, length = _TOKEN.unpack_from(body, at)
        at += _TOKEN.size
        tokens.append((str(body[at : at + length], "utf-8"), commit_ts))
        at += length
    return tokens
