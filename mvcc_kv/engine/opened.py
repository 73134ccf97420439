"""The open transactions: who they are, which snapshots they read, and what they keep alive.

    begin     -> number 7, its snapshot is live, and, unless it is read-only, it is a writer that others must mind
    end       -> by itself (commit, rollback), by others (KILL, too many bytes pinned), or by being forgotten

Most transactions begin, write and commit before anybody asks which snapshots are live. So a newcomer is only noted; he
is entered in the books, snapshots and writers, when somebody first looks at them: a commit that supersedes a version,
the end of a transaction that is in them, who asks how far back the oldest reads. Until then his end is as cheap.

    begin 7, begin 8      newcomers 7 8     books -
    7 commits             newcomers   8     books -       nothing to take out
    publish               newcomers   -     books 8       may 8 see what 7 superseded? held for him

A transaction that becomes unreachable while open is noted by its finalizer, which may run anywhere, and closed at the
next occasion. One that others end learns of it at its next call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING
from weakref import ref

from mvcc_kv.api import OpenTransaction
from mvcc_kv.engine.clashes import RecentKeys
from mvcc_kv.engine.snapshots import LiveSnapshots, TimestampCounts

if TYPE_CHECKING:
    from mvcc_kv.engine.transaction import Transaction

__all__ = ["OpenTransactions"]


class OpenTransactions:
    """The register of open transactions. Not thread-safe, but for `abandoned`: the store calls it under its lock."""

    def __init__(self) -> None:
        self.recent = RecentKeys()
        self._snapshots = LiveSnapshots()
        self._writers = TimestampCounts()  # snapshots whose transaction may still write
        self._by_id: dict[int, ref[Transaction]] = {}
        self._newcomers: dict[int, tuple[int, bool]] = {}  # by id: snapshots not in the books yet, if only to be read
        self._last_id = 0
        self.abandoned: deque[Transaction] = deque()  # collected by Python while open; appending needs no lock

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Transaction]:
        """The open transactions, as they were begun."""
        return (transaction for it in list(self._by_id.values()) if (transaction := it()) is not None)

    def __contains__(self, transaction: Transaction) -> bool:
        return transaction.id in self._by_id

    def has_only(self, transaction: Transaction) -> bool:
        """Whether it is open, nobody else is, and it is in no books: what it writes is all that it is judged by."""
        return transaction.id in self._newcomers and len(self._by_id) == 1 and not self.abandoned

    @property
    def snapshots(self) -> LiveSnapshots:
        """The snapshots being read."""
        if self._newcomers:
            self._enter_newcomers()
        return self._snapshots

    @property
    def oldest_writer_ts(self) -> int | None:
        """The oldest snapshot whose transaction may still write."""
        if self._newcomers:
            self._enter_newcomers()
        return self._writers.oldest

    @property
    def next_writer_ts(self) -> int | None:
        """The snapshot of the second oldest transaction that may write; None if it is alone, or there is none."""
        oldest = self.oldest_writer_ts
        if oldest is None or self._writers.count(oldest) > 1:
            return oldest
        return self._writers.from_on(oldest + 1)

    def begin(self, transaction: Transaction, newest_ts: int) -> None:
        """The transaction is open, and has its number; commits so far go up to `newest_ts`."""
        self._last_id = transaction.id = number = self._last_id + 1
        self._by_id[number] = ref(transaction)
        if not (transaction.is_past or transaction.is_serializable):
            self._newcomers[number] = transaction.start_ts, transaction.read_only
            return
        if not transaction.is_past:
            self._snapshots.begin(transaction.start_ts)
        if _may_clash(transaction):
            self._writers.add(transaction.start_ts)
            if transaction.is_serializable:
                self.recent.begin(newest_ts)

    def _enter_newcomers(self) -> None:
        """Enter those who are only noted so far: their snapshots are as new as any, so nothing is held for them yet."""
        for start_ts, is_read_only in self._newcomers.values():
            self._snapshots.begin(start_ts)
            if not is_read_only:
                self._writers.add(start_ts)
        self._newcomers.clear()

    def end(self, transaction: Transaction) -> bool:
        """The transaction is over; False if it was already."""
        if self._by_id.pop(transaction.id, None) is None:
            return False
        if self._newcomers:
            if self._newcomers.pop(transaction.id, None) is not None:
                return True
            self._enter_newcomers()
        if transaction.is_past:
            return True
        self._snapshots.end(transaction.start_ts)
        if not transaction.read_only:
            self._writers.remove(transaction.start_ts)
            if transaction.is_serializable:
                self.recent.end()
        return True

    def end_only(self) -> None:
        """The one that `has_only` was asked about is over."""
        self._by_id.clear()
        self._newcomers.clear()

    def find(self, transaction_id: int) -> Transaction | None:
        """The open transaction of that id."""
        found = self._by_id.get(transaction_id)
        return None if found is None else found()

    def at_oldest_snapshot(self) -> list[Transaction]:
        """Those that read the oldest snapshot that anybody but the store's own work reads."""
        readers = [it for it in self if not it.is_past and not it.is_ours]
        oldest_ts = min((it.start_ts for it in readers), default=None)
        return [it for it in readers if it.start_ts == oldest_ts]

    @property
    def read_set_bytes(self) -> int:
        """What remembering the reads of all of them takes."""
        return sum(it.reads.used_bytes for it in self if it.reads is not None)

    def report(self, now_us: int, marks_bytes: int) -> list[OpenTransaction]:
        """The open transactions as others may see them, the oldest snapshot first.

        `marks_bytes`: what the oldest of those that may write keeps of marks, alone.
        """
        return sorted((self._told(it, now_us, marks_bytes) for it in self), key=lambda it: (it.start_ts, it.id))

    def _told(self, transaction: Transaction, now_us: int, marks_bytes: int) -> OpenTransaction:
        pinned_bytes = 0 if transaction.is_past else self.snapshots.alone_bytes(transaction.start_ts)
        if _may_clash(transaction) and transaction.start_ts == self.oldest_writer_ts:
            pinned_bytes += marks_bytes
        return OpenTransaction(
            id=transaction.id,
            age_s=max(now_us - transaction.begun_us, 0) / 1_000_000,
            start_ts=transaction.start_ts,
            isolation="serializable" if transaction.is_serializable else "snapshot",
            read_only=transaction.read_only,
            label=transaction.label,
            client=transaction.client,
            keys_written=len(transaction.writes) + len(transaction.added),
            read_set_bytes=0 if transaction.reads is None else transaction.reads.used_bytes,
            pinned_bytes=pinned_bytes,
        )


def _may_clash(transaction: Transaction) -> bool:
    """Whether marks must stay for it. In the past it has those of the history that it reads, as long as that lasts."""
    return not transaction.read_only and not transaction.is_past
