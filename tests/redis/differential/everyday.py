"""What most steps say: whole commands from tables, on three keys, so that each meets what the others left behind.

The grammar's commands are wide: every command, every odd argument. These are deep: few keys and times, each drawn at
one go, so that a run has time for tens of thousands of them. Times that are told as moments are ABSOLUTE_MS, on which
both servers must agree to the millisecond, and which meet each other under GT and LT; the others are never equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from hypothesis import strategies as st

from .grammar import Arguments

__all__ = ["ABSOLUTE_MS", "DEEDS", "KEYS", "SPOILT", "WATCHED", "WRITES"]

KEYS = ("a", "b", "c")
_FAR_S = 4_102_444_800
ABSOLUTE_MS = tuple(_FAR_S * 1000 + it for it in (0, 499, 500, 1000))
"""So that EXPIRETIME has something to round."""

_INTEGERS = ("1", "10", "-1", "9223372036854775807", "-9223372036854775808")
_VALUES = ("1", "foobar", "", "-9223372036854775808", "9223372036854775807", "3.5", "größer")
_OTHERS = ("x", "", "yz", "10")
_AT = (*(f"EXPIREAT {{}} {_FAR_S + it}" for it in (0, 1)), *(f"PEXPIREAT {{}} {it}" for it in ABSOLUTE_MS))
_LATER = tuple(f"EXPIRE {{}} {it}" for it in ("~1000", "~100000", "-1"))
_LATER_MS = tuple(f"PEXPIRE {{}} {it}" for it in ("^1000000", "^100000000", "-1"))
_CONDITIONS = ("", "NX", "XX", "GT", "LT", "XX GT", "LT XX", "NX GT")
_FOR = ("EX ~1000", "PX ^1000000", f"EXAT {_FAR_S}", f"PXAT {ABSOLUTE_MS[1]}", f"PXAT {ABSOLUTE_MS[2]}")
_PAIRS = [(one, other) for one, other in product(KEYS, KEYS) if one != other]


def _table(patterns: Iterable[str], *arguments: Iterable[str]) -> list[Arguments]:
    """Each pattern with all arguments; a key comes first. Options stand behind a bar: `{} {}|GET EX 3`."""
    return [_filled(pattern, one) for one in product(KEYS, *arguments) for pattern in patterns]


def _filled(pattern: str, arguments: tuple[str, ...]) -> Arguments:
    left = iter(arguments)
    return [(next(left) if word == "{}" else word).encode() for word in pattern.replace("|", " ").split()]


def _options(pattern: str, options: Iterable[str]) -> list[str]:
    return [f"{pattern}|{option}" for option in options]


_SET = _table(["SET {} {}"], _VALUES)
_SET_WITH = _table(
    _options("SET {} {}", ["NX", "XX", "GET", "KEEPTTL", "XX GET KEEPTTL", "NX GET", *_FOR, f"XX {_FOR[3]}"]),
    _VALUES[:3],
)
_SET_FOR = _table([*_options("SET {} {}", _FOR), "SETEX {} ~1000 {}", "PSETEX {} ^1000000 {}"], _VALUES[:3])
_EXPIRE_AT = [it for pattern in _AT for it in _table(_options(pattern, _CONDITIONS))]
_EXPIRE = [it for pattern in (*_LATER, *_LATER_MS) for it in _table(_options(pattern, _CONDITIONS))]
_PERSIST = _table(["PERSIST {}", "GETEX {}|PERSIST"])
_GETEX = _table(["GETEX {}", *_options("GETEX {}", _FOR)])
_SET_LIMIT = _table(["SET {} {}", "SET {} {}|KEEPTTL"], _INTEGERS[-2:])
_COUNT = _table(["INCR {}", "DECR {}"])
_COUNT_BY = _table(["INCRBY {} {}", "DECRBY {} {}", "INCRBYFLOAT {} {}"], _INTEGERS)
_PARTS = _table(
    ["APPEND {} {}", "SETRANGE {} 0 {}", "SETRANGE {} 3 {}", "SETBIT {} 1 1", "SETBIT {} 30 0", "BITOP NOT {} a"],
    _OTHERS,
)
_EMPTY = _table(["SETRANGE {} 0 {}", "SETRANGE {} 3 {}", "APPEND {} {}"], [""])
_REPLACE = _table(["GETSET {} {}", "SETNX {} {}", "GETDEL {}"], _OTHERS)
_SEVERAL = [
    [name, *(word for key in keys for word in (key.encode(), value))]
    for name in (b"MSETNX", b"MSET")
    for keys in [*((it,) for it in KEYS), *_PAIRS, KEYS]
    for value in (b"1", b"foobar")
]
_MOVE = [
    _filled(pattern, pair)
    for pattern in ("RENAME {} {}", "COPY {} {} REPLACE", "COPY {} {}", "RENAMENX {} {}", "COPY {} {} DB 0 REPLACE")
    for pair in _PAIRS
]
_REMOVE = [*_table(["DEL {}", "UNLINK {}"]), *([b"DEL", *map(str.encode, it)] for it in _PAIRS), [b"FLUSHALL"]]
_READ = [
    *_table(["GET {}", "TTL {}", "PTTL {}", "EXPIRETIME {}", "PEXPIRETIME {}", "STRLEN {}", "TYPE {}"]),
    *_table(["GETRANGE {} 1 -2", "GETBIT {} 7", "BITCOUNT {}", "EXISTS {} a a", "MGET {} b a"]),
    [b"DBSIZE"],
]


def _weighted(tables: Iterable[tuple[int, list[Arguments]]]) -> st.SearchStrategy[Arguments]:
    return st.one_of([_any_of(table) for weight, table in tables for _ in range(weight)])


def _any_of(table: list[Arguments]) -> st.SearchStrategy[Arguments]:
    """As `sampled_from`, which describes itself at a length that Hypothesis warns of."""
    return st.integers(0, len(table) - 1).map(lambda at: table[at])


_WRITING = [
    *((2, _SET), (2, _SET_WITH), (2, _SET_FOR), (5, _EXPIRE_AT), (3, _EXPIRE), (1, _PERSIST), (1, _GETEX)),
    *((2, _SET_LIMIT), (2, _COUNT), (2, _COUNT_BY)),
    *((3, _PARTS), (2, _REPLACE), (2, _SEVERAL), (4, _MOVE), (2, _REMOVE), (1, _EMPTY)),
]

WRITES = _weighted(_WRITING)
DEEDS = _weighted([*_WRITING, (3, _READ)])
WATCHED: list[Arguments] = [[b"WATCH", *map(str.encode, keys)] for keys in [*((it,) for it in KEYS), *_PAIRS]]
SPOILT: list[Arguments] = [[b"GET"], [b"NOSUCHCOMMAND"], [b"SET", b"a"], [b"WATCH", b"a"], [b"MULTI"]]
"""Refused at once where others are queued; after some of them EXEC runs all the same."""
