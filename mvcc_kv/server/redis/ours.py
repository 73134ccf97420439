"""START, COMMIT, ROLLBACK, CONFLICT: what Redis does not have. Transactions on a snapshot, which can be rolled back.

> START SERIALIZABLE                       (integer) 41          its snapshot
> GET alice                                "90"                  whatever others do meanwhile
> SET alice 80                             OK                    seen by nobody else yet
> COMMIT                                   (integer) 42          or CONFLICT key 'alice' was committed at 42, ...
> CONFLICT LAST                            keys, start_ts, winners
"""

from __future__ import annotations

from mvcc_kv.api import PLAINLY, Isolation, TransactionOptions
from mvcc_kv.errors import ConflictError
from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import SYNTAX, Failure
from mvcc_kv.server.redis.session import RedisSession

__all__: list[str] = []

_GROUP = "transactions"
_FLAGS = "noscript no_multi fast"


@command("start", -1, _FLAGS, group=_GROUP, summary="Begins a transaction that reads one snapshot (mvcc-kv).")
def start(session: RedisSession, arguments: list[bytes]) -> bytes:
    if session.opened is not None:
        raise Failure(
            "TRANSACTION_OPEN a transaction is open already, and they don't nest; COMMIT or ROLLBACK it first"
        )
    options = _options(arguments[1:]) if len(arguments) > 1 else PLAINLY
    if session.lost_to_ts:
        session.wait_for(session.lost_to_ts)  # who begins before what he has lost to would lose again
    transaction = session.services.store.begin(options, session.seen_ts, client=session.address)
    session.watch.end()
    session.open(transaction)
    return resp.integer(transaction.start_ts)


def _options(words: list[bytes]) -> TransactionOptions:
    """`[SERIALIZABLE] [READONLY] [AT ts] [LABEL text]`, in any order."""
    isolation: Isolation = "snapshot"
    read_only, at, label = False, None, None
    left = iter(words)
    for word in left:
        option = word.upper()
        if option == b"SERIALIZABLE":
            isolation = "serializable"
        elif option == b"READONLY":
            read_only = True
        elif option == b"AT" and (value := next(left, None)) is not None:
            at = integer(value)
        elif option == b"LABEL" and (value := next(left, None)) is not None:
            label = value.decode(errors="replace")
        else:
            raise Failure(SYNTAX)
    return TransactionOptions(isolation=isolation, read_only=read_only, at=at, label=label)


@command("commit", 1, _FLAGS, group=_GROUP, summary="Applies the transaction that START began (mvcc-kv).")
def commit(session: RedisSession, _: list[bytes]) -> bytes:
    opened = session.take_opened()
    if opened is None:
        raise Failure("NO_TRANSACTION no transaction is open; START begins one")
    try:
        commit_ts = opened.commit(None)
    except ConflictError as conflict:
        session.last_conflict = conflict.again()
        session.lost_to_ts = max(winner["commit_ts"] for winner in conflict.evidence["winners"].values())
        raise
    session.wait_for(commit_ts)
    return resp.integer(commit_ts)


@command("rollback", 1, _FLAGS, group=_GROUP, summary="Forgets the transaction that START began (mvcc-kv).")
def rollback(session: RedisSession, _: list[bytes]) -> bytes:
    opened = session.take_opened()
    if opened is None:
        raise Failure("NO_TRANSACTION no transaction is open; START begins one")
    opened.rollback()
    return resp.OK


@command(
    "conflict", 2, "noscript fast", group=_GROUP, summary="CONFLICT LAST: why the last COMMIT was refused (mvcc-kv)."
)
def conflict(session: RedisSession, arguments: list[bytes]) -> bytes:
    if arguments[1].upper() != b"LAST":
        raise Failure(SYNTAX)
    last = session.last_conflict
    if last is None:
        return resp.null(session.proto)
    winners = [
        (resp.bulk(key.encode()), resp.mapping(_winner(winner.commit_ts, winner.label), session.proto))
        for key, winner in last.winners.items()
    ]
    report = [
        (resp.bulk(b"keys"), resp.array([resp.bulk(key.encode()) for key in last.keys])),
        (resp.bulk(b"start_ts"), resp.integer(last.start_ts)),
        (resp.bulk(b"winners"), resp.mapping(winners, session.proto)),
    ]
    return resp.mapping(report, session.proto)


def _winner(commit_ts: int, label: str | None) -> list[tuple[bytes, bytes]]:
    told = [(resp.bulk(b"commit_ts"), resp.integer(commit_ts))]
    return told if label is None else [*told, (resp.bulk(b"label"), resp.bulk(label.encode()))]
