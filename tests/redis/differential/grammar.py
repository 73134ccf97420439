"""Commands to try. Few keys and values, so that they meet; odd ones of each kind; now and then no grammar at all.

Nothing here depends on the moment it runs at: times are past, or far off; those that GT and LT compare are never equal.
Sizes are small, or so large that both servers refuse.
"""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import strategies as st

__all__ = ["COMMANDS", "LATER_STEP", "Arguments", "commands"]

Arguments: TypeAlias = list[bytes]
Words: TypeAlias = "st.SearchStrategy[Arguments]"

LATER_STEP = 7
"""A time marked `~1000` is 1000 + 7 * the number of the step: no two of them are equal."""


def _of(*texts: str | bytes) -> Words:
    return st.sampled_from([[text if isinstance(text, bytes) else text.encode()] for text in texts])


def _joined(parts: list[Arguments]) -> Arguments:
    return [word for part in parts for word in part]


def _all(*parts: Words) -> Words:
    return st.tuples(*parts).map(lambda found: _joined(list(found)))


def _some(part: Words, least: int = 0, most: int = 3) -> Words:
    return st.lists(part, min_size=least, max_size=most).map(_joined)


def _options(*options: Words | str) -> Words:
    """Up to three of them in any order, repeated or contradicting too."""
    return _some(st.one_of([_of(it) if isinstance(it, str) else it for it in options]))


_KEY = _of("a", "b", "c", "d", "ключ", "")
_INTEGER_TEXTS = ("0", "1", "-1", "3", "10", "-17", "12345678901", "9223372036854775807", "-9223372036854775808")
_INTEGER = _of(*_INTEGER_TEXTS)
_NO_INTEGER_TEXTS = ("", "x", "1.5", " 1", "1 ", "+1", "-0", "01", "1e3", "0x10", "9223372036854775808", "1\x00")
_FLOAT_TEXTS = ("1.5", "-0.25", "3.0e3", "0.1", "1e17", "-1e-3", "inf", "nan", "1e400", ".5", "5.", "1,5", "1e-20")
_FLOAT = _of(*_FLOAT_TEXTS)
_VALUE_TEXTS = (
    "",
    "foobar",
    "mumble",
    "hello world",
    '"quoted"',
    '{"n": 1}',
    "[1]",
    "null",
    "tab\tand\nline",
    "größer",
)
_VALUE = st.one_of(
    _of(*_VALUE_TEXTS, b"\x00\xff\xfe", b"\xf0\x0f\xaa", b"x" * 50, '{"$bytes": "/w=="}', '{"$bytes": "no"}'),
    _of(*_INTEGER_TEXTS, *_NO_INTEGER_TEXTS, *_FLOAT_TEXTS),
)
_INDEX = _of("0", "1", "-1", "2", "-3", "5", "100", "-100", "x", "9223372036854775807", "-9223372036854775808")
_S = _of("100", "~1000", "~100000", "0", "-1", "x", "9223372036854775807", "-9223372036854775808", "9223372036854775")
_MS = _of("100000", "~1000000", "0", "-1", "1.5", "9223372036854775807", "-9223372036854775808")
_S_AT = _of("1", "4102444800", "4102444801", "0", "-1", "x", "9223372036854775807", "9223372036854775")
_MS_AT = _of("1", "4102444800000", "4102444800001", "0", "-1", "x", "9223372036854775807")
_LATER_S, _LATER_MS = _of("~1000", "~100000", "-1"), _of("~1000000", "~100000000", "-1")
_OFFSET = _of("0", "1", "3", "20", "-1", "x", "536870912", "9223372036854775807")
_BIT = _of("0", "1", "7", "8", "23", "100", "-1", "x", "4294967296", "9223372036854775807")
_UNIT = _of("BIT", "BYTE", "bit", "BITS")
_PATTERN = _of("*", "?", "[ab]", "[^a]", "a*", "*к*", "", "[", "\\a", "[a-c]", "[c-a]*", "**?", "nothing")
_TYPE = _of("u8", "i8", "u1", "i64", "u63", "u64", "i0", "i65", "i5", "x8", "")
_AT = _of("0", "#0", "#1", "3", "8", "100", "-1", "#-1", "x", "4294967296")
_COMPARING = _options("NX", "XX", "GT", "LT", "gt")
_EX = (_all(_of("EX", "ex"), _S), _all(_of("PX"), _MS), _all(_of("EXAT"), _S_AT), _all(_of("PXAT"), _MS_AT))
_COUNT = _of("1", "3", "10", "0", "-1", "x", "100")

