"""COMMAND: what it tells of our commands is what a real redis-server tells of them."""

from __future__ import annotations

from typing import Any

import pytest

from mvcc_kv.server.redis.commands import COMMANDS
from tests.server.redis.clients import Place
from tests.server.redis.real import RealRedis

OURS = ("start", "commit", "rollback", "conflict")
NOT_YET = (b"client|setinfo", b"client|no-touch")  # in 7.0
TABLE = sorted(name.decode() for name in COMMANDS if name.islower() and name.decode() not in OURS)
CALLS = """
    GET a | STRLEN a | SET a 1 | SET a 1 GET | SET a get | SET a GET | SET a 1 NX get EX 3 | SETNX a 1 | SETEX a 1 1
    PSETEX a 1 1 | GETSET a 1 | GETDEL a | GETEX a | MSET a 1 b 2 | MSETNX a 1 b 2 | MGET a b | APPEND a 1
    SETRANGE a 1 x | GETRANGE a 1 2 | SUBSTR a 1 2 | INCR a | INCRBYFLOAT a 1 | LCS a b
    SETBIT a 1 1 | GETBIT a 1 | BITCOUNT a | BITPOS a 1 | BITOP NOT a b | BITOP AND a b c d | BITFIELD_RO a GET u8 0
    BITFIELD a | BITFIELD a GET u8 0 | BITFIELD a get u8 0 GET u8 8 | BITFIELD a SET u8 0 1
    BITFIELD a GET u8 0 SET u8 0 1 | BITFIELD a GET u8 | BITFIELD a x
    BITFIELD a OVERFLOW SAT | BITFIELD a OVERFLOW SAT GET u8 0 | BITFIELD a INCRBY u8 0 1
    BITFIELD a GET | BITFIELD a OVERFLOW | BITFIELD a SET u8 0
    DEL a b | UNLINK a b | EXISTS a b | TOUCH a b | TYPE a | COPY a b | COPY a b REPLACE | RENAME a b | RENAMENX a b
    EXPIRE a 1 | PEXPIREAT a 1 | PERSIST a | TTL a | EXPIRETIME a | DUMP a | RESTORE a 0 x | MOVE a 1
    OBJECT ENCODING a | OBJECT FREQ a | MEMORY USAGE a | MEMORY USAGE a SAMPLES 3 | WATCH a b
    PING | MSET | NOSUCH a | COPY a | DBSIZE
"""


@pytest.mark.parametrize("call", [call.strip() for line in CALLS.strip().splitlines() for call in line.split("|")])
def test_each_key_comes_with_what_this_call_does_with_it(redis_server: RealRedis, call: str) -> None:
    client = Place().client()
    for asked in ("GETKEYSANDFLAGS", "GETKEYS"):
        words = ("COMMAND", asked, *call.split())
        assert told(client(*words)) == told(redis_server(*words))


@pytest.mark.parametrize("name", TABLE)
def test_a_command_is_of_the_categories_and_has_the_keys_that_redis_says(redis_server: RealRedis, name: str) -> None:
    ours, theirs = Place().client()("COMMAND", "INFO", name)[0], redis_server("COMMAND", "INFO", name)[0]
    assert about(ours) == about(theirs)
    real = {inner[0]: inner for inner in theirs[9]}
    for inner in ours[9]:
        if inner[0] not in NOT_YET:
            assert about(inner) == about(real[inner[0]])


@pytest.mark.parametrize("category", ["bitmap", "BITMAP", "keyspace", "string", "transaction"])
def test_a_category_lists_who_is_in_it(redis_server: RealRedis, category: str) -> None:
    words = ("COMMAND", "LIST", "FILTERBY", "ACLCAT", category)
    known = {one.name.encode() for name in TABLE for one in inner_of(name)}
    assert set(Place().client()(*words)) & known == set(redis_server(*words)) & known


@pytest.mark.parametrize(("proto", "said"), [(2, b"*1\r\n$-1\r\n"), (3, b"*1\r\n_\r\n")])
def test_of_what_does_not_exist_command_info_says_null(proto: int, said: bytes) -> None:
    client = Place().client()
    client("HELLO", proto)
    assert client.raw("COMMAND", "INFO", "nosuch") == said


def inner_of(name: str) -> list[Any]:
    entry = COMMANDS[name.encode()]
    return [entry, *entry.subcommands.values()]


def about(entry: list[Any]) -> list[Any]:
    """What a client goes by: name, arity, where keys are, categories, key specifications."""
    return [*entry[:2], *entry[3:7], entry[8]]


def told(reply: Any) -> Any:
    """The reply; of an error, its text."""
    return str(reply) if isinstance(reply, Exception) else reply
