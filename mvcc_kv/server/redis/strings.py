"""Strings: GET, SET, INCR and their kin."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import INT64_MAX, INT64_MIN, integer_of
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import NOT_AN_INTEGER, Failure
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.texts import text_of, value_of
from mvcc_kv.values import Expiring

__all__: list[str] = []

_ONE = (1, 1, 1)


@command("get", 2, "readonly fast", keys=_ONE, group="string", summary="Returns the string value of a key.")
def get(session: RedisSession, arguments: list[bytes]) -> bytes:
    value = session.space.get(arguments[1])
    return resp.null(session.proto) if value is None else resp.bulk(text_of(value))


@command(
    "incr", 2, "write denyoom fast", keys=_ONE, group="string", summary="Increments the integer value of a key by one."
)
def incr(session: RedisSession, arguments: list[bytes]) -> bytes:
    return add(session, arguments[1], 1)


def add(session: RedisSession, key: bytes, by: int) -> bytes:
    """Add to the key's integer; it keeps its expiry, and is a JSON number from then on."""
    value = session.space.get(key)
    number = 0 if value is None else integer_of(text_of(value))
    if number is None:
        raise NOT_AN_INTEGER
    total = number + by
    if not INT64_MIN <= total <= INT64_MAX:
        raise Failure("ERR increment or decrement would overflow")
    text = b"%d" % total
    session.space.put(key, Expiring(text, value.expires_us) if isinstance(value, Expiring) else text)
    return resp.integer(total)


@command("set", -3, "write denyoom", keys=_ONE, group="string", summary="Sets the string value of a key.")
def put(session: RedisSession, arguments: list[bytes]) -> bytes:
    session.space.put(arguments[1], value_of(arguments[2]))
    return resp.OK
