"""The same commands on strings, with odd arguments, said to us and to a real redis-server: the same replies.

Expected is what Redis says, error texts included, and that the same keys are left, with the same values and expiries.
"""

from __future__ import annotations

import random
import time
from typing import Any, TypeAlias

import pytest
from hypothesis import example, given, note
from hypothesis import strategies as st

from mvcc_kv.values import Expiring
from tests.server.redis.clients import Client, Place
from tests.server.redis.real import RealRedis

_Said: TypeAlias = "tuple[bytes | str | int, ...]"

KEYS = ("a", "b", "ключ")
_MOMENTS_MS = 30_000  # how far apart the two servers may be in saying when a key expires

keys = st.sampled_from(KEYS)
integers = st.one_of(
    st.integers(-20, 20),
    st.sampled_from((0, 1, 2**31, 2**32, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 4294967295, 4294967296)),
)
odd_texts = st.sampled_from(
    (b"", b"-", b"+1", b" 1", b"1 ", b"01", b"-0", b"0x10", b"1.5", b"1e3", b"inf", b"nan", b"x", b"\xff", b"1\x00")
)
numbers = st.one_of(integers, integers, odd_texts)
floats = st.one_of(st.floats(-1e6, 1e6).map(repr), st.floats().map(repr), st.decimals().map(str), numbers)
texts = st.one_of(st.binary(max_size=12), st.text("abc", max_size=12).map(str.encode), st.text(max_size=5), numbers)
bits = st.one_of(st.integers(0, 1), st.integers(0, 1), numbers)
offsets = st.one_of(st.integers(0, 200), st.integers(0, 200), st.sampled_from((-1, 2**32, 2**63 - 1, 2**63)), odd_texts)
times = st.one_of(
    st.sampled_from((100_000, 500_000, 0, -1, 10**15, 2**63 - 1, 2**63 // 1000, 2**63 // 1000 + 1)), odd_texts
)
moments = st.one_of(st.sampled_from((1, 1000, 4102444800, 4102444800000, 0, -5, 2**63 - 1)), odd_texts)


def words(*choices: str) -> st.SearchStrategy[str]:
    return st.sampled_from([shape for word in choices for shape in (word, word, word.lower(), word.title())])


def said(*parts: st.SearchStrategy[Any] | str) -> st.SearchStrategy[_Said]:
    """A command; parts that are lists or tuples are many arguments."""
    drawn = st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts))
    return drawn.map(lambda parts: tuple(one for part in parts for one in (part if isinstance(part, list) else [part])))


