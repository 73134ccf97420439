"""OBJECT: what Redis would say of how it keeps a value. We keep texts, and count neither reads nor references."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer_of
from mvcc_kv.server.redis.commands import command, subcommand
from mvcc_kv.server.redis.failures import Failure, wrong_arity
from mvcc_kv.server.redis.helping import enter_help
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.texts import text_of

__all__ = ["encoding_of"]

_KEY = (2, 2, 1)
_EMBEDDED_BYTES_MAX = 44
_SHARED_MAX = 10_000  # small numbers are one object each in Redis, with this many references:
_SHARED_REFERENCES = 2**31 - 1


def encoding_of(text: bytes) -> bytes:
    """How Redis keeps a string that was set to this text; after APPEND and the like it is `raw` there, and not here.

    >>> encoding_of(b"12"), encoding_of(b"012"), encoding_of(b"x" * 45)
    (b'int', b'embstr', b'raw')
    """
    if integer_of(text) is not None:
        return b"int"
    return b"embstr" if len(text) <= _EMBEDDED_BYTES_MAX else b"raw"


@command("object", -2, "", since="2.2.3", summary="A container for object introspection commands.")
def container(_: RedisSession, __: list[bytes]) -> bytes:
    raise wrong_arity("object")


enter_help(
    "object",
    """
    ENCODING <key>
        Return the kind of internal representation used in order to store the value
        associated with a <key>.
    FREQ <key>
        Return the access frequency index of the <key>. The returned integer is
        proportional to the logarithm of the recent access frequency of the key.
    IDLETIME <key>
        Return the idle time of the <key>, that is the approximated number of
        seconds elapsed since the last access to the key.
    REFCOUNT <key>
        Return the number of references of the value associated with the specified
        <key>.
    """,
    since="6.2.0",
)


@subcommand("object|encoding", 3, "readonly", keys=_KEY, since="2.2.3", summary="Returns how a value is encoded.")
def encoding(session: RedisSession, arguments: list[bytes]) -> bytes:
    value = session.space.get(arguments[2])
    return resp.null(session.proto) if value is None else resp.bulk(encoding_of(text_of(value)))


@subcommand(
    "object|refcount", 3, "readonly", keys=_KEY, since="2.2.3", summary="Returns a value's number of references."
)
def references(session: RedisSession, arguments: list[bytes]) -> bytes:
    value = session.space.get(arguments[2])
    if value is None:
        return resp.null(session.proto)
    number = integer_of(text_of(value))
    return resp.integer(_SHARED_REFERENCES) if number is not None and 0 <= number < _SHARED_MAX else resp.ONE


@subcommand("object|idletime", 3, "readonly", keys=_KEY, since="2.2.3", summary="Returns 0: reads leave no trace.")
def idle_time(session: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.null(session.proto) if session.space.get(arguments[2]) is None else resp.ZERO


@subcommand("object|freq", 3, "readonly", keys=_KEY, since="4.0.0", summary="Refused: reads are not counted.")
def frequency(session: RedisSession, arguments: list[bytes]) -> bytes:
    if session.space.get(arguments[2]) is None:
        return resp.null(session.proto)
    raise Failure(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching "
        "between policies at runtime LRU and LFU data will take some time to adjust."
    )
