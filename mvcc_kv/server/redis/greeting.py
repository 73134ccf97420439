"""What concerns the conversation itself: PING, ECHO, QUIT, SELECT, ..."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import Failure, wrong_arity
from mvcc_kv.server.redis.session import RedisSession

__all__: list[str] = []

_GROUP = "connection"


@command("ping", -1, "fast", group=_GROUP, summary="Returns the server's liveliness response.")
def ping(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) > 2:
        raise wrong_arity("ping")
    return resp.PONG if len(arguments) == 1 else resp.bulk(arguments[1])


@command("quit", -1, "allow_busy noscript loading stale fast no_auth", group=_GROUP, summary="Closes the connection.")
def leave(session: RedisSession, _: list[bytes]) -> bytes:
    session.forget()
    session.wants_to_close = True
    return resp.OK


@command("select", 2, "loading stale fast", group=_GROUP, summary="Changes the selected database.")
def select(session: RedisSession, arguments: list[bytes]) -> bytes:
    if integer(arguments[1], Failure("ERR invalid DB index")) != 0:
        raise Failure("ERR DB index is out of range")
    return resp.OK
