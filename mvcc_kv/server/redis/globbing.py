r"""Redis's patterns, as its `stringmatchlen` reads them, made into regular expressions that can't blow up.

    h?llo      hello, hallo            h[^e]llo    not hello             h\*llo    h*llo
    h*llo      hllo, heeeello          h[a-c]llo   hallo, hbllo, hcllo   h[ab      as h[ab]

Everything but a star stands for exactly one byte. So the pieces between stars may each be found as early as they can,
and never again: each is an atomic group, and what a text costs is at most its length times the pattern's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from functools import lru_cache
from typing import TypeAlias

from mvcc_kv.server.redis.failures import Failure

__all__ = ["CLASSES_MAX", "PATTERN_BYTES_MAX", "Matches", "literal_prefix", "matcher"]

Matches: TypeAlias = "Callable[[bytes], object]"
"""Whether the text matches: anything true."""

PATTERN_BYTES_MAX = 128 * 1024
CLASSES_MAX = 2_000
_STARS_MAX = 1_000  # beyond which Redis takes a pattern for an abuse, that nothing matches
_SPECIAL = re.compile(rb"[*?\[\\]")
_EVERY_BYTE = frozenset(range(256))


@lru_cache(maxsize=64)
def matcher(pattern: bytes, *, ignores_case: bool = False) -> Matches:
    """Tells which texts the pattern matches. Raises `Failure` for one that is too long to be read at once."""
    if len(pattern) > PATTERN_BYTES_MAX:
        raise Failure(f"ERR a pattern has at most {PATTERN_BYTES_MAX} bytes here, not {len(pattern)}")
    if pattern.count(b"[") > CLASSES_MAX:
        raise Failure(f"ERR a pattern has at most {CLASSES_MAX} brackets here, not {pattern.count(b'[')}")
    pieces = _pieces(pattern, ignores_case)
    if len(pieces) - 1 > _STARS_MAX + (not pieces[-1]):
        return _nothing
    if len(pieces) == 1:
        return re.compile(b"(?s:%b)" % pieces[0]).fullmatch
    middle = b"".join(b"(?>.*?%b)" % piece for piece in pieces[1:-1])
    found = re.compile(b"(?s:%b%b.*%b)" % (pieces[0], middle, pieces[-1])).fullmatch
    return lambda text: text and found(text)  # as there, an empty text matches no star


def literal_prefix(pattern: bytes) -> tuple[bytes, bool]:
    """What every text that matches begins with, and whether it is all of it."""
    special = _SPECIAL.search(pattern)
    return (pattern, True) if special is None else (pattern[: special.start()], False)


def _nothing(_: bytes) -> bool:
    return False


def _pieces(pattern: bytes, ignores_case: bool) -> list[bytes]:
    """The regular expressions of what is between the stars."""
    pieces: list[bytes] = []
    piece: list[bytes] = []
    at = 0
    while at < len(pattern):
        if pattern[at] == 0x2A:
            at = _past_stars(pattern, at)
            pieces.append(b"".join(piece))
            piece = []
        else:
            one, at = _one(pattern, at, ignores_case)
            piece.append(one)
    return [*pieces, b"".join(piece)]


def _past_stars(pattern: bytes, at: int) -> int:
    while at < len(pattern) and pattern[at] == 0x2A:
        at += 1
    return at


def _one(pattern: bytes, at: int, ignores_case: bool) -> tuple[bytes, int]:
    """What stands for one byte, and where the rest begins."""
    byte = pattern[at]
    if byte == 0x3F:
        return b".", at + 1
    if byte == 0x5B:
        return _class(pattern, at + 1, ignores_case)
    if byte == 0x5C and at + 1 < len(pattern):
        at += 1
        byte = pattern[at]
    return _expression(_same(byte, ignores_case)), at + 1


def _class(pattern: bytes, at: int, ignores_case: bool) -> tuple[bytes, int]:
    """`[...]`: which bytes, and where the rest begins. One that isn't closed ends with the pattern."""
    is_not = pattern[at : at + 1] == b"^"
    at += is_not
    members: set[int] = set()
    while at < len(pattern) and pattern[at] != 0x5D:
        if pattern[at] == 0x5C and at + 1 < len(pattern):
            members.add(pattern[at + 1])
            at += 2
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            members |= _range(pattern[at], pattern[at + 2], ignores_case)
            at += 3
        else:
            members |= _same(pattern[at], ignores_case)
            at += 1
    return _expression(_EVERY_BYTE - members if is_not else members), at + 1


def _range(start: int, end: int, ignores_case: bool) -> set[int]:
    """From the one to the other, whichever comes first; C's `char` has a sign."""
    low, high = sorted((_signed(start), _signed(end)))
    if ignores_case:
        low, high = _lower(low), _lower(high)
        return {byte for byte in _EVERY_BYTE if low <= _lower(_signed(byte)) <= high}
    return {byte & 0xFF for byte in range(low, high + 1)}


def _signed(byte: int) -> int:
    return byte - 256 if byte >= 128 else byte


def _lower(byte: int) -> int:
    return byte + 32 if 0x41 <= byte <= 0x5A else byte


def _same(byte: int, ignores_case: bool) -> set[int]:
    if not ignores_case or byte >= 128:
        return {byte}
    return {*chr(byte).lower().encode(), *chr(byte).upper().encode()}


def _expression(members: Set[int]) -> bytes:
    """One byte of these; none at all: nothing matches."""
    if len(members) == 1:
        return re.escape(bytes(members))
    ordered = sorted(members)
    begins = [byte for byte in ordered if byte - 1 not in members]
    ends = [byte for byte in ordered if byte + 1 not in members]
    runs = b"".join(b"\\x%02x-\\x%02x" % run for run in zip(begins, ends, strict=True))
    return b"[%b]" % runs if runs else b"(?!)"
