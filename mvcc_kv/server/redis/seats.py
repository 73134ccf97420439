"""A client's seat in the quick lane: by it the lane begins and ends the transactions that START and COMMIT are about.

    START     begin     the store's transaction is open, and the session in it, as if the session had begun it
    GET SET             the transaction's own
    COMMIT    end       the session is out of it; the lane has looked already whether it has lost, and commits it

So whoever looks at the session, or at the store, sees the same as if there were no lane: a transaction that is open,
can time out, be killed, and goes with its client. What comes to an end that way the lane finds closed, and stops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mvcc_kv.engine.lanes import Permits
from mvcc_kv.engine.transaction import Transaction

if TYPE_CHECKING:
    from mvcc_kv.server.redis.session import RedisSession
    from mvcc_kv.server.served import ServedTransaction

__all__ = ["Seat"]


class Seat:
    """A session, as the lane has it. `transaction`: the one that it is in; None if there is none for the lane."""

    __slots__ = ("_session", "transaction")

    def __init__(self, session: RedisSession) -> None:
        self._session = session
        self.transaction: Transaction | None = None

    def take(self, transaction: ServedTransaction) -> None:
        """The session is in this transaction; the lane may go on in it if reading never waits, and isn't refused."""
        self.transaction = cast("Transaction", transaction) if transaction.reads_plainly else None

    def begin(self, permits: Permits, start_ts: int) -> Transaction | None:
        """Begin a transaction; None if that takes more: there is a watch on what is absent, or something to wait for.

        Who begins before what he has lost to would lose again.
        """
        session = self._session
        if session.watch.in_lane is None or session.lost_to_ts > session.services.store.visible_ts:
            return None
        transaction = permits.begin(start_ts, session.address)
        session.watch.end()
        session.open(transaction)
        return transaction

    def end(self, permits: Permits, commit_ts: int) -> bool:
        """The lane commits the transaction; False, and nothing done, if that takes more than a lane can do."""
        session, transaction = self._session, self.transaction
        if transaction is None or session.opened is None or session.opened.cause is not None:
            return False
        if not permits.end(transaction, commit_ts):
            return False
        session.take_opened()
        return True
