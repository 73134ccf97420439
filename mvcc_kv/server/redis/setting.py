"""SET and those that do a part of what it does; and GETEX, which takes the same words for a key's time.

Which words go together is Redis 7.0's: NX or XX; one of EX, PX, EXAT, PXAT (the same one again is taken, and the
last counts), KEEPTTL and PERSIST.
"""

from __future__ import annotations

from dataclasses import dataclass

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import INT64_MAX, integer
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.expiring import put_until
from mvcc_kv.server.redis.failures import SYNTAX, Failure
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.strings import bulk_or_null, put_kept
from mvcc_kv.server.redis.texts import value_of
from mvcc_kv.values import Expiring

__all__: list[str] = []

_GROUP = "string"
_ONE = (1, 1, 1)
_TIMES = (b"EX", b"PX", b"EXAT", b"PXAT")
_SECONDS = (b"EX", b"EXAT")
_FROM_NOW = (b"EX", b"PX")
_FLAGS_OF_SET = frozenset((b"NX", b"XX", b"GET", b"KEEPTTL"))
_FLAGS_OF_GETEX = frozenset((b"PERSIST",))
_NOT_BESIDE = {b"NX": b"XX", b"XX": b"NX"}


@dataclass(slots=True)
class _Options:
    """`flags`: words without an argument; `kind`: what the time is given in, one of `_TIMES`; `time`: its text."""

    flags: set[bytes]
    kind: bytes | None = None
    time: bytes = b""

    def take(self, word: bytes, time: bytes | None) -> int:
        """Take the next word; how many arguments that was. Raises SYNTAX for one that can't stand beside the others."""
        if word in _TIMES:
            if time is None or self.kind not in (None, word) or not self.flags.isdisjoint((b"KEEPTTL", b"PERSIST")):
                raise Failure(SYNTAX)
            self.kind, self.time = word, time
            return 2
        if _NOT_BESIDE.get(word) in self.flags or (word in (b"KEEPTTL", b"PERSIST") and self.kind is not None):
            raise Failure(SYNTAX)
        self.flags.add(word)
        return 1


def _options(words: list[bytes], flags: frozenset[bytes]) -> _Options:
    options, at = _Options(set()), 0
    while at < len(words):
        word = words[at].upper()
        if word not in flags and word not in _TIMES:
            raise Failure(SYNTAX)
        at += options.take(word, words[at + 1] if at + 1 < len(words) else None)
    return options


def _expires_ms(session: RedisSession, kind: bytes, time: bytes, name: str) -> int:
    """The moment, in milliseconds since 1970. Raises what Redis says to times that can't be."""
    time_ms = integer(time) * (1_000 if kind in _SECONDS else 1)
    if not 0 < time_ms <= INT64_MAX:
        raise _invalid(name)
    if kind in _FROM_NOW:
        time_ms += session.space.now_us // 1_000
    if time_ms > INT64_MAX:
        raise _invalid(name)
    return time_ms


def _invalid(name: str) -> Failure:
    return Failure(f"ERR invalid expire time in '{name}' command")


@command("set", -3, "write denyoom", keys=_ONE, group=_GROUP, summary="Sets the string value of a key.")
def put(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) == 3:
        session.space.put(arguments[1], value_of(arguments[2]))
        return resp.OK
    return _put_with(session, arguments, _options(arguments[3:], _FLAGS_OF_SET))


def _put_with(session: RedisSession, arguments: list[bytes], options: _Options) -> bytes:
    key, flags = arguments[1], options.flags
    expires_ms = None if options.kind is None else _expires_ms(session, options.kind, options.time, "set")
    old = session.space.get(key)
    told = bulk_or_null(session, old) if b"GET" in flags else None
    if (b"NX" in flags and old is not None) or (b"XX" in flags and old is None):
        return told or resp.null(session.proto)
    text = value_of(arguments[2])
    if expires_ms is not None:
        put_until(session, key, text, expires_ms)
    else:
        put_kept(session, key, text, old if b"KEEPTTL" in flags else None)
    return told or resp.OK


@command(
    "setnx", 3, "write denyoom fast", keys=_ONE, group=_GROUP, summary="Sets a key's string value, if it isn't there."
)
def setnx(session: RedisSession, arguments: list[bytes]) -> bytes:
    if session.space.get(arguments[1]) is not None:
        return resp.ZERO
    session.space.put(arguments[1], value_of(arguments[2]))
    return resp.ONE


@command(
    "setex",
    4,
    "write denyoom",
    keys=_ONE,
    group=_GROUP,
    since="2.0.0",
    summary="Sets a key's string value, for so many seconds.",
)
def setex(session: RedisSession, arguments: list[bytes]) -> bytes:
    return _put_for(session, arguments, b"EX", "setex")


@command(
    "psetex",
    4,
    "write denyoom",
    keys=_ONE,
    group=_GROUP,
    since="2.6.0",
    summary="Sets a key's string value, for so many milliseconds.",
)
def psetex(session: RedisSession, arguments: list[bytes]) -> bytes:
    return _put_for(session, arguments, b"PX", "psetex")


def _put_for(session: RedisSession, arguments: list[bytes], kind: bytes, name: str) -> bytes:
    expires_ms = _expires_ms(session, kind, arguments[2], name)
    put_until(session, arguments[1], value_of(arguments[3]), expires_ms)
    return resp.OK


@command(
    "getex",
    -2,
    "write fast",
    keys=_ONE,
    group=_GROUP,
    since="6.2.0",
    summary="Returns the string value of a key, and sets or removes its time to live.",
)
def getex(session: RedisSession, arguments: list[bytes]) -> bytes:
    key, options = arguments[1], _options(arguments[2:], _FLAGS_OF_GETEX)
    value = session.space.get(key)
    if value is None:
        return resp.null(session.proto)
    if options.kind is not None:
        put_until(session, key, bytes(value), _expires_ms(session, options.kind, options.time, "getex"))
    elif b"PERSIST" in options.flags and type(value) is Expiring:
        session.space.put(key, bytes(value))
    return bulk_or_null(session, value)
