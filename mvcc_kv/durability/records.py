r"""The log's format, versions 1, 2, 4 and 5: segments of records, byte by byte. Pure: bytes in, bytes out.

All numbers are little-endian and unsigned. A segment, `log-00000000000000000042.wal`, is named after the first
commit_ts that it may hold. It begins with 64 bytes:

    at   bytes
     0   8      b"mvcckvL\n"
     8   4      format version: 1; 2 where history is retained, and only there are records of kind 3. 4 and 5 are
                as 1 and 2 with records of kind 5 and 7: a segment becomes one when the first of them is written,
                in place; if that was cut short, its crc may be the one that it had before.
                (3 is none: from 1 to 3 it is but one flipped bit)
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

Where history is retained, a commit tells what it superseded too. Then its kind is 3, it begins as above, and its writes
are, each:

     0   4      length of the key
     4   4      length of the value; 0xffffffff: the key is deleted, and there is no value
     8   4      length of the value before; 0xffffffff: the key had none, and the next 8 bytes are not there either
    12   ...    key, value, 8 bytes commit_ts of the value before, the value before

A commit with values that expire has the kind 5 instead of 1, or 7 instead of 3. Then it tells, between the token and
the writes, which ones and when:

     0   4      how many
     4   ...    for each 4 bytes which write, the first being 0, and 8 bytes when: microseconds since 1970

(Not of what it superseded: the past is told by commits, and a value was there until the one that took it away.)

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
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from mvcc_kv.engine.history import Superseded
from mvcc_kv.errors import BadRequestError, LimitExceededError
from mvcc_kv.values import Expiring

__all__ = [
    "FORMAT_VERSION",
    "HEADER_BYTES",
    "RECORD_HEADER_BYTES",
    "RETAINING_VERSION",
    "Commit",
    "Fault",
    "Record",
    "SegmentHeader",
    "chained_records",
    "decode_commit",
    "decode_header",
    "decode_tokens",
    "encode_any_commit",
    "encode_commit",
    "encode_header",
    "encode_record",
    "encode_single_write",
    "encode_tokens",
    "find_records",
    "read_record",
    "retains_history",
    "segment_name",
    "segment_ts",
    "single_write_head",
    "tells_expiry",
]

FORMAT_VERSION = 1
RETAINING_VERSION = 2
HEADER_BYTES = 64
RECORD_HEADER_BYTES = 32
BODY_BYTES_MAX = 0xFFFFFFFF
TOKEN_BYTES_MAX = 255
_SHORT_BYTES_MAX = 1024 * 1024  # surely short enough for a body

_MAGIC = b"mvcckvL\n"
_RECORD_MAGIC = b"\xffRec"
_HEADER = Struct("<8sIIQ36x")
_RECORD = Struct("<IQQI")
_U32 = Struct("<I")
_COMMIT = Struct("<BHBQ")
_WRITE = Struct("<II")
_RETAINED_WRITE = Struct("<III")
_TIMESTAMP = Struct("<Q")
_TOKEN = Struct("<QB")
_EXPIRY = Struct("<IQ")
_EXPIRY_US_MAX = 2**64 - 1  # Redis takes later ones, and after a restart they are this one
_COMMIT_KIND, _TOKENS_KIND, _RETAINED_KIND = 1, 2, 3
_EXPIRING = 4  # added to a commit's kind
_COMMIT_KINDS = (_COMMIT_KIND, _RETAINED_KIND, _COMMIT_KIND | _EXPIRING, _RETAINED_KIND | _EXPIRING)
_EXPIRING_VERSIONS = 3  # added to a segment's version
_VERSION_MAX = RETAINING_VERSION + _EXPIRING_VERSIONS
_NO_VALUE = 0xFFFFFFFF
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
        return self.body[0] in _COMMIT_KINDS


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a segment stops making sense, and what that is. `commits` is the range of commit_ts concerned."""

    file: str
    offset: int
    reason: str
    commits: tuple[int, int]
    dropped_bytes: int = 0

    def __str__(self) -> str:
        first, last = self.commits
        return f"{self.file} at byte {self.offset}: {self.reason} (commits {first} to {last})"


class Commit(NamedTuple):
    """What one transaction wrote; a value of None deletes.

    `superseded`: for each written key that had a value, that version; None if the record doesn't tell.
    """

    writes: list[tuple[bytes, bytes | None]]
    label: str | None
    token: str | None
    time_us: int
    superseded: dict[bytes, Superseded] | None = None


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


def encode_header(header: SegmentHeader, version: int = FORMAT_VERSION, *, expiring: bool = False) -> bytes:
    """A segment's first 64 bytes. Only in one of `RETAINING_VERSION` may commits tell what they superseded.

    And only in an `expiring` one may their values expire.
    """
    version += _EXPIRING_VERSIONS if expiring else 0
    head = _HEADER.pack(_MAGIC, version, header.base_crc, header.base_ts)
    return head + _U32.pack(zlib.crc32(head))


