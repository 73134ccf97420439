"""Strings, read and written as wholes and in parts. How SET does it is in `setting.py`, counting in `counters.py`."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import Failure, wrong_arity
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.texts import text_of, value_of
from mvcc_kv.values import Expiring

__all__ = ["bulk_or_null", "lengthened", "must_fit", "put_kept", "text_at"]

_GROUP = "string"
_ONE = (1, 1, 1)
_PAIRS = (1, -1, 2)


# What other commands on strings are made of


def text_at(session: RedisSession, key: bytes) -> bytes:
    """The key's raw string; an empty one if it isn't there."""
    value = session.space.get(key)
    return b"" if value is None else text_of(value)


def bulk_or_null(session: RedisSession, value: bytes | None) -> bytes:
    """The reply that tells a value."""
    return resp.null(session.proto) if value is None else resp.bulk(text_of(value))


def put_kept(session: RedisSession, key: bytes, text: bytes, old: bytes | None) -> None:
    """Write JSON text in place of `old`, to be there for as long as that was."""
    session.space.put(key, Expiring(text, old.expires_us) if type(old) is Expiring else text)


def lengthened(text: bytes, length: int) -> bytearray:
    """A copy, with zeros behind it if it isn't so long. The only copy: it may be half a gigabyte."""
    if len(text) >= length:
        return bytearray(text)
    copy = bytearray(length)
    memoryview(copy)[: len(text)] = text
    return copy


def must_fit(session: RedisSession, length: int) -> None:
    """Refuse a string that would be so long, if nobody could have sent it."""
    if length > session.house.bulk_bytes_max:
        raise Failure("ERR string exceeds maximum allowed size (proto-max-bulk-len)")


# Reading


@command("get", 2, "readonly fast", keys=_ONE, group=_GROUP, summary="Returns the string value of a key.")
def get(session: RedisSession, arguments: list[bytes]) -> bytes:
    value = session.space.get(arguments[1])
    if value is None:
        return resp.null(session.proto)
    text = text_of(value)
    return b"$%d\r\n%b\r\n" % (len(text), text)


@command(
    "mget",
    -2,
    "readonly fast",
    keys=(1, -1, 1),
    group=_GROUP,
    summary="Returns the string values of one or more keys.",
)
def mget(session: RedisSession, arguments: list[bytes]) -> bytes:
    session.effort = len(arguments) - 1
    read = session.space.get
    return resp.array([bulk_or_null(session, read(key)) for key in arguments[1:]])


@command(
    "strlen", 2, "readonly fast", keys=_ONE, group=_GROUP, since="2.2.0", summary="Returns the length of a string."
)
def strlen(session: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.integer(len(text_at(session, arguments[1])))


@command("substr", 4, "readonly", keys=_ONE, group=_GROUP, summary="Returns a substring; GETRANGE's old name.")
@command("getrange", 4, "readonly", keys=_ONE, group=_GROUP, since="2.4.0", summary="Returns a substring.")
def getrange(session: RedisSession, arguments: list[bytes]) -> bytes:
    first, last = integer(arguments[2]), integer(arguments[3])
    text = text_at(session, arguments[1])
    if first < 0 and last < 0 and first > last:
        return resp.EMPTY_BULK
    first, last = (max(place + len(text), 0) if place < 0 else place for place in (first, last))
    return resp.bulk(text[first : last + 1])


# Writing


@command("getset", 3, "write denyoom fast", keys=_ONE, group=_GROUP, summary="Sets a key, and returns what it was.")
def getset(session: RedisSession, arguments: list[bytes]) -> bytes:
    reply = bulk_or_null(session, session.space.get(arguments[1]))
    session.space.put(arguments[1], value_of(arguments[2]))
    return reply


@command(
    "getdel", 2, "write fast", keys=_ONE, group=_GROUP, since="6.2.0", summary="Deletes a key, and returns what it was."
)
def getdel(session: RedisSession, arguments: list[bytes]) -> bytes:
    value = session.space.get(arguments[1])
    if value is not None:
        session.space.delete(arguments[1])
    return bulk_or_null(session, value)


@command("mset", -3, "write denyoom", keys=_PAIRS, group=_GROUP, since="1.0.1", summary="Sets one or more keys.")
def mset(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) % 2 == 0:
        raise wrong_arity("mset")
    _put_pairs(session, arguments)
    return resp.OK


@command(
    "msetnx",
    -3,
    "write denyoom",
    keys=_PAIRS,
    group=_GROUP,
    since="1.0.1",
    summary="Sets one or more keys, if none of them is there.",
)
def msetnx(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) % 2 == 0:
        raise wrong_arity("msetnx")
    session.effort = len(arguments) // 2
    if any(session.space.get(key) is not None for key in arguments[1::2]):
        return resp.ZERO
    _put_pairs(session, arguments)
    return resp.ONE


def _put_pairs(session: RedisSession, arguments: list[bytes]) -> None:
    session.effort = len(arguments) // 2
    put = session.space.put
    for at in range(1, len(arguments), 2):
        put(arguments[at], value_of(arguments[at + 1]))


@command(
    "append",
    3,
    "write denyoom fast",
    keys=_ONE,
    group=_GROUP,
    since="2.0.0",
    summary="Appends to a string; creates it if there is none.",
)
def append(session: RedisSession, arguments: list[bytes]) -> bytes:
    old = session.space.get(arguments[1])
    text = arguments[2]
    if old is not None:
        text = text_of(old) + text
        must_fit(session, len(text))
    put_kept(session, arguments[1], value_of(text), old)
    return resp.integer(len(text))


@command(
    "setrange",
    4,
    "write denyoom",
    keys=_ONE,
    group=_GROUP,
    since="2.2.0",
    summary="Overwrites a part of a string; what it is too short by becomes zero bytes.",
)
def setrange(session: RedisSession, arguments: list[bytes]) -> bytes:
    at, part = integer(arguments[2]), arguments[3]
    if at < 0:
        raise Failure("ERR offset is out of range")
    old = session.space.get(arguments[1])
    text = b"" if old is None else text_of(old)
    if not part:
        return resp.integer(len(text))
    must_fit(session, at + len(part))
    changed = lengthened(text, at + len(part))
    changed[at : at + len(part)] = part
    del text
    put_kept(session, arguments[1], value_of(changed), old)
    return resp.integer(len(changed))
