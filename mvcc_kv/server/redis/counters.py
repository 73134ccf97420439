"""INCR and its kin. What they write is a JSON number, so that others count on with it; it keeps its expiry."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis import long_double
from mvcc_kv.server.redis.arguments import INT64_MAX, INT64_MIN, integer, integer_of
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import NOT_A_FLOAT, NOT_AN_INTEGER, Failure
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.strings import put_kept
from mvcc_kv.server.redis.texts import text_of

__all__: list[str] = []

_GROUP = "string"
_ONE = (1, 1, 1)
_FLAGS = "write denyoom fast"
_OVERFLOW = "ERR increment or decrement would overflow"


def _add(session: RedisSession, key: bytes, by: int) -> bytes:
    old = session.space.get(key)
    number = 0 if old is None else integer_of(text_of(old))
    if number is None:
        raise Failure(NOT_AN_INTEGER)
    total = number + by
    if not INT64_MIN <= total <= INT64_MAX:
        raise Failure(_OVERFLOW)
    put_kept(session, key, b"%d" % total, old)
    return b":%d\r\n" % total


@command("incr", 2, _FLAGS, keys=_ONE, group=_GROUP, summary="Increments the integer value of a key by one.")
def incr(session: RedisSession, arguments: list[bytes]) -> bytes:
    return _add(session, arguments[1], 1)


@command("decr", 2, _FLAGS, keys=_ONE, group=_GROUP, summary="Decrements the integer value of a key by one.")
def decr(session: RedisSession, arguments: list[bytes]) -> bytes:
    return _add(session, arguments[1], -1)


@command("incrby", 3, _FLAGS, keys=_ONE, group=_GROUP, summary="Increments the integer value of a key by a number.")
def incrby(session: RedisSession, arguments: list[bytes]) -> bytes:
    return _add(session, arguments[1], integer(arguments[2]))


@command("decrby", 3, _FLAGS, keys=_ONE, group=_GROUP, summary="Decrements the integer value of a key by a number.")
def decrby(session: RedisSession, arguments: list[bytes]) -> bytes:
    by = integer(arguments[2])
    if by == INT64_MIN:
        raise Failure("ERR decrement would overflow")
    return _add(session, arguments[1], -by)


@command(
    "incrbyfloat",
    3,
    _FLAGS,
    keys=_ONE,
    group=_GROUP,
    since="2.6.0",
    summary="Increments the floating-point value of a key by a number.",
)
def incrbyfloat(session: RedisSession, arguments: list[bytes]) -> bytes:
    old = session.space.get(arguments[1])
    number = long_double.read(b"0" if old is None else text_of(old))
    by = long_double.read(arguments[2])
    if number is None or by is None:
        raise Failure(NOT_A_FLOAT)
    total = long_double.total(number, by)
    if total is None:
        raise Failure("ERR increment would produce NaN or Infinity")
    text = long_double.written(total)
    put_kept(session, arguments[1], text, old)
    return resp.bulk(text)