COMMANDS: dict[str, Words] = {
    "GET": _KEY,
    "SET": _all(_KEY, _VALUE, _options("NX", "XX", "GET", "KEEPTTL", "what", *_EX)),
    "SETNX": _all(_KEY, _VALUE),
    "SETEX": _all(_KEY, _S, _VALUE),
    "PSETEX": _all(_KEY, _MS, _VALUE),
    "GETSET": _all(_KEY, _VALUE),
    "GETDEL": _KEY,
    "GETEX": _all(_KEY, _options("PERSIST", "what", *_EX)),
    "MGET": _some(_KEY, 1),
    "MSET": _some(_all(_KEY, _VALUE), 1),
    "MSETNX": _some(_all(_KEY, _VALUE), 1),
    "APPEND": _all(_KEY, _VALUE),
    "STRLEN": _KEY,
    "GETRANGE": _all(_KEY, _INDEX, _INDEX),
    "SUBSTR": _all(_KEY, _INDEX, _INDEX),
    "SETRANGE": _all(_KEY, _OFFSET, _VALUE),
    "INCR": _KEY,
    "DECR": _KEY,
    "INCRBY": _all(_KEY, _INTEGER),
    "DECRBY": _all(_KEY, _INTEGER),
    "INCRBYFLOAT": _all(_KEY, st.one_of(_FLOAT, _INTEGER)),
    "LCS": _all(_KEY, _KEY, _options("LEN", "IDX", "WITHMATCHLEN", _all(_of("MINMATCHLEN"), _INDEX), "what")),
    "SETBIT": _all(_KEY, _BIT, _of("0", "1", "2", "x")),
    "GETBIT": _all(_KEY, _BIT),
    "BITCOUNT": _all(_KEY, _some(_all(_INDEX, _INDEX), most=1), _some(_UNIT, most=1)),
    "BITPOS": _all(_KEY, _of("0", "1", "2"), _some(_INDEX, most=2), _some(_UNIT, most=1)),
    "BITOP": _all(_of("AND", "OR", "XOR", "NOT", "not", "NAND"), _KEY, _some(_KEY, 1)),
    "BITFIELD": _all(
        _KEY,
        _options(
            _all(_of("GET"), _TYPE, _AT),
            _all(_of("SET", "INCRBY"), _TYPE, _AT, _INTEGER),
            _all(_of("OVERFLOW"), _of("WRAP", "SAT", "FAIL", "what")),
        ),
    ),
    "BITFIELD_RO": _all(_KEY, _options(_all(_of("GET"), _TYPE, _AT), _all(_of("SET"), _TYPE, _AT, _INTEGER))),
    "DEL": _some(_KEY, 1),
    "UNLINK": _some(_KEY, 1),
    "EXISTS": _some(_KEY, 1),
    "TOUCH": _some(_KEY, 1),
    "TYPE": _KEY,
    "RENAME": _all(_KEY, _KEY),
    "RENAMENX": _all(_KEY, _KEY),
    "COPY": _all(_KEY, _KEY, _options("REPLACE", "what", _all(_of("DB"), _of("0", "-1", "99", "x")))),
    "KEYS": _PATTERN,
    "SCAN": _all(
        _of("0", "x", "", "1 "),
        _options(_all(_of("MATCH"), _PATTERN), _all(_of("COUNT"), _COUNT), _all(_of("TYPE"), _of("string", "list"))),
    ),
    "RANDOMKEY": st.just([]),
    "DBSIZE": st.just([]),
    "FLUSHDB": _some(_of("ASYNC", "SYNC", "what"), most=1),
    "FLUSHALL": _some(_of("ASYNC", "SYNC", "what"), most=1),
    "EXPIRE": st.one_of(_all(_KEY, _S), _all(_KEY, _LATER_S, _COMPARING)),
    "PEXPIRE": st.one_of(_all(_KEY, _MS), _all(_KEY, _LATER_MS, _COMPARING)),
    "EXPIREAT": _all(_KEY, _S_AT, _COMPARING),
    "PEXPIREAT": _all(_KEY, _MS_AT, _COMPARING),
    "TTL": _KEY,
    "PTTL": _KEY,
    "EXPIRETIME": _KEY,
    "PEXPIRETIME": _KEY,
    "PERSIST": _KEY,
    "OBJECT": _all(_of("ENCODING", "REFCOUNT", "IDLETIME", "FREQ", "what"), _KEY),
    "DUMP": _KEY,
    "RESTORE": _all(_KEY, _of("0", "100000", "-1", "x"), _VALUE, _options("REPLACE", "what")),
    "MULTI": st.just([]),
    "EXEC": st.just([]),
    "DISCARD": st.just([]),
    "WATCH": _some(_KEY, 1),
    "UNWATCH": st.just([]),
    "PING": _some(_VALUE, most=1),
    "ECHO": _VALUE,
    "SELECT": _of("0", "-1", "16", "x", "99999999999"),
    "AUTH": _some(_VALUE, 1, 3),
    "HELLO": _all(_some(_of("2", "3", "4", "x"), most=1), _options(_all(_of("SETNAME"), _of("me", "you and me", "")))),
    "RESET": st.just([]),
    "CLIENT": st.one_of(
        _all(_of("SETNAME"), _of("me", "", "two words", "x\ny")),
        _of("GETNAME", "ID", "what", "NO-EVICT", "KILL", "UNPAUSE"),
        _all(_of("NO-EVICT", "REPLY"), _of("ON", "what")),
        _all(_of("KILL"), _of("127.0.0.1:1", "ID", "LADDR", "what"), _some(_of("0", "x", "127.0.0.1:1"), most=2)),
        _all(_of("PAUSE", "UNBLOCK"), _of("x", "-1")),
    ),
    "PUBLISH": _all(_of("nobody"), _VALUE),
    "PUBSUB": st.one_of(_of("CHANNELS", "NUMPAT", "NUMSUB", "what"), _all(_of("NUMSUB", "CHANNELS"), _PATTERN)),
    "TIME": st.just([]),
    "LASTSAVE": st.just([]),
    "ROLE": st.just([]),
    "MOVE": _all(_KEY, _of("0", "-1", "99", "x")),
    "SWAPDB": _all(_of("0", "99", "x"), _of("0", "-1", "x")),
    "CONFIG": st.one_of(
        _of("RESETSTAT", "what", "GET", "SET"),
        _all(_of("GET"), _of("nosuch", "no*such", "MAXMEMORY")),
        _all(_of("SET"), _of("nosuch"), _VALUE, _some(_of("port"), most=1)),
    ),
    "COMMAND": _all(
        _of("GETKEYS", "what"), _of("GET", "mset", "SET", "BITOP", "PING", "NOSUCH", "DEL", "LCS"), _some(_KEY)
    ),
    "MEMORY": _all(_of("USAGE", "what"), _KEY, _options(_all(_of("SAMPLES"), _COUNT))),
    "SLOWLOG": st.one_of(_of("RESET", "LEN", "what"), _all(_of("GET"), _of("0", "x", "-2"))),
    "LATENCY": st.one_of(_of("RESET", "what"), _all(_of("HISTORY", "RESET"), _of("nosuch"))),
    "FUNCTION": st.one_of(
        _of("FLUSH", "what"), _all(_of("LIST"), _options("WITHCODE", _all(_of("LIBRARYNAME"), _PATTERN), "what"))
    ),
    "SCRIPT": st.one_of(_of("FLUSH", "what"), _all(_of("EXISTS"), _of("0" * 40), _some(_of("x")))),
    "NOSUCHCOMMAND": _some(_VALUE),
}
"""By name: strategies for the arguments after it."""

_MUTANTS = _of(*_NO_INTEGER_TEXTS, "GET", "NX", "count", "9223372036854775807", "ключ")
_TRANSACTIONS = st.sampled_from(["MULTI", "EXEC", "WATCH", "MULTI", "EXEC"])


@st.composite
def commands(draw: st.DrawFn) -> Arguments:
    """A command's arguments, its name among them; one in eight has been spoilt."""
    name = draw(st.one_of(st.sampled_from(sorted(COMMANDS)), st.sampled_from(sorted(COMMANDS)), _TRANSACTIONS))
    arguments = draw(COMMANDS[name])
    if draw(st.integers(0, 7)) == 7:
        arguments = _spoilt(draw, arguments)
    return [(name if draw(st.booleans()) else name.lower()).encode(), *arguments]


def _spoilt(draw: st.DrawFn, arguments: Arguments) -> Arguments:
    """With one argument less, one more, or another."""
    at = draw(st.integers(0, len(arguments)))
    junk = draw(_MUTANTS)
    kind = draw(st.sampled_from(("less", "more", "other")))
    return [*arguments[:at], *(junk if kind != "less" else []), *arguments[at + (kind != "more") :]]
