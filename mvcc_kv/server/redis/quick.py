"""The quick lane: runs of GET, SET and other plain commands, executed straight on the index, without an object each.

    b"*2 $3 GET .. *3 $3 SET .. *2 $3 GET .. *3 $4 HSET .. *2 $3 GET .."
     '------------- the lane, in one go ---''---- the session, one by one

The commands are PING, GET, SET, INCR, WATCH, and MULTI, SET ..., EXEC; START without options, and, in a transaction of
that kind, GET, SET and COMMIT. What many clients sent since the last turn, a burst each, is executed in one call
(`server/rounds.py`). The lane knows only the forms that clients write and the cases in which nothing else is to be
done: no option, no expiry, no escape, nothing to note of a commit but a new head (`VersionedStore.run_lane` says
whether). Before anything else it stops, having executed each command altogether or not at all, and the session goes on
there. So whatever it does the session would have done, byte for byte; that is how it is tested.

    one round      START   GET a        a transaction of the store's, as the session begins it (`seats.py`)
    others         ..................   whoever looks finds it open: to time it out, kill it, mind its snapshot
    a later one    GET b   SET a 1      its own methods, so whatever it notes of them is noted
                   COMMIT               has nobody else committed a? then it is one more commit of the lane's

A COMMIT that has lost is not for the lane: it has much to tell. Nor is any other command while a transaction is open.

`run_in_python` is the rule, with the commands in `quick_lane.py`. `_quick.c` is the same, compiled, and used where a
compiler was when this was installed; with MVCC_KV_PURE=1 in the environment it is not.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple, TypeAlias

from mvcc_kv.compiled import compiled_twin
from mvcc_kv.engine.chains import Version
from mvcc_kv.engine.lanes import Permits
from mvcc_kv.protocol.resp.scanning import scan
from mvcc_kv.server.redis.quick_lane import Client, QuickLane, Stop

__all__ = ["IS_COMPILED", "Burst", "Outcome", "run", "run_in_python"]

Burst: TypeAlias = tuple[bytes, int, dict[bytes, int] | None, Client | None]
"""What a client sent, the version of the protocol, and the keys that it watches, each with its newest commit then; None
instead if its WATCH and MULTI are not for the lane. At last the client; None instead if its START isn't."""

Rest: TypeAlias = tuple[int, int, int, int]
"""Of a burst that is not through: its place, its bytes that were used, how many bytes of its replies may leave now,
and the commit that the others tell of; 0: they may leave all."""


class Outcome(NamedTuple):
    """What the lane did with some bursts.

    `replies`: of each. `rest`: what is to be done about those that were not executed to their end, or have to wait for
    a commit to become visible. `commit_ts`: of the newest commit. Then counts, `hits` among the `gets`, which are the
    `own_gets` of transactions too. `transactions`: the commits that were an EXEC's, each with how many keys it wrote,
    if there was a list for what is superseded.
    """

    replies: list[bytes]
    rest: list[Rest]
    commit_ts: int
    gets: int
    sets: int
    incrs: int
    pings: int
    hits: int
    new_keys: int
    watches: int
    execs: int
    starts: int
    commits: int
    own_gets: int
    transactions: list[tuple[int, int]]


def run_in_python(
    bursts: list[Burst],
    out_max: int,
    heads: MutableMapping[bytes, Version],
    seen_ts: int,
    commit_ts: int,
    permit: Permits,
) -> Outcome:
    """Execute the commands at the beginning of each burst, as far as the lane goes and the replies reach `out_max`.

    A burst sees `heads` at `seen_ts` and its own commits; commits come after `commit_ts`. Before the first of them
    there has to be a `permit`, with the lists for what it supersedes and what it writes; see `engine.lanes.Lane`.
    """
    lane = QuickLane(heads, commit_ts, permit)
    replies: list[bytes] = []
    rest: list[Rest] = []
    for number, (data, proto, watched, client) in enumerate(bursts):
        lane.begin(seen_ts, proto, watched, client)
        said, used_bytes, free_bytes = _run_burst(lane, data, out_max)
        is_free = free_bytes is None or not lane.is_logged
        replies.append(said)
        if used_bytes < len(data) or not is_free:
            rest.append(
                (number, used_bytes, len(said) if is_free else free_bytes or 0, 0 if is_free else lane.commit_ts)
            )
    return tuple.__new__(Outcome, (replies, rest, lane.commit_ts, *lane.counts, lane.transactions))


def _run_burst(lane: QuickLane, data: bytes, out_max: int) -> tuple[bytes, int, int | None]:
    """The replies, how many bytes were used, and how many bytes of the replies come before the first commit's."""
    said: list[bytes] = []
    used_bytes = said_bytes = 0
    free_bytes: int | None = None
    commands = scan(data)[0]
    at = 0
    while at < len(commands) and said_bytes < out_max:
        begun_ts = lane.commit_ts
        try:
            reply, used = lane.execute(commands, at)
        except Stop:
            break
        if free_bytes is None and lane.commit_ts != begun_ts:
            free_bytes = said_bytes + lane.free_bytes
        said.append(reply)
        said_bytes += len(reply)
        used_bytes += sum(map(_length, commands[at : at + used]))
        at += used
    return b"".join(said), used_bytes, free_bytes


def _length(arguments: list[bytes]) -> int:
    """How many bytes they take, each behind its length and all behind their count."""
    return len(b"%d" % len(arguments)) + 3 + sum(len(b"%d" % len(it)) + len(it) + 5 for it in arguments)


_TWIN = compiled_twin("mvcc_kv.server.redis._quick")
_RUN: Callable[..., Any] | None = None if _TWIN is None else _TWIN.run
IS_COMPILED = _RUN is not None


def run(*arguments: Any) -> Outcome:
    """`run_in_python`, or what was compiled of it."""
    return run_in_python(*arguments) if _RUN is None else tuple.__new__(Outcome, _RUN(*arguments))
