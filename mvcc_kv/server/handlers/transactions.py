"""What is done with transactions once they have begun: COMMIT, ROLLBACK; TRANSACTIONS and KILL, also with others'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mvcc_kv.errors import BadRequestError, ConflictError, NoTransactionError
from mvcc_kv.protocol import replies
from mvcc_kv.protocol.commands import Commit, Kill, Rollback, Transactions
from mvcc_kv.server.opened import Opened

if TYPE_CHECKING:
    from mvcc_kv.server.session import Session

__all__ = ["commit", "kill", "rollback", "transactions"]


def commit(session: Session, command: Commit) -> bytes:
    if session.opened is None and command.id is not None:
        commit_ts = _ask_for(session, command.id, command.after)
    else:
        try:
            commit_ts = _take_opened(session, "COMMIT").commit(command.id)
        except ConflictError as lost:  # told when the winners are visible, so that a retry starts after them
            session.wait_for(max(won.commit_ts for won in lost.winners.values()))
            raise
    if command.waits:
        session.wait_for(commit_ts)
    session.seen_ts = max(session.seen_ts, commit_ts)
    return replies.result_reply({"commit_ts": commit_ts}) if command.wants_object else replies.COMMITTED


def _ask_for(session: Session, token: str, after_ts: int | None) -> int:
    """The commit_ts of an earlier commit whose reply was lost."""
    commit_ts = session.services.store.outcome(token, after_ts)
    if commit_ts is None:
        raise NoTransactionError(f"no commit with the id {token!r} was applied, and none will be")
    return commit_ts


def rollback(session: Session, _: Rollback) -> bytes:
    _take_opened(session, "ROLLBACK").rollback()
    return replies.ROLLED_BACK


def _take_opened(session: Session, verb: str) -> Opened:
    """The open transaction, which is over from here on."""
    opened = session.opened
    if opened is None:
        raise NoTransactionError(f"{verb} without a transaction; START begins one")
    session.opened = None
    return opened


def transactions(session: Session, _: Transactions) -> bytes:
    found = session.services.store.transactions()
    session.effort = len(found)
    return replies.transactions_reply(found)


def kill(session: Session, command: Kill) -> bytes:
    if not session.services.store.kill(command.transaction):
        raise BadRequestError(
            f"no transaction {command.transaction} is open; TRANSACTIONS lists those that are",
            transaction=command.transaction,
        )
    return replies.result_reply({"transaction": command.transaction})
