"""When keys go: EXPIRE, TTL, PERSIST and their kin.

An expiry is a part of the value, a wall-clock moment in microseconds; these commands give and take milliseconds. To set
one is a commit like any other. The engine deletes what has expired before anybody reads, so no command here has to ask
whether a key is still there.
"""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import INT64_MAX, INT64_MIN, integer
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import Failure, shown
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.values import Expiring

__all__ = ["expires_ms", "put_until"]

_ONE = (1, 1, 1)
_SECOND_MS = 1000
_IS_THERE_MS, _IS_GONE = -1, -2
_INCOMPATIBLE_WITH_NX = "ERR NX and XX, GT or LT options at the same time are not compatible"
_GT_WITH_LT = "ERR GT and LT options at the same time are not compatible"


def expires_ms(value: bytes) -> int | None:
    """When the value goes, in milliseconds since 1970; None if it stays."""
    return value.expires_us // 1000 if isinstance(value, Expiring) else None


def put_until(session: RedisSession, key: bytes, value: bytes, at_ms: int) -> None:
    """Put the value until that moment; if it is past, delete what there is."""
    space = session.space
    if at_ms <= space.now_us // 1000:
        space.delete(key)
    else:
        space.put(key, Expiring(value, at_ms * 1000))


@command("expire", -3, "write fast", keys=_ONE, summary="Sets the expiration time of a key in seconds.")
@command(
    "pexpire", -3, "write fast", keys=_ONE, since="2.6.0", summary="Sets the expiration time of a key in milliseconds."
)
@command(
    "expireat",
    -3,
    "write fast",
    keys=_ONE,
    since="1.2.0",
    summary="Sets the expiration time of a key to a Unix timestamp.",
)
@command(
    "pexpireat",
    -3,
    "write fast",
    keys=_ONE,
    since="2.6.0",
    summary="Sets the expiration time of a key to a Unix timestamp in milliseconds.",
)
def expire(session: RedisSession, arguments: list[bytes]) -> bytes:
    conditions = _conditions(arguments[3:])
    at_ms = _moment_ms(arguments[0].lower(), integer(arguments[2]), session.space.now_us // 1000)
    key = arguments[1]
    value = session.space.get(key)
    if value is None or not _may_expire(conditions, expires_ms(value), at_ms):
        return resp.ZERO
    put_until(session, key, value, at_ms)
    return resp.ONE


def _conditions(words: list[bytes]) -> set[bytes]:
    """Those of NX, XX, GT and LT that were asked for."""
    conditions = set()
    for word in words:
        condition = word.upper()
        if condition not in (b"NX", b"XX", b"GT", b"LT"):
            raise Failure(f"ERR Unsupported option {shown(word)}")
        conditions.add(condition)
    if b"NX" in conditions and len(conditions) > 1:
        raise Failure(_INCOMPATIBLE_WITH_NX)
    if conditions >= {b"GT", b"LT"}:
        raise Failure(_GT_WITH_LT)
    return conditions


def _moment_ms(name: bytes, number: int, now_ms: int) -> int:
    """The moment that the command named: in seconds unless it begins with a P, from now on unless it ends with AT."""
    unit_ms = 1 if name.startswith(b"p") else _SECOND_MS
    base_ms = 0 if name.endswith(b"at") else now_ms
    at_ms = number * unit_ms
    if not INT64_MIN <= at_ms <= INT64_MAX - base_ms:
        raise Failure(f"ERR invalid expire time in '{name.decode()}' command")
    return at_ms + base_ms


def _may_expire(conditions: set[bytes], current_ms: int | None, at_ms: int) -> bool:
    """Whether all conditions hold; a key that stays is taken to expire at the end of time."""
    if current_ms is None:
        return not conditions & {b"XX", b"GT"}
    if b"GT" in conditions and at_ms <= current_ms:
        return False
    return b"NX" not in conditions and not (b"LT" in conditions and at_ms >= current_ms)


@command("ttl", 2, "readonly fast", keys=_ONE, summary="Returns the expiration time in seconds of a key.")
def ttl(session: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.integer(_rounded(_left_ms(session, arguments[1])))


@command(
    "pttl",
    2,
    "readonly fast",
    keys=_ONE,
    since="2.6.0",
    summary="Returns the expiration time in milliseconds of a key.",
)
def ttl_ms(session: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.integer(_left_ms(session, arguments[1]))


@command(
    "expiretime",
    2,
    "readonly fast",
    keys=_ONE,
    since="7.0.0",
    summary="Returns the expiration time of a key as a Unix timestamp.",
)
def expire_time(session: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.integer(_rounded(_end_ms(session, arguments[1])))


@command(
    "pexpiretime",
    2,
    "readonly fast",
    keys=_ONE,
    since="7.0.0",
    summary="Returns the expiration time of a key as a Unix milliseconds timestamp.",
)
def expire_time_ms(session: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.integer(_end_ms(session, arguments[1]))


def _end_ms(session: RedisSession, key: bytes) -> int:
    """When the key goes; -1 if it stays, -2 if it isn't there."""
    value = session.space.get(key)
    if value is None:
        return _IS_GONE
    at_ms = expires_ms(value)
    return _IS_THERE_MS if at_ms is None else at_ms


def _left_ms(session: RedisSession, key: bytes) -> int:
    """How long the key stays; -1 and -2 as above."""
    at_ms = _end_ms(session, key)
    return at_ms if at_ms < 0 else max(at_ms - session.space.now_us // 1000, 0)


def _rounded(milliseconds: int) -> int:
    """In seconds, half ones up, as Redis rounds; -1 and -2 are no times."""
    return milliseconds if milliseconds < 0 else (milliseconds + _SECOND_MS // 2) // _SECOND_MS


@command("persist", 2, "write fast", keys=_ONE, since="2.2.0", summary="Removes the expiration time of a key.")
def persist(session: RedisSession, arguments: list[bytes]) -> bytes:
    value = session.space.get(arguments[1])
    if not isinstance(value, Expiring):
        return resp.ZERO
    session.space.put(arguments[1], bytes(value))
    return resp.ONE
