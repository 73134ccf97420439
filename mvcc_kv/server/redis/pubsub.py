"""SUBSCRIBE and PUBLISH: messages to whoever listens now; none is kept."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.commands import command, subcommand
from mvcc_kv.server.redis.failures import wrong_arity, wrong_subcommand
from mvcc_kv.server.redis.globbing import matcher
from mvcc_kv.server.redis.helping import enter_help
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.subscriptions import Listeners, Subscriptions, drop

__all__: list[str] = []

_GROUP = "pubsub"
_FLAGS = "pubsub noscript loading stale"
_TELLS = "pubsub loading stale"


@command("subscribe", -2, _FLAGS, group=_GROUP, since="2.0.0", summary="Listen for messages published to the channels")
def subscribe(session: RedisSession, arguments: list[bytes]) -> bytes:
    listens = _listening(session)
    return b"".join(
        _joined(session, b"subscribe", channel, listens.channels, session.house.exchange.channels)
        for channel in arguments[1:]
    )


@command("psubscribe", -2, _FLAGS, group=_GROUP, since="2.0.0", summary="Listen for messages to matching channels")
def subscribe_patterns(session: RedisSession, arguments: list[bytes]) -> bytes:
    for pattern in arguments[1:]:
        matcher(pattern)  # one that can't be is refused before anything happens
    listens = _listening(session)
    return b"".join(
        _joined(session, b"psubscribe", pattern, listens.patterns, session.house.exchange.patterns)
        for pattern in arguments[1:]
    )


@command("unsubscribe", -1, _FLAGS, group=_GROUP, since="2.0.0", summary="Stop listening for messages to the channels")
def unsubscribe(session: RedisSession, arguments: list[bytes]) -> bytes:
    own = {} if session.subscriptions is None else session.subscriptions.channels
    return _left(session, b"unsubscribe", arguments[1:], own, session.house.exchange.channels)


@command("punsubscribe", -1, _FLAGS, group=_GROUP, since="2.0.0", summary="Stop listening to matching channels")
def unsubscribe_patterns(session: RedisSession, arguments: list[bytes]) -> bytes:
    own = {} if session.subscriptions is None else session.subscriptions.patterns
    return _left(session, b"punsubscribe", arguments[1:], own, session.house.exchange.patterns)


def _listening(session: RedisSession) -> Subscriptions:
    if session.subscriptions is None:
        session.subscriptions = Subscriptions()
    return session.subscriptions


def _joined(session: RedisSession, kind: bytes, name: bytes, own: dict[bytes, None], listeners: Listeners) -> bytes:
    own[name] = None
    listeners.setdefault(name, {})[session] = None
    return _told(session, kind, name)


def _left(
    session: RedisSession, kind: bytes, names: list[bytes], own: dict[bytes, None], listeners: Listeners
) -> bytes:
    said = []
    for name in names or list(own):
        own.pop(name, None)
        drop(listeners, name, session)
        said.append(_told(session, kind, name))
    if not said:
        said.append(_told(session, kind, None))
    if session.subscriptions is not None and not len(session.subscriptions):
        session.subscriptions = None
    return b"".join(said)


def _told(session: RedisSession, kind: bytes, name: bytes | None) -> bytes:
    """What happened, to which channel, and how many the client listens to now."""
    shown = resp.null(session.proto) if name is None else resp.bulk(name)
    count = 0 if session.subscriptions is None else len(session.subscriptions)
    return resp.push([resp.bulk(kind), shown, resp.integer(count)], session.proto)


@command("publish", 3, "pubsub loading stale fast may_replicate", group=_GROUP, since="2.0.0", summary="Post a message")
def publish(session: RedisSession, arguments: list[bytes]) -> bytes:
    exchange = session.house.exchange
    told = exchange.publish(arguments[1], arguments[2])
    session.effort = told + len(exchange.patterns)
    return resp.integer(told)


@command("pubsub", -2, "", group=_GROUP, since="2.8.0", summary="A container for Pub/Sub commands")
def pubsub(_: RedisSession, __: list[bytes]) -> bytes:
    raise wrong_arity("pubsub")


enter_help(
    "pubsub",
    """
    CHANNELS [<pattern>]
        Return the currently active channels matching a <pattern> (default: '*').
    NUMPAT
        Return number of subscriptions to patterns.
    NUMSUB [<channel> ...]
        Return the number of subscribers for the specified channels, excluding
        pattern subscriptions(default: no channels).
    """,
    since="6.2.0",
)


@subcommand("pubsub|channels", -2, _TELLS, since="2.8.0", summary="List active channels")
def channels(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) > 3:
        raise wrong_subcommand(arguments)
    found = list(session.house.exchange.channels)
    if len(arguments) == 3:
        found = [channel for channel in found if matcher(arguments[2])(channel)]
    return resp.array([resp.bulk(channel) for channel in found])


@subcommand("pubsub|numsub", -2, _TELLS, since="2.8.0", summary="Get the count of subscribers for channels")
def count_subscribers(session: RedisSession, arguments: list[bytes]) -> bytes:
    listeners = session.house.exchange.channels
    counts = [
        part
        for channel in arguments[2:]
        for part in (resp.bulk(channel), resp.integer(len(listeners.get(channel, ()))))
    ]
    return resp.array(counts)


@subcommand("pubsub|numpat", 2, _TELLS, since="2.8.0", summary="Get the count of unique patterns")
def count_patterns(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.integer(len(session.house.exchange.patterns))
