"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: Redis's transactions. EXEC's commands are one commit, or none."""

from __future__ import annotations

from mvcc_kv.api import TransactionOptions
from mvcc_kv.errors import ConflictError, Error
from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.commands import Command, command
from mvcc_kv.server.redis.failures import Failure, failure_of
from mvcc_kv.server.redis.keyspace import Within
from mvcc_kv.server.redis.session import RedisSession

__all__ = ["EXEC_LABEL"]

EXEC_LABEL = "EXEC"
_OPTIONS = TransactionOptions(label=EXEC_LABEL)
_GROUP = "transactions"


@command(
    "multi", 1, "noscript loading stale fast allow_busy", group=_GROUP, since="1.2.0", summary="Starts a transaction."
)
def multi(session: RedisSession, _: list[bytes]) -> bytes:
    if session.queue is not None:
        raise Failure("ERR MULTI calls can not be nested")
    if session.opened is not None:
        raise Failure("ERR MULTI inside a transaction that START began; COMMIT or ROLLBACK it first")
    session.queue = []
    return resp.OK


@command(
    "discard",
    1,
    "noscript loading stale fast allow_busy",
    group=_GROUP,
    since="2.0.0",
    summary="Discards a transaction.",
)
def discard(session: RedisSession, _: list[bytes]) -> bytes:
    if session.queue is None:
        raise Failure("ERR DISCARD without MULTI")
    session.discard()
    return resp.OK


@command(
    "watch",
    -2,
    "noscript loading stale fast allow_busy",
    keys=(1, -1, 1),
    group=_GROUP,
    since="2.2.0",
    summary="Monitors changes to keys to determine the execution of a transaction.",
)
def watch(session: RedisSession, arguments: list[bytes]) -> bytes:
    if session.queue is not None:
        raise Failure("ERR WATCH inside MULTI is not allowed")
    if session.opened is not None:
        raise Failure("ERR WATCH inside a transaction that START began is not needed: its snapshot doesn't change")
    keys = arguments[1:]
    newest = list(map(session.services.store.newest_ts, keys))
    session.wait_for(max(newest))  # who reads behind that has lost already
    session.watch.add(zip(keys, newest, strict=True), session.seen_ts)
    return resp.OK


@command(
    "unwatch",
    1,
    "noscript loading stale fast allow_busy",
    group=_GROUP,
    since="2.2.0",
    summary="Forgets about watched keys of a transaction.",
)
def unwatch(session: RedisSession, _: list[bytes]) -> bytes:
    session.unwatch()
    return resp.OK


@command(
    "exec",
    1,
    "noscript loading stale skip_slowlog",
    group=_GROUP,
    since="1.2.0",
    summary="Executes all commands in a transaction.",
)
def execute(session: RedisSession, _: list[bytes]) -> bytes:
    queue, is_dirty, watched = session.queue, session.is_dirty, session.watch
    if queue is None:
        raise Failure("ERR EXEC without MULTI")
    is_lost = watched.is_lost
    session.discard()
    if is_dirty:
        raise Failure("EXECABORT Transaction discarded because of previous errors.")
    if is_lost:
        return resp.null_array(session.proto)
    session.is_in_batch = True
    try:
        return _run(session, queue)
    finally:
        session.is_in_batch = False


def _run(session: RedisSession, queue: list[tuple[Command, list[bytes]]]) -> bytes:
    """The commands one after the other; nothing else happens in between, for the server is one thread."""
    writes, names_its_keys = False, True
    for entry, _ in queue:
        writes |= entry.writes
        names_its_keys &= entry.names_its_keys
    if not writes:
        session.space = session.begin_reading()
        return resp.array(_replies(session, queue))
    if names_its_keys and session.services.store.next_expiry_us is None:
        return _run_plainly(session, queue)
    return _run_within(session, queue)


def _run_plainly(session: RedisSession, queue: list[tuple[Command, list[bytes]]]) -> bytes:
    """The same as `_run_within`, where only keys that are named are looked at, and no time is up meanwhile.

    So no snapshot is needed: the newest state, with what was written so far laid over it key by key, is what all see.
    """
    space = session.space = session.begin_writing()
    replies = _replies(session, queue)
    space.commit(EXEC_LABEL)
    session.wait_for(session.services.store.commit_ts)
    return resp.array(replies)


def _run_within(session: RedisSession, queue: list[tuple[Command, list[bytes]]]) -> bytes:
    """In a transaction begun at the newest state, which nobody can come in between."""
    store = session.services.store
    while True:
        transaction = store.begin(_OPTIONS, client=session.address, newest=True)
        session.space = Within(store, transaction)
        try:
            replies = _replies(session, queue)
            session.wait_for(transaction.commit())
            return resp.array(replies)
        except ConflictError:
            continue  # a key's time was up in this very moment
        finally:
            transaction.rollback()


def _replies(session: RedisSession, queue: list[tuple[Command, list[bytes]]]) -> list[bytes]:
    """What each command answers, behind what it told its own client."""
    replies = []
    told: list[bytes] = []
    try:
        for entry, arguments in queue:
            session.told = None if session.silence else told
            reply = _answer(session, entry, arguments)
            if told:
                reply = b"".join((*told, reply))
                told.clear()
            replies.append(reply)
    finally:
        session.told = None
    return replies


def _answer(session: RedisSession, entry: Command, arguments: list[bytes]) -> bytes:
    """An error is an answer like others, and the rest goes on."""
    try:
        reply = session.called(entry, arguments)
        assert reply is not None, "a command that answers later is not allowed in MULTI"
        return reply
    except Failure as failure:
        return session.failed(entry, failure)
    except Error as error:
        return session.failed(entry, failure_of(error))
