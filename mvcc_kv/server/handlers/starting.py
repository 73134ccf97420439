"""START: a transaction begins, at once or when its turn has come.

START {"turn": "k"}   -> the ticket is good at once             begun, answered
                      -> others are before it: it waits         ... its turn comes: begun, answered later
                                                                ... the client is gone: the ticket is withdrawn
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine.turns import Ticket
from mvcc_kv.errors import Error, TransactionOpenError
from mvcc_kv.protocol import replies
from mvcc_kv.protocol.commands import Start
from mvcc_kv.server.notice import EarlyNotice
from mvcc_kv.server.opened import Opened
from mvcc_kv.server.waiting import Wait

if TYPE_CHECKING:
    from mvcc_kv.server.session import Session

__all__ = ["start"]


def start(session: Session, command: Start) -> bytes | None:
    if session.opened is not None:
        raise TransactionOpenError("a transaction is open already, and they don't nest; COMMIT or ROLLBACK it first")
    if command.options.turn is not None:
        _ask_for_turn(session, command.options, command.options.turn)
        return None
    start_ts = _begin(session, command.options)
    return replies.result_reply({"start_ts": start_ts}) if command.wants_object else replies.STARTED


def _begin(session: Session, options: TransactionOptions, ticket: Ticket | None = None) -> int:
    transaction = session.services.store.begin(options, session.seen_ts, client=session.client)
    spent_bytes = session.spent_bytes if ticket is None else 0  # so that what fitted once fits in turn, too
    session.opened = Opened(transaction, session.services.clock(), spent_bytes, ticket, EarlyNotice(transaction))
    return transaction.start_ts


def _ask_for_turn(session: Session, options: TransactionOptions, key: bytes) -> None:
    """Begin, and answer, when the turn on the key has come: now or later."""
    services = session.services

    def begin(ticket: Ticket) -> None:
        if session.wait is not None:
            session.wait.stop()
            session.wait = None
        session.answer_later(_begin_in_turn(session, options, key, ticket))

    ticket = services.turns.ask(key, options.lost, begin)
    if ticket.is_waiting:
        session.wait = Wait(ticket, services.deadlines, services.clock)


def _begin_in_turn(session: Session, options: TransactionOptions, key: bytes, ticket: Ticket) -> bytes:
    """The reply to START. The key's newest commit may not be visible yet, but who begins before it has lost."""
    store = session.services.store
    try:
        session.wait_for(store.newest_ts(key))
        start_ts = _begin(session, replace(options, turn=None), ticket)
    except Error as error:
        ticket.end()
        return replies.error_reply(error)
    return replies.result_reply({"start_ts": start_ts, "waited": ticket.waited, "waiting": ticket.waiting})
