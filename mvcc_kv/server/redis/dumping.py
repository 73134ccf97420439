"""DUMP and RESTORE, the commands; `dumps.py` has the format."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import INT64_MAX, integer
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.dumps import BadChecksumError, BadFormatError, dumped, loaded
from mvcc_kv.server.redis.expiring import put_until
from mvcc_kv.server.redis.failures import SYNTAX, Failure
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.texts import text_of, value_of

__all__: list[str] = []

_ONE = (1, 1, 1)


@command("dump", 2, "readonly", keys=_ONE, since="2.6.0", summary="Returns a serialized representation of a value.")
def dump(session: RedisSession, arguments: list[bytes]) -> bytes:
    value = session.space.get(arguments[1])
    return resp.null(session.proto) if value is None else resp.bulk(dumped(text_of(value)))


@command("restore", -4, "write denyoom", keys=_ONE, since="2.6.0", summary="Creates a key from what DUMP returned.")
def restore(session: RedisSession, arguments: list[bytes]) -> bytes:
    key, space = arguments[1], session.space
    options = _options(arguments[4:])
    if b"REPLACE" not in options and space.get(key) is not None:
        raise Failure("BUSYKEY Target key name already exists.")
    ttl_ms = integer(arguments[2])
    if ttl_ms < 0:
        raise Failure("ERR Invalid TTL value, must be >= 0")
    value = value_of(_loaded(arguments[3]))
    if ttl_ms:
        put_until(session, key, value, ttl_ms if b"ABSTTL" in options else _from_now(session, ttl_ms))
    else:
        space.put(key, value)
    return resp.OK


def _from_now(session: RedisSession, ttl_ms: int) -> int:
    """When that will be; beyond what 64 bits can say it is past already, as in Redis, which overflows here."""
    at_ms = session.space.now_us // 1000 + ttl_ms
    return at_ms if at_ms <= INT64_MAX else 0


def _options(words: list[bytes]) -> set[bytes]:
    """`[REPLACE] [ABSTTL] [IDLETIME seconds | FREQ frequency]`; the last two are checked, and change nothing."""
    options: set[bytes] = set()
    left = iter(words)
    for word in left:
        option = word.upper()
        options.add(option)
        if option == b"IDLETIME" and b"FREQ" not in options and (text := next(left, None)) is not None:
            if integer(text) < 0:
                raise Failure("ERR Invalid IDLETIME value, must be >= 0")
        elif option == b"FREQ" and b"IDLETIME" not in options and (text := next(left, None)) is not None:
            if not 0 <= integer(text) <= 255:
                raise Failure("ERR Invalid FREQ value, must be >= 0 and <= 255")
        elif option not in (b"REPLACE", b"ABSTTL"):
            raise Failure(SYNTAX)
    return options


def _loaded(payload: bytes) -> bytes:
    try:
        return loaded(payload)
    except BadChecksumError:
        raise Failure("ERR DUMP payload version or checksum are wrong") from None
    except BadFormatError:
        raise Failure("ERR Bad data format") from None
