"""LCS: the longest bytes that two strings have in common, in this order, with others in between.

Redis fills a table: how long the common part of each two beginnings is. Along a row of it the numbers rise by one or
not at all, so here a row is one large integer with a bit for each place, and the next row is four operations on it
(Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA 2004). A bit is clear where the number rises:

               b  a  n  d                  a row's bits
    LCS a      0  1  1  1                   1 0 1 1
        an     0  1  2  2                   1 0 0 1

The way back through the table asks for nothing else: where the bytes differ, it goes up if the number rises here, and
left if not, as Redis's does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import SYNTAX, Failure
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.strings import text_at

__all__: list[str] = []

_CELL_BYTES = 4  # of Redis's table: what it limits


@dataclass(slots=True)
class _Options:
    is_length: bool = False
    is_ranges: bool = False
    has_lengths: bool = False
    length_min: int = 0


class _Match(NamedTuple):
    """Bytes that are alike, next to each other in both strings: where they begin, and how many they are."""

    one: int
    other: int
    length: int


@command(
    "lcs",
    -3,
    "readonly",
    keys=(1, 2, 1),
    group="string",
    since="7.0.0",
    summary="Finds the longest common subsequence of two strings.",
)
def lcs(session: RedisSession, arguments: list[bytes]) -> bytes:
    one, other = text_at(session, arguments[1]), text_at(session, arguments[2])
    options = _options(arguments[3:])
    if (len(one) + 1) * (len(other) + 1) * _CELL_BYTES > session.house.bulk_bytes_max:
        raise Failure("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    rows = _rows(one, other)
    length = len(other) - rows[-1].bit_count()
    if options.is_ranges:
        return _ranges(_matches(one, other, rows), length, options, session.proto)
    if options.is_length:
        return resp.integer(length)
    return resp.bulk(b"".join([one[at : at + size] for at, _, size in reversed(_matches(one, other, rows))]))


def _options(words: list[bytes]) -> _Options:
    options, left = _Options(), iter(words)
    for word in left:
        match word.upper():
            case b"IDX":
                options.is_ranges = True
            case b"LEN":
                options.is_length = True
            case b"WITHMATCHLEN":
                options.has_lengths = True
            case b"MINMATCHLEN" if (length := next(left, None)) is not None:
                options.length_min = integer(length)
            case _:
                raise Failure(SYNTAX)
    if options.is_length and options.is_ranges:
        raise Failure("ERR If you want both the length and indexes, please just use IDX.")
    return options


def _rows(one: bytes, other: bytes) -> list[int]:
    """A row of bits for each beginning of `one`, the empty one first; its lowest bit stands for `other`'s first."""
    everywhere = (1 << len(other)) - 1
    places = {byte: _places(other, byte) for byte in set(one)}
    row, rows = everywhere, [everywhere]
    for byte in one:
        alike = row & places[byte]
        row = ((row + alike) | (row - alike)) & everywhere
        rows.append(row)
    return rows


def _places(text: bytes, byte: int) -> int:
    """A bit for each place where the byte is."""
    marks = bytes(48 + (here == byte) for here in reversed(text))
    return int(marks, 2) if marks else 0


def _matches(one: bytes, other: bytes, rows: list[int]) -> list[_Match]:
    """What is alike, the last first. It ends early where one of the strings begins, as with Redis."""
    matches: list[_Match] = []
    at, beside, length = len(one), len(other), 0
    while at > 0 and beside > 0:
        if one[at - 1] == other[beside - 1]:
            at, beside, length = at - 1, beside - 1, length + 1
            continue
        if length:
            matches.append(_Match(at, beside, length))
            length = 0
        if rows[at] >> (beside - 1) & 1:
            beside -= 1
        else:
            at -= 1
    return [*matches, _Match(at, beside, length)] if length else matches


def _ranges(matches: list[_Match], length: int, options: _Options, proto: int) -> bytes:
    told = [_range(match, options) for match in matches if match.length >= options.length_min]
    return resp.mapping([(resp.bulk(b"matches"), resp.array(told)), (resp.bulk(b"len"), resp.integer(length))], proto)


def _range(match: _Match, options: _Options) -> bytes:
    parts = [_ends(match.one, match.length), _ends(match.other, match.length)]
    return resp.array([*parts, resp.integer(match.length)] if options.has_lengths else parts)


def _ends(first: int, length: int) -> bytes:
    return resp.array([resp.integer(first), resp.integer(first + length - 1)])