def decode_header(data: bytes) -> SegmentHeader | None:
    """The header, or None if these are not one's bytes. Raises `ValueError` for a newer format version."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, base_crc, base_ts = _HEADER.unpack_from(data)
    header = SegmentHeader(base_ts, base_crc)
    if _U32.unpack_from(data, 60)[0] != zlib.crc32(memoryview(data)[:60]) and not _is_half_changed(data, header):
        return None
    if magic != _MAGIC:
        return None
    if version > _VERSION_MAX:
        raise ValueError(
            f"format version {version}, from a newer mvcc-kv; this one reads versions up to {_VERSION_MAX}"
        )
    return header


def _is_half_changed(data: bytes, header: SegmentHeader) -> bool:
    """Whether the header was about to become that of an expiring segment, and has the crc that it had before."""
    before = _HEADER.unpack_from(data)[1] - _EXPIRING_VERSIONS
    return before in (FORMAT_VERSION, RETAINING_VERSION) and bool(data[60:64] == encode_header(header, before)[60:64])


def retains_history(data: bytes) -> bool:
    """Whether the segment whose bytes these are, with a header that can be read, may tell what commits superseded."""
    return _HEADER.unpack_from(data)[1] in (RETAINING_VERSION, RETAINING_VERSION + _EXPIRING_VERSIONS)


def tells_expiry(body: bytes) -> bool:
    """Whether this is the body of a commit with values that expire."""
    return body[0] in _COMMIT_KINDS and body[0] & _EXPIRING > 0


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


def chained_records(data: bytes, header: SegmentHeader, offset: int = HEADER_BYTES) -> Iterator[Record]:
    """The segment's records from the first on, as long as each one follows the one before it.

    Or from those at `offset` on; the header is then what a segment that began there would have.
    """
    end_ts, end_crc = header
    while (record := read_record(data, offset)) is not None:
        if record.chain != end_crc or record.commit_ts != end_ts + record.is_commit:
            break
        yield record
        offset, end_ts, end_crc = record.end, record.commit_ts, record.crc


def find_records(data: bytes, offset: int) -> Iterator[Record]:
    """Every whole record at or after `offset`, wherever it stands: what is left behind a damage."""
    while (offset := data.find(_RECORD_MAGIC, offset)) >= 0:
        record = read_record(data, offset)
        if record is None:
            offset += 1
        else:
            yield record
            offset = record.end


def encode_commit(
    writes: Mapping[bytes, bytes | None],
    label: str | None,
    token: str | None,
    time_us: int,
    superseded: Mapping[bytes, Superseded] | None = None,
) -> bytes:
    """A commit's body. Raises `BadRequestError` or `LimitExceededError` for a token or writes that it can't hold."""
    if len(writes) == 1 and label is None and token is None and superseded is None:
        ((key, value),) = writes.items()
        if type(value) is bytes and len(key) + len(value) <= _SHORT_BYTES_MAX:  # by far the most
            return encode_single_write(single_write_head(time_us), key, value)
    return encode_any_commit(writes, label, token, time_us, superseded)


def encode_any_commit(
    writes: Mapping[bytes, bytes | None],
    label: str | None,
    token: str | None,
    time_us: int,
    superseded: Mapping[bytes, Superseded] | None,
) -> bytes:
    """As `encode_commit`, without its short cut."""
    kind = _COMMIT_KIND if superseded is None else _RETAINED_KIND
    label_bytes = b"" if label is None else label.encode(errors="replace")
    token_bytes = b"" if token is None else _token_bytes(token)
    label_length = _NO_LABEL if label is None else len(label_bytes)
    expiries = _encode_expiries(writes.values()) if Expiring in map(type, writes.values()) else b""
    kind |= _EXPIRING if expiries else 0
    parts = [_COMMIT.pack(kind, label_length, len(token_bytes), time_us), label_bytes, token_bytes, expiries]
    try:
        parts += _encode_writes(writes) if superseded is None else _encode_retained(writes, superseded)
    except StructError:
        raise _too_large(writes, superseded) from None
    body = b"".join(parts)
    if len(body) > BODY_BYTES_MAX:
        raise _too_large(writes, superseded)
    return body


def _encode_expiries(values: Iterable[bytes | None]) -> bytes:
    expiring = [(at, it.expires_us) for at, it in enumerate(values) if isinstance(it, Expiring)]
    return _U32.pack(len(expiring)) + b"".join(
        _EXPIRY.pack(at, min(expires_us, _EXPIRY_US_MAX)) for at, expires_us in expiring
    )


def single_write_head(time_us: int) -> bytes:
    """What a commit's body begins with that puts one key, without a label, a token, or an expiry."""
    return _COMMIT.pack(_COMMIT_KIND, _NO_LABEL, 0, time_us)


