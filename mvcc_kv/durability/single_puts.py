"""Runs of commits that each put one key, read from the log in one go: by far the most that there are to replay.

    [put][put][put][put] [tokens] [two writes] [put][put][put] [a label] ...
    '--- in one go -----''------ one by one --''- in one go ---'

Such a record has a body of kind 1 with no label, no token, and one write that is no deletion. `replay_puts` checks all
that `records.chained_records` checks, and writes what `records.decode_commit` would find into the items; before a
record of another kind, one that is not whole, or one that doesn't belong there, it stops. So whatever it does, the
reader would have done record by record; that is how it is tested. `_single_puts.c` is its twin.
"""

from __future__ import annotations

import zlib
from struct import Struct

from mvcc_kv.compiled import compiled_twin

__all__ = ["replay_puts", "replay_puts_in_python"]

_HEAD = Struct("<4sIQQIIBHBQII")  # of the record, of the commit, and of its write
_RECORD_MAGIC, _KIND, _NO_LABEL = b"\xffRec", 1, 0xFFFF
_RECORD_HEADER_BYTES, _BESIDE_TEXTS_BYTES = 32, 20
_Place = tuple[int, int, int]


def replay_puts_in_python(
    data: bytes, offset: int, end_ts: int, end_crc: int, items: dict[bytes, bytes], count_max: int
) -> _Place:
    """Put the records at `offset` into the items; where it stopped: the offset, and the ts and crc of the last one.

    `end_ts` and `end_crc` are those of the record before. No more than `count_max` records are taken.
    """
    unpack, crc32, head_bytes, data_bytes = _HEAD.unpack_from, zlib.crc32, _HEAD.size, len(data)
    last_ts = end_ts + count_max
    while end_ts < last_ts and offset + head_bytes <= data_bytes:
        magic, length, commit_ts, _, chain, crc, kind, label, token, _, key_bytes, value_bytes = unpack(data, offset)
        if magic != _RECORD_MAGIC or chain != end_crc or commit_ts != end_ts + 1:
            break
        if kind != _KIND or label != _NO_LABEL or token or length != _BESIDE_TEXTS_BYTES + key_bytes + value_bytes:
            break
        start = offset + _RECORD_HEADER_BYTES
        end = start + length
        if end > data_bytes or crc32(data[start:end], crc32(data[offset + 4 : offset + 28])) != crc:
            break
        value_at = end - value_bytes
        items[data[value_at - key_bytes : value_at]] = data[value_at:end]
        offset, end_ts, end_crc = end, commit_ts, crc
    return offset, end_ts, end_crc


_twin = compiled_twin("mvcc_kv.durability._single_puts")
replay_puts = replay_puts_in_python if _twin is None else _twin.replay_puts
