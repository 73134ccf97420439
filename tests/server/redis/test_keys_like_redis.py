"""The same commands on keys, with odd arguments, said to us and to a real redis-server: the same replies."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import example, given, note
from hypothesis import strategies as st

from mvcc_kv.server.redis.dumps import loaded
from tests.server.redis.clients import Client, Place
from tests.server.redis.real import RealRedis
from tests.server.redis.test_strings_like_redis import must_be_alike, said, shown, some, words

KEYS = ("a", "b", "ключ", "list:1", "list:2", "")
NUMERIC = ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME")  # what they say depends on when they are asked
FAR = 30  # seconds that the two servers may be apart in that

keys = st.sampled_from(KEYS)
numbers = st.one_of(
    st.sampled_from((0, 1, -1, 100, 5_000, 10**9, 2**63 - 1, -(2**63), 2**63, 2**31)),
    st.sampled_from((b"", b"+1", b" 1", b"01", b"1.5", b"x", b"\xff", b"-0", b"1\x00")),
)
times = st.one_of(  # of milliseconds too: as many as the test never takes
    st.sampled_from((100_000, 500_000, 10**9, 10**15, 2**63 // 1000, 2**63 // 1000 + 1)),
    numbers.filter(lambda number: not (isinstance(number, int) and 0 < number < 100_000)),
)
moments = st.one_of(st.sampled_from((4102444800, 4102444800000, 1)), numbers)
conditions = some(words("NX", "XX", "GT", "LT", "NO"), most=2)
texts = st.one_of(st.binary(max_size=5), st.integers().map(lambda number: b"%d" % number), st.just(b"x" * 50))
patterns = st.one_of(
    st.sampled_from(("*", "**", "?", "list:*", "list:[1]", "[^a]", "a", "l*:?", "[a-", "\\*", "")),
    st.text("ablist:12*?[]^-\\", max_size=5),
)
indexes = st.sampled_from((0, 0, 16, -1, 2**31, 2**63, "x", ""))  # a real one has 16 databases
payloads = st.sampled_from(
    (
        b"\x00\x05lunch\n\x00*\xf6A|\xf4\x05\xad\xf9",
        b"\x00\xc0\xff\n\x00\x0c\x93~$\x85\x08\x9d\xc5",
        b"\x00\xc3\x09@d\x01xx\xe0W\x00\x01xx\n\x00]\xb7\xf6c\xbb\x08b_",
        b"\x00\xc0\xff\n\x00\x0c\x93~$\x85\x08\x9d\xc6",
        b"",
    )
)
restoring = some(
    words("REPLACE", "ABSTTL", "NO"),
    st.tuples(words("FREQ", "IDLETIME"), st.one_of(st.just(1), numbers)),
    words("REPLACE"),
    most=3,
)
scanning = some(
    st.tuples(words("MATCH"), patterns),
    st.tuples(words("COUNT"), st.sampled_from((100, 100, 10_000, 0, -1, 2**63, "x", ""))),
    st.tuples(words("TYPE"), st.sampled_from(("string", "STRING", "list", "x"))),
    words("NO", "MATCH"),
    most=2,
)

commands = st.one_of(
    said("SET", keys, texts),
    said("SET", keys, texts),
    said("GET", keys),
    said(words("DEL", "UNLINK", "EXISTS", "TOUCH"), st.lists(keys, max_size=3)),
    said(words("TYPE", "TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "PERSIST", "DUMP"), keys),
    said(words("RENAME", "RENAMENX", "COPY"), keys, keys),
    said("COPY", keys, keys, some(words("REPLACE", "NO", "DB"), st.tuples(words("DB"), indexes))),
    said("MOVE", keys, st.sampled_from((0, 16, "x", 2**31, ""))),
    said("SWAPDB", st.sampled_from((0, 16, "x", 2**31)), st.sampled_from((0, 16, "y", -(2**31) - 1))),
    said(words("EXPIRE", "PEXPIRE"), keys, times, conditions),
    said(words("EXPIREAT", "PEXPIREAT"), keys, moments, conditions),
    said("KEYS", patterns),
    said("SCAN", st.one_of(st.just(0), st.sampled_from(("", "x", "+0", "-0", " 0", "0 ", "00", "9" * 30))), scanning),
    said(words("DBSIZE", "RANDOMKEY", "OBJECT"), st.lists(keys, max_size=1)),
    said("OBJECT", words("ENCODING", "REFCOUNT", "FREQ", "IDLETIME", "NO", "HELP"), st.lists(keys, max_size=2)),
    said(words("FLUSHDB", "FLUSHALL"), some(words("ASYNC", "SYNC", "NO"), most=2)),
    said("RESTORE", keys, times, payloads, restoring),
    said("WAIT", st.sampled_from((0, -1, "x")), st.sampled_from((0, 1, -1, "x"))),
    said(words("DEL", "EXPIRE", "TTL", "SCAN", "COPY", "RESTORE", "KEYS", "RENAME"), st.lists(keys, max_size=2)),
)


@given(st.lists(commands, min_size=1, max_size=12))
@example([("SET", "a", "x"), ("EXPIRE", "a", 100, "LT"), ("PERSIST", "a"), ("TTL", "a")])
@example([("SET", "a", "x"), ("PEXPIREAT", "a", 2**63 - 1), ("PEXPIRETIME", "a"), ("TTL", "a")])
@example([("OBJECT", "HELP"), ("SET", "a", 1), ("OBJECT", "REFCOUNT", "a"), ("SCAN", 0, "MATCH", "*")])
def test_what_is_said_of_keys_is_answered_as_by_redis(redis_server: RealRedis, sequence: list[Any]) -> None:
    place = Place()
    place.now_us = time.time_ns() // 1_000
    client = place.client()
    redis_server("FLUSHALL")
    for command in sequence:
        expected, reply = redis_server(*command), client(*command)
        note(f"{command}: {expected}")
        must_agree(str(command[0]).upper(), client, expected, reply)
    for key in KEYS:
        must_be_alike(place, client, redis_server, key)
    place.store.check()


def must_agree(name: str, client: Client, expected: Any, reply: Any) -> None:
    """As far as replies can: times are near, keys in another order, and a random one is one that is there."""
    if name in NUMERIC and isinstance(expected, int) and expected >= 0:
        assert abs(reply - expected) <= FAR * (1000 if name.startswith("P") else 1)
    elif name in ("KEYS", "SCAN") and isinstance(expected, list):
        assert in_order(reply) == in_order(expected)
    elif name == "RANDOMKEY" and isinstance(expected, bytes):
        assert client("EXISTS", reply) == 1
    elif name == "DUMP" and isinstance(expected, bytes):
        assert loaded(reply) == loaded(expected)  # which may be compressed
    else:
        assert shown(reply) == shown(expected)


def in_order(reply: list[Any]) -> list[Any]:
    if len(reply) == 2 and isinstance(reply[1], list):
        return [reply[0], sorted(reply[1])]
    return sorted(reply)
