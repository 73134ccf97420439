r"""Replies: values -> bytes, in RESP2 and RESP3 (`proto` is 2 or 3).

What both write alike takes no `proto`. RESP2 knows only strings, numbers, arrays and errors, so there:

    null        $-1 or *-1      a map      a flat array       a double     its text
    a boolean   :1 or :0        a set      an array           a push       an array

Parts that are collected (`array`, `mapping`, ...) are already encoded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = [
    "EMPTY_ARRAY",
    "EMPTY_BULK",
    "OK",
    "ONE",
    "PONG",
    "QUEUED",
    "RESET",
    "ZERO",
    "array",
    "boolean",
    "bulk",
    "double",
    "each",
    "error",
    "integer",
    "mapping",
    "null",
    "null_array",
    "push",
    "set_of",
    "simple",
    "verbatim",
]

OK = b"+OK\r\n"
PONG = b"+PONG\r\n"
QUEUED = b"+QUEUED\r\n"
RESET = b"+RESET\r\n"
ZERO = b":0\r\n"
ONE = b":1\r\n"
EMPTY_ARRAY = b"*0\r\n"
EMPTY_BULK = b"$0\r\n\r\n"

_NO_NEWLINES = bytes.maketrans(b"\r\n", b"  ")


def simple(text: str | bytes) -> bytes:
    """A status, which has no newline.

    >>> simple("OK")
    b'+OK\\r\\n'
    """
    return b"+%b\r\n" % _encoded(text).translate(_NO_NEWLINES)


def error(text: str | bytes) -> bytes:
    r"""An error: its code, a blank, and the words. Newlines at its end go, others become blanks.

    >>> error("ERR unknown command 'a\nb'\r\n")
    b"-ERR unknown command 'a b'\r\n"
    """
    return b"-%b\r\n" % _encoded(text).strip(b"\r\n").translate(_NO_NEWLINES)


def integer(number: int) -> bytes:
    """A number of 64 bits."""
    return b":%d\r\n" % number


def bulk(value: bytes) -> bytes:
    """A string of any bytes."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def null(proto: int) -> bytes:
    """No value, where there might be a string."""
    return b"_\r\n" if proto == 3 else b"$-1\r\n"


def null_array(proto: int) -> bytes:
    """No value, where there might be an array."""
    return b"_\r\n" if proto == 3 else b"*-1\r\n"


def array(parts: Iterable[bytes]) -> bytes:
    """The parts in their order."""
    return _collected(b"*", list(parts))


def mapping(pairs: Iterable[tuple[bytes, bytes]], proto: int) -> bytes:
    """Names and values; in RESP2 they take turns in an array."""
    parts = [part for pair in pairs for part in pair]
    if proto == 3:
        return b"%%%d\r\n%b" % (len(parts) // 2, b"".join(parts))
    return array(parts)


def set_of(parts: Iterable[bytes], proto: int) -> bytes:
    """The parts, whose order means nothing."""
    return _collected(b"~" if proto == 3 else b"*", list(parts))


def push(parts: Iterable[bytes], proto: int) -> bytes:
    """What the client did not ask for: the message's kind, then its parts."""
    return _collected(b">" if proto == 3 else b"*", list(parts))


def double(number: float, proto: int) -> bytes:
    r"""A number with a fraction, with the 17 digits that Redis 7.0 writes.

    >>> double(0.1, 3), double(2.0, 2), double(float("-inf"), 3)
    (b',0.10000000000000001\r\n', b'$1\r\n2\r\n', b',-inf\r\n')
    """
    text = b"%.17g" % number if math.isfinite(number) else b"nan" if number != number else b"%g" % number
    return b",%b\r\n" % text if proto == 3 else bulk(text)


def boolean(value: bool, proto: int) -> bytes:
    """Yes or no."""
    if proto == 3:
        return b"#t\r\n" if value else b"#f\r\n"
    return ONE if value else ZERO


def verbatim(text: bytes, proto: int) -> bytes:
    """Text for people, to be shown as it is."""
    return b"=%d\r\ntxt:%b\r\n" % (len(text) + 4, text) if proto == 3 else bulk(text)


def each(replies: bytes) -> list[bytes]:
    """The replies that stand here one behind the other, if they are simple, bulk, nulls, numbers, errors, or arrays.

    >>> each(b"+OK\\r\\n$3\\r\\na\\r\\n\\r\\n*2\\r\\n+OK\\r\\n$-1\\r\\n_\\r\\n")
    [b'+OK\\r\\n', b'$3\\r\\na\\r\\n\\r\\n', b'*2\\r\\n+OK\\r\\n$-1\\r\\n', b'_\\r\\n']
    """
    found, at = [], 0
    while at < len(replies):
        begun, left = at, 1
        while left:
            line_end = replies.index(b"\r\n", at)
            mark, line = replies[at : at + 1], replies[at + 1 : line_end]
            at = line_end + 2
            left -= 1
            if mark == b"$" and line != b"-1":
                at += int(line) + 2
            elif mark == b"*" and line != b"-1":
                left += int(line)
        found.append(replies[begun:at])
    return found


def _collected(mark: bytes, parts: list[bytes]) -> bytes:
    return b"%b%d\r\n%b" % (mark, len(parts), b"".join(parts))


def _encoded(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
