"""What concerns the conversation itself: PING, ECHO, AUTH, HELLO, SELECT, RESET, QUIT."""

from __future__ import annotations

from hmac import compare_digest

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import SYNTAX, Failure, shown, wrong_arity
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.silence import Silence

__all__ = ["REDIS_VERSION", "set_name"]

REDIS_VERSION = "7.0.15"
"""The Redis whose commands, replies and errors these are."""

_GROUP = "connection"
_NO_AUTH = "noscript loading stale fast no_auth allow_busy"


@command("ping", -1, "fast", group=_GROUP, summary="Ping the server")
def ping(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) > 2:
        raise wrong_arity("ping")
    if session.subscriptions is not None and session.proto == 2:
        return resp.array([resp.bulk(b"pong"), resp.bulk(arguments[1] if len(arguments) == 2 else b"")])
    return resp.PONG if len(arguments) == 1 else resp.bulk(arguments[1])


@command("echo", 2, "loading stale fast", group=_GROUP, summary="Echo the given string")
def echo(_: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.bulk(arguments[1])


@command("quit", -1, _NO_AUTH, group=_GROUP, summary="Close the connection")
def leave(session: RedisSession, _: list[bytes]) -> bytes:
    session.forget()
    session.wants_to_close = True
    return resp.OK


@command("select", 2, "loading stale fast", group=_GROUP, summary="Change the selected database for the connection")
def select(_: RedisSession, arguments: list[bytes]) -> bytes:
    number = integer(arguments[1])
    if not -(2**31) <= number < 2**31:
        raise Failure("ERR value is out of range, value must between -2147483648 and 2147483647")
    if number != 0:
        raise Failure("ERR DB index is out of range")
    return resp.OK


@command("reset", 1, _NO_AUTH, group=_GROUP, since="6.2.0", summary="Reset the connection")
def reset(session: RedisSession, _: list[bytes]) -> bytes:
    session.forget()
    session.unsubscribe()
    session.name = b""
    session.proto = 2
    session.flags.clear()
    session.silence = Silence.BROKEN
    session.is_locked = session.services.password is not None
    return resp.RESET


@command("auth", -2, _NO_AUTH, group=_GROUP, summary="Authenticate to the server")
def auth(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) > 3:
        raise Failure(SYNTAX)
    if len(arguments) == 2 and session.services.password is None:
        raise Failure(
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    _log_in(session, arguments[1] if len(arguments) == 3 else b"default", arguments[-1])
    return resp.OK


def _log_in(session: RedisSession, user: bytes, password: bytes) -> None:
    """The one user is called `default`; without a password of the server's, any will do, as in Redis."""
    wanted = session.services.password
    if user != b"default" or not (wanted is None or compare_digest(wanted.encode(), password)):
        raise Failure("WRONGPASS invalid username-password pair or user is disabled.")
    session.is_locked = False


def set_name(session: RedisSession, name: bytes) -> None:
    """CLIENT SETNAME, and HELLO's."""
    if not all(0x21 <= byte <= 0x7E for byte in name):
        raise Failure("ERR Client names cannot contain spaces, newlines or special characters.")
    session.name = name


@command("hello", -1, _NO_AUTH, group=_GROUP, since="6.0.0", summary="Handshake with Redis")
def hello(session: RedisSession, arguments: list[bytes]) -> bytes:
    proto = session.proto
    if len(arguments) > 1:
        proto = integer(arguments[1], "ERR Protocol version is not an integer or out of range")
        if proto not in (2, 3):
            raise Failure("NOPROTO unsupported protocol version")
    _take_options(session, arguments[2:])
    if session.is_locked:
        raise Failure(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> "
            "option can be used to authenticate the client and select the RESP protocol version at the same time"
        )
    session.proto = proto
    return _greeting(session)


def _take_options(session: RedisSession, words: list[bytes]) -> None:
    """`[AUTH user password] [SETNAME name]`."""
    while words:
        option = words[0].upper()
        if option == b"AUTH" and len(words) >= 3:
            _log_in(session, words[1], words[2])
            words = words[3:]
        elif option == b"SETNAME" and len(words) >= 2:
            set_name(session, words[1])
            words = words[2:]
        else:
            raise Failure(f"ERR Syntax error in HELLO option '{shown(words[0])}'")


def _greeting(session: RedisSession) -> bytes:
    """Clients look at `version` and `proto`, and take no `server` but this one for what they know."""
    told = {
        b"server": resp.bulk(b"redis"),
        b"version": resp.bulk(REDIS_VERSION.encode()),
        b"proto": resp.integer(session.proto),
        b"id": resp.integer(session.id),
        b"mode": resp.bulk(b"standalone"),
        b"role": resp.bulk(b"master"),
        b"modules": resp.EMPTY_ARRAY,
    }
    return resp.mapping([(resp.bulk(name), value) for name, value in told.items()], session.proto)
