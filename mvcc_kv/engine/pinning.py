"""What old snapshots may keep alive together: when it is too much, the oldest are ended until the rest is within it.

    --max-pinned-bytes 100        t1 at 3 keeps 80      t2 at 9 keeps 40      120 > 100: t1 is ended, and told why

Weighing takes a look at every mark where history is retained, so there it is done once in so many commits.
"""

from __future__ import annotations

from collections.abc import Iterator

from mvcc_kv.engine.opened import OpenTransactions
from mvcc_kv.engine.transaction import Transaction
from mvcc_kv.engine.versions import Versions, gone
from mvcc_kv.errors import Error

__all__ = ["PinLimit"]

# With history, what transactions keep alive takes weighing; so it is done once in so many commits.
WEIGHED_EVERY = 1_000


class PinLimit:
    """At most `bytes_max` of superseded versions kept alive by open transactions; 0: no limit."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.ended_total = 0
        self._weighs_at = 0  # the commit at which what is pinned is weighed again

    def exceeded_by(
        self, versions: Versions, opened: OpenTransactions, commit_ts: int
    ) -> Iterator[tuple[Transaction, Error]]:
        """Whom to end, one after the other, and what he is told, until the rest is within the limit."""
        if commit_ts < self._weighs_at:
            return
        self._weighs_at = commit_ts + (0 if versions.history is None else WEIGHED_EVERY)
        while versions.pinned_bytes > self.bytes_max and not versions.frees_marks:
            victims = opened.at_oldest_snapshot()
            if not victims:
                return
            for transaction in victims:
                self.ended_total += 1
                yield transaction, self._pinned_too_much(transaction, versions)

    def _pinned_too_much(self, transaction: Transaction, versions: Versions) -> Error:
        return gone(
            f"the snapshot at {transaction.start_ts} was ended: old snapshots kept {versions.pinned_bytes} bytes "
            f"of superseded versions alive, more than the {self.bytes_max} of --max-pinned-bytes, and it was "
            "the oldest; run the transaction again, or raise the limit",
            versions.oldest_ts,
            retryable=True,
        )
