"""SLOWLOG: the last commands that took long. LATENCY: what Redis answers when it monitors none."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer
from mvcc_kv.server.redis.commands import command, subcommand
from mvcc_kv.server.redis.failures import Failure, shown, wrong_arity, wrong_subcommand
from mvcc_kv.server.redis.helping import enter_help
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.slowlog import SlowEntry

__all__: list[str] = []

_SLOWLOG = "admin loading stale"
_LATENCY = "admin noscript loading stale"
_SHOWN = 10


@command("slowlog", -2, "", group="server", since="2.2.12", summary="A container for slow log commands")
def slowlog(_: RedisSession, __: list[bytes]) -> bytes:
    raise wrong_arity("slowlog")


enter_help(
    "slowlog",
    """
    GET [<count>]
        Return top <count> entries from the slowlog (default: 10, -1 mean all).
        Entries are made of:
        id, timestamp, time in microseconds, arguments array, client IP and port,
        client name
    LEN
        Return the length of the slowlog.
    RESET
        Reset the slowlog.
    """,
    since="6.2.0",
)


@subcommand("slowlog|get", -2, _SLOWLOG, since="2.2.12", summary="Get the slow log's entries")
def get(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) > 3:
        raise wrong_subcommand(arguments)
    count = _SHOWN
    if len(arguments) == 3:
        refusal = "ERR count should be greater than or equal to -1"
        count = integer(arguments[2], refusal)
        if count < -1:
            raise Failure(refusal)
    entries = list(session.house.slowlog.entries)
    return resp.array([_told(entry) for entry in (entries if count < 0 else entries[:count])])


def _told(entry: SlowEntry) -> bytes:
    return resp.array(
        [
            resp.integer(entry.number),
            resp.integer(entry.at_s),
            resp.integer(entry.took_us),
            resp.array([resp.bulk(argument) for argument in entry.arguments]),
            resp.bulk(entry.address.encode()),
            resp.bulk(entry.name),
        ]
    )


@subcommand("slowlog|len", 2, _SLOWLOG, since="2.2.12", summary="Get the slow log's length")
def length(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.integer(len(session.house.slowlog.entries))


@subcommand("slowlog|reset", 2, _SLOWLOG, since="2.2.12", summary="Clear all entries from the slow log")
def clear(session: RedisSession, _: list[bytes]) -> bytes:
    session.house.slowlog.entries.clear()
    return resp.OK


@command("latency", -2, "", group="server", since="2.8.13", summary="A container for latency diagnostics commands")
def latency(_: RedisSession, __: list[bytes]) -> bytes:
    raise wrong_arity("latency")


enter_help(
    "latency",
    """
    DOCTOR
        Return a human readable latency analysis report.
    GRAPH <event>
        Return an ASCII latency graph for the <event> class.
    HISTORY <event>
        Return time-latency samples for the <event> class.
    LATEST
        Return the latest latency samples for all events.
    RESET [<event> ...]
        Reset latency data of one or more <event> classes.
        (default: reset all data for all event classes)
    HISTOGRAM [COMMAND ...]
        Return a cumulative distribution of latencies in the format of a histogram for the specified command names.
        If no commands are specified then all histograms are replied.
    """,
    since="2.8.13",
)


@subcommand("latency|latest", 2, _LATENCY, since="2.8.13", summary="Return the latest latency samples for all events.")
def latest(_: RedisSession, __: list[bytes]) -> bytes:
    return resp.EMPTY_ARRAY


@subcommand("latency|history", 3, _LATENCY, since="2.8.13", summary="Return timestamp-latency samples for the event.")
def history(_: RedisSession, __: list[bytes]) -> bytes:
    return resp.EMPTY_ARRAY


@subcommand("latency|graph", 3, _LATENCY, since="2.8.13", summary="Return a latency graph for the event.")
def graph(_: RedisSession, arguments: list[bytes]) -> bytes:
    raise Failure(f"ERR No samples available for event '{shown(arguments[2])}'")


@subcommand("latency|reset", -2, _LATENCY, since="2.8.13", summary="Reset latency data for one or more events.")
def reset(_: RedisSession, __: list[bytes]) -> bytes:
    return resp.ZERO


@subcommand("latency|histogram", -2, _LATENCY, since="7.0.0", summary="Return the cumulative distribution of latencies")
def histogram(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.mapping([], session.proto)


@subcommand("latency|doctor", 2, _LATENCY, since="2.8.13", summary="Return a human readable latency analysis report.")
def doctor(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.verbatim(
        b"I'm sorry, Dave, I can't do that. Latency is not monitored here; SLOWLOG GET shows the commands that took "
        b"long.\n",
        session.proto,
    )