def some(*options: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[list[Any]]:
    """Up to so many of the options, whose parts are one list in the end."""
    parts = st.lists(st.one_of(*options), max_size=most)
    return parts.map(lambda parts: [one for part in parts for one in (part if isinstance(part, tuple) else [part])])


until = (st.tuples(words("EX", "PX"), times), st.tuples(words("EXAT", "PXAT"), moments))
fields = st.one_of(words("u1", "u8", "i8", "u63", "i64", "i5"), st.sampled_from(("u64", "i65", "i0", "x8", "U8", "")))
at = st.one_of(st.integers(0, 70), st.integers(0, 9).map(lambda number: f"#{number}"), odd_texts)
operations = some(
    st.tuples(words("GET"), fields, at),
    st.tuples(words("SET", "INCRBY"), fields, at, integers),
    st.tuples(words("OVERFLOW"), words("WRAP", "SAT", "FAIL", "NO")),
    words("GET", "NO"),
    most=4,
)
ranges = some(numbers, words("BIT", "BYTE"), most=3)

commands = st.one_of(
    said("SET", keys, texts),
    said("SET", keys, texts, some(words("NX", "XX", "GET", "KEEPTTL", "PERSIST", "EX"), *until)),
    said("SET", keys, texts, some(*until, most=1)),
    said("GETEX", keys, some(words("PERSIST", "KEEPTTL", "PX"), *until, most=2)),
    said(words("SETNX", "GETSET", "APPEND"), keys, texts),
    said(words("SETEX", "PSETEX"), keys, times, texts),
    said(words("GET", "GETDEL", "STRLEN", "INCR", "DECR"), keys),
    said("MGET", st.lists(keys, max_size=4)),
    said(
        words("MSET", "MSETNX"), some(st.tuples(keys, st.one_of(keys, integers)), keys)
    ),  # out of step, values are keys
    said(words("GETRANGE", "SUBSTR"), keys, numbers, numbers),
    said("SETRANGE", keys, offsets, texts),
    said(words("INCRBY", "DECRBY"), keys, numbers),
    said("INCRBYFLOAT", keys, floats),
    said("SETBIT", keys, offsets, bits),
    said("GETBIT", keys, numbers),
    said("BITCOUNT", keys, ranges),
    said("BITPOS", keys, bits, ranges),
    said("BITCOUNT", keys, integers, integers, words("BIT", "BYTE")),
    said("BITPOS", keys, bits, integers, integers, words("BIT", "BYTE")),
    said("BITOP", words("AND", "OR", "XOR", "NOT", "NO"), keys, st.lists(keys, max_size=3)),
    said(words("BITFIELD", "BITFIELD_RO"), keys, operations),
    said("LCS", keys, keys, some(words("LEN", "IDX", "WITHMATCHLEN"), st.tuples(words("MINMATCHLEN"), numbers))),
    said(words("SET", "GET", "GETEX", "MSET", "SETBIT", "LCS", "BITOP", "GETRANGE"), st.lists(keys, max_size=2)),
)


@given(st.lists(commands, min_size=1, max_size=12))
@example([("SET", "a", "ohmytext"), ("SET", "b", "mynewtext"), ("LCS", "a", "b", "IDX", "WITHMATCHLEN")])
@example([("SET", "a", ""), ("BITPOS", "a", 0), ("BITPOS", "a", 0, 0, -1, "BIT"), ("GETRANGE", "a", 0, -1)])
@example([("SET", "a", 5, "EX", 100), ("INCR", "a"), ("SETBIT", "a", 3, 1), ("BITOP", "NOT", "a", "a")])
def test_what_is_said_of_strings_is_answered_as_by_redis(redis_server: RealRedis, sequence: list[_Said]) -> None:
    place = Place()
    place.now_us = time.time_ns() // 1_000
    client = place.client()
    redis_server("FLUSHALL")
    for command in sequence:
        expected, reply = shown(redis_server(*command)), shown(client(*command))
        note(f"{command}: {expected}")
        assert reply == expected, command
    for key in KEYS:
        must_be_alike(place, client, redis_server, key)
    place.store.check()


def must_be_alike(place: Place, client: Client, redis_server: RealRedis, key: str) -> None:
    assert client("GET", key) == redis_server("GET", key)
    value, expires_ms = place.store.newest(key.encode()), redis_server("PEXPIRETIME", key)
    if isinstance(value, Expiring):
        assert abs(value.expires_us // 1_000 - expires_ms) < _MOMENTS_MS
    else:
        assert expires_ms in (-1, -2)


def shown(reply: Any) -> Any:
    """The reply with errors as texts, so that two of them can be equal."""
    if isinstance(reply, list):
        return [shown(part) for part in reply]
    return ("error", str(reply)) if isinstance(reply, Exception) else reply


@pytest.mark.parametrize("seed", range(3))
def test_sums_of_floats_have_the_digits_of_redis(redis_server: RealRedis, seed: int) -> None:
    print(f"seed {seed}")
    chance, client = random.Random(seed), Place().client()
    for _ in range(500):
        key, first, second = "a", drawn_float(chance), drawn_float(chance)
        for command in (("SET", key, first), ("INCRBYFLOAT", key, second), ("INCRBYFLOAT", key, first)):
            assert shown(client(*command)) == shown(redis_server(*command)), (first, second)


def drawn_float(chance: random.Random) -> str:
    """A float's text of one of many shapes: long, short, tiny, huge, in hex."""
    match chance.randrange(6):
        case 0:
            return f"{chance.uniform(-1_000, 1_000):.{chance.randrange(25)}f}"
        case 1:
            return f"{chance.randrange(-(10**9), 10**9)}e{chance.randrange(-40, 40)}"
        case 2:
            return f"{chance.randrange(10**12)}e{chance.randrange(-5_000, 5_000)}"
        case 3:
            return (chance.random() * 10.0 ** chance.randrange(-20, 20)).hex()
        case 4:
            return str(chance.randrange(-(2**63), 2**63))
        case _:
            return f"{chance.randrange(100)}.{chance.randrange(10 ** chance.randrange(1, 22))}"