def encode_single_write(head: bytes, key: bytes, value: bytes) -> bytes:
    """The body of such a commit: as `encode_commit` has it."""
    return b"%b%b%b%b" % (head, _WRITE.pack(len(key), len(value)), key, value)


def _encode_writes(writes: Mapping[bytes, bytes | None]) -> list[bytes]:
    parts: list[bytes] = []
    if None in writes.values() and all(value is None for value in writes.values()):
        heads = {length: _WRITE.pack(length, _NO_VALUE) for length in set(map(len, writes))}
        return [heads[len(key)] + key for key in writes]
    for key, value in writes.items():
        if value is None:
            parts += (_WRITE.pack(len(key), _NO_VALUE), key)
        else:
            parts += (_WRITE.pack(len(key), len(value)), key, value)
    return parts


def _encode_retained(writes: Mapping[bytes, bytes | None], superseded: Mapping[bytes, Superseded]) -> list[bytes]:
    parts: list[bytes] = []
    for key, value in writes.items():
        length = _NO_VALUE if value is None else len(value)
        before = superseded.get(key)
        if before is None:
            parts += (_RETAINED_WRITE.pack(len(key), length, _NO_VALUE), key, value or b"")
        else:
            commit_ts, old = before
            parts += (_RETAINED_WRITE.pack(len(key), length, len(old)), key, value or b"")
            parts += (_TIMESTAMP.pack(commit_ts), old)
    return parts


def _token_bytes(token: str) -> bytes:
    try:
        data = token.encode()
    except UnicodeEncodeError as error:
        raise BadRequestError(f"the commit's id {token!r} can't be written in UTF-8: {error.reason}") from None
    if not 0 < len(data) <= TOKEN_BYTES_MAX:
        raise BadRequestError(f"a commit's id has 1 to {TOKEN_BYTES_MAX} bytes in UTF-8, not {len(data)}")
    return data


def _too_large(
    writes: Mapping[bytes, bytes | None], superseded: Mapping[bytes, Superseded] | None
) -> LimitExceededError:
    actual = sum(len(key) + len(value or b"") for key, value in writes.items())
    also = ""
    if superseded is not None:
        actual += sum(len(value) for _, value in superseded.values())
        also = ", with the values that it supersedes, since history is retained"
    return LimitExceededError(
        f"the log takes at most {BODY_BYTES_MAX} bytes in one transaction, not {actual}{also}",
        limit=BODY_BYTES_MAX,
        actual=actual,
    )


def decode_commit(body: memoryview) -> Commit:
    """The commit that a whole record's body tells of."""
    kind, label_length, token_length, time_us = _COMMIT.unpack_from(body)
    at = _COMMIT.size
    label = None
    if label_length != _NO_LABEL:
        label = str(body[at : at + label_length], "utf-8")
        at += label_length
    token = str(body[at : at + token_length], "utf-8") or None
    at += token_length
    expiries: list[tuple[int, int]] = []
    if kind & _EXPIRING:
        (count,) = _U32.unpack_from(body, at)
        at += _U32.size
        expiries = [_EXPIRY.unpack_from(body, at + number * _EXPIRY.size) for number in range(count)]
        at += count * _EXPIRY.size
    superseded = None
    if kind & ~_EXPIRING == _RETAINED_KIND:
        writes, superseded = _decode_retained(body, at)
    else:
        writes = _decode_writes(body, at)
    for number, expires_us in expiries:
        key, value = writes[number]
        writes[number] = key, Expiring(value or b"", expires_us)
    return Commit(writes, label, token, time_us, superseded)


def _decode_writes(body: memoryview, at: int) -> list[tuple[bytes, bytes | None]]:
    writes: list[tuple[bytes, bytes | None]] = []
    while at < len(body):
        key_length, value_length = _WRITE.unpack_from(body, at)
        at += _WRITE.size
        key = bytes(body[at : at + key_length])
        at += key_length
        if value_length == _NO_VALUE:
            writes.append((key, None))
        else:
            writes.append((key, bytes(body[at : at + value_length])))
            at += value_length
    return writes


def _decode_retained(body: memoryview, at: int) -> tuple[list[tuple[bytes, bytes | None]], dict[bytes, Superseded]]:
    writes: list[tuple[bytes, bytes | None]] = []
    superseded: dict[bytes, Superseded] = {}
    while at < len(body):
        key_length, value_length, old_length = _RETAINED_WRITE.unpack_from(body, at)
        key_at = at + _RETAINED_WRITE.size
        value_at = key_at + key_length
        at = value_at if value_length == _NO_VALUE else value_at + value_length
        key = bytes(body[key_at:value_at])
        writes.append((key, None if value_length == _NO_VALUE else bytes(body[value_at:at])))
        if old_length != _NO_VALUE:
            (commit_ts,) = _TIMESTAMP.unpack_from(body, at)
            old_at = at + _TIMESTAMP.size
            at = old_at + old_length
            superseded[key] = commit_ts, bytes(body[old_at:at])
    return writes, superseded


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
