"""A client's open transaction, and what it answers when it came to an end before the client ended it.

    running --refused command---> doomed --COMMIT, ROLLBACK--> no transaction
       |
       +----timeout, KILL,
       |    too much pinned-----> ended  --its next command is told, then as doomed; but START begins another
       +----log failed----------> lost   --its next command is told--> no transaction

A *doomed* transaction has had a command refused: it answers TRANSACTION_DOOMED until the client ends it, so that a
batch sent in one go is all or nothing. One that the server *ended* behaves the same after its next command was told
why; were it simply over, the rest of a batch would be executed outside any transaction. One that had seen what will
never be visible, because the log failed, is *lost*: no write is taken any more, so it may be over at once. In each
case its snapshot is let go immediately.
"""

from __future__ import annotations

from dataclasses import dataclass

from mvcc_kv.engine.turns import Ticket
from mvcc_kv.errors import Error, TransactionDoomedError, TransactionTimeoutError
from mvcc_kv.protocol.replies import ROLLED_BACK
from mvcc_kv.server.notice import EarlyNotice
from mvcc_kv.server.served import ServedTransaction

__all__ = ["Opened", "is_ending"]


def is_ending(verb: str) -> bool:
    """Whether the client ends its transaction with that, however it is answered."""
    return verb in ("COMMIT", "ROLLBACK")


@dataclass(slots=True)
class Opened:
    """The open transaction. `cause` is set when it is doomed, ended or lost.

    `spent_bytes`: by the commands so far. `ticket`: its turn, which is over with it. `notice`: for who is given one.
    `untold`: the client's next command is answered with the cause. `is_lost`: with that it is over.
    """

    transaction: ServedTransaction
    begun_at: float
    spent_bytes: int
    ticket: Ticket | None = None
    notice: EarlyNotice | None = None
    cause: Error | None = None
    untold: bool = False
    ended_by_server: bool = False
    is_lost: bool = False

    @property
    def is_running(self) -> bool:
        return self.cause is None and self.transaction.ended is None

    def commit(self, token: str | None) -> int:
        """Apply it; its commit_ts."""
        if self.ticket is None:
            return self.transaction.commit(token)
        try:
            return self.transaction.commit(token)
        finally:
            self.ticket.end()

    def rollback(self) -> None:
        """Forget it. Calling it again does nothing."""
        self.transaction.rollback()
        self._end_turn()

    def doom(self, cause: Error) -> None:
        """A command was refused."""
        self.rollback()
        self.cause = cause.again()

    def end(self, cause: Error) -> None:
        """The server doesn't let it go on; unless the store has a better reason, because of this."""
        if self.cause is None:
            self.rollback()
            self.cause = self.transaction.ended or cause
            self.untold = self.ended_by_server = True

    def expire(self, after_s: float) -> None:
        """It took too long."""
        self.end(
            TransactionTimeoutError(
                f"the transaction was open for more than {after_s:g} s and was rolled back; run it again",
                limit_s=after_s,
                setting="--transaction-timeout-s",
            )
        )

    def lose(self, cause: Error) -> None:
        """What it reads will never be visible."""
        if self.cause is None:
            self.rollback()
        self.cause, self.untold, self.is_lost = cause, True, True

    @property
    def gives_way(self) -> bool:
        """Whether a START begins another one: the client knows that this one was ended."""
        return self.ended_by_server and not self.untold

    def is_over_after(self, verb: str) -> bool:
        """Whether it is over with the next answer. Nothing after a loss can be applied: every write is refused."""
        return self.is_lost or is_ending(verb)

    def answer(self, verb: str, cause: Error) -> bytes:
        """What a command is answered with that comes too late, the transaction having a cause. Raises most of it."""
        if self.untold:
            self.untold = False
            raise cause.again()
        if verb == "ROLLBACK":
            return ROLLED_BACK
        raise self._refusal(cause)

    def _refusal(self, cause: Error) -> TransactionDoomedError:
        first = cause.evidence.get("cause") or {"code": cause.code, "message": cause.message}
        ended = "the server has ended this transaction"
        refused = "an earlier command of this transaction was refused"
        return TransactionDoomedError(
            f"{ended if self.ended_by_server else refused} ({first['code']}), so nothing of it is applied: "
            f"ROLLBACK, and run it again",
            retryable=cause.retryable,
            cause=first,
        )

    def _end_turn(self) -> None:
        if self.ticket is not None:
            self.ticket.end()
