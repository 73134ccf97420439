"""The home of a store's transactions: where they begin, what they read, and how they end.

    begin  ......  reads, buffered writes  ......  commit
      |                                              |   under the section's lock, a few microseconds:
      start_ts = visible_ts                          |   1. validate: is what it wrote, or read, still as it was?
                                                     |   2. merge what it added to with what is there now
                                                     |   3. apply (section.py)

Rules:
  - First committer wins: whoever finds a newer version of a key that it wrote aborts, and has changed nothing. Keys
    that it only added to may have newer versions, as long as those were made by adding, too.
  - A serializable transaction that writes must also find every key that it read, and every range, without a newer
    version (backward validation: Kung and Robinson, "On Optimistic Methods for Concurrency Control", TODS 1981). So
    it might as well have run at the moment of its commit, alone. One that only read did so at its snapshot.
  - A read takes no lock but where it needs the index's order, or the past.
"""

from __future__ import annotations

from dataclasses import replace

from mvcc_kv.api import PLAINLY, KeyRange, OpenTransaction, Page, TransactionOptions, VersionPage
from mvcc_kv.engine.calm import commit_calmly
from mvcc_kv.engine.index import ScanBounds
from mvcc_kv.engine.section import CommitSection
from mvcc_kv.engine.sweep import Sweep
from mvcc_kv.engine.transaction import Transaction
from mvcc_kv.engine.validation import clashes
from mvcc_kv.errors import BadRequestError, ConflictError, TransactionDoomedError
from mvcc_kv.values import add_to, is_overdue

__all__ = ["LABEL_CHARACTERS_MAX", "TransactionHome"]

LABEL_CHARACTERS_MAX = 128


class TransactionHome:
    """What a `Transaction` knows of its store. `read_set_bytes_max`: what a serializable one may have to remember."""

    def __init__(self, section: CommitSection, sweep: Sweep, read_set_bytes_max: int) -> None:
        self.read_set_bytes_max = read_set_bytes_max
        self._section = section
        self._sweep = sweep
        self._versions = section.versions
        self.get_at = section.versions.get  # of a live snapshot, without a lock
        self._opened = section.opened

    @property
    def visible_ts(self) -> int:
        """The newest commit that new snapshots see."""
        return self._versions.visible_ts

    def now_us(self) -> int:
        """The wall clock that expiry goes by: microseconds since 1970."""
        return self._section.time_us()

    # Beginning

    def begin(
        self,
        options: TransactionOptions = PLAINLY,
        seen_ts: int = 0,
        client: str | None = None,
        is_ours: bool = False,
        newest: bool = False,
    ) -> Transaction:
        """Open a transaction at the newest visible state, or at an older one. One that asks for its turn waits for it.

        `client` says whose it is; `is_ours`: it is the store's own work, and never ended for what it pins. `newest`: at
        the newest commit, visible or not.
        Raises `SnapshotGoneError` for a timestamp that is kept no more, `BadRequestError` for one of the future.
        """
        section, opened = self._section, self._opened
        if options is not PLAINLY:
            _must_be_possible(options)
            if options.turn is not None:
                return self._begin_in_turn(options, seen_ts, client)
        if section.may_expire and not is_ours:
            self._sweep.first()
        with section.lock:
            if opened.abandoned:
                section.reap()
            newest_ts = section.commit_ts if newest else self._versions.visible_ts
            if newest_ts < seen_ts and not newest:
                newest_ts = seen_ts
            start_ts, is_past = newest_ts, False
            if options.at is not None:
                start_ts = self._start_at(options.at, newest_ts)
                is_past = start_ts < newest_ts
            now_us = section.time_us()
            transaction = Transaction(self, start_ts, options, now_us, client, is_past, is_ours, section.may_expire)
            opened.begin(transaction, section.commit_ts)
        return transaction

    def _begin_in_turn(self, options: TransactionOptions, seen_ts: int, client: str | None) -> Transaction:
        """Begin when the turn on the key has come, and its newest commit can be seen: who begins before that loses.

        Raises what the log failed with, if the commit will never be seen.
        """
        assert options.turn is not None
        turns = self._section.turns
        ticket = turns.take(options.turn, options.lost)
        try:
            newest_ts = self.newest_ts(options.turn)
            if newest_ts > self._versions.visible_ts:
                self._section.settled(newest_ts)
            transaction = self.begin(replace(options, turn=None), seen_ts, client=client)
        except BaseException:
            turns.end(ticket)
            raise
        transaction.ticket = ticket
        return transaction

    def newest_ts(self, key: bytes) -> int:
        """The key's newest commit, which may be on its way still; 0 if there is none."""
        if self._section.may_expire:
            self._sweep.first()
        with self._section.lock:  # a commit that gave its turn on is through
            head = self._versions.heads.get(key)
        return 0 if head is None else head[0]

    def _start_at(self, ts: int, newest_ts: int) -> int:
        if ts > newest_ts:
            raise BadRequestError(f"there is nothing at {ts} yet: the newest commit that can be read is {newest_ts}")
        if ts < newest_ts:
            self._versions.must_be_retained(ts)
        return ts

    # Reading a snapshot

    def get_unless_overdue(self, overdue_us: int, ts: int, key: bytes) -> bytes | None:
        """As `get_at`, but None for a value that is there until `overdue_us` or sooner."""
        value = self._versions.get(ts, key)
        return None if is_overdue(value, overdue_us) else value

    def get_past(self, ts: int, key: bytes) -> bytes | None:
        """The key's value at `ts`, from retained history. Raises `SnapshotGoneError`."""
        with self._section.lock:
            return self._versions.get_past(ts, key)

    def scan_at(
        self,
        ts: int,
        keys: KeyRange,
        *,
        limit: int,
        reverse: bool = False,
        bounds: ScanBounds | None = None,
        overdue_us: int = 0,
    ) -> Page:
        """One page of a live snapshot at `ts`, less what is there until `overdue_us` or sooner."""
        with self._section.lock:
            return self._versions.page(ts, keys, limit, reverse, bounds, overdue_us)

    def scan_past(
        self, ts: int, keys: KeyRange, *, limit: int, reverse: bool = False, bounds: ScanBounds | None = None
    ) -> Page:
        """One page of the state at `ts`, from retained history. Raises `SnapshotGoneError`."""
        with self._section.lock:
            return self._versions.page_past(ts, keys, limit, reverse, bounds)

    def history_at(self, ts: int, key: bytes, *, limit: int, before_ts: int | None, is_past: bool) -> VersionPage:
        """As `VersionedStore.history`, of what a snapshot at `ts` knows. Raises `SnapshotGoneError`."""
        with self._section.lock:
            if is_past:
                self._versions.must_be_retained(ts)
            return self._versions.history_page(ts, key, limit, before_ts)

    # Ending

    def commit(self, transaction: Transaction) -> int:
        """Validate and apply the transaction's writes; it is over, whatever comes of it. Called by `Transaction`."""
        section, token = self._section, transaction.token
        if section.may_expire and transaction.has_written:
            self._sweep.first()
        with section.lock:
            commit_ts = commit_calmly(section, transaction)
            if commit_ts is not None:
                return commit_ts
            try:
                known_ts = None if token is None else section.outcomes.applied(token)
                if known_ts is None:
                    self._validate(transaction)
                    writes = self._merged(transaction)
            finally:
                section.release(transaction)
            if known_ts is not None:
                commit_ts = known_ts  # this commit came before, and its answer was lost
            elif writes:
                commit_ts = section.apply(writes, transaction.label, token, transaction.added)
            else:
                section.commits_total += 1
                return transaction.start_ts
        return section.settled(commit_ts, waits=transaction.waits)

    def _validate(self, transaction: Transaction) -> None:
        """First committer wins: what it wrote, or, serializable, read, may have no version after its snapshot."""
        if transaction.ended is not None:
            raise transaction.ended.again()
        if not transaction.has_written:
            return
        section = self._section
        if section.log is not None and section.log.failure is not None:
            raise section.log.failure
        if transaction.is_past:
            self._versions.must_be_retained(transaction.start_ts)
        lost = clashes(transaction, self._versions, self._opened.recent)
        if lost:
            section.conflicts_total += 1
            section.hot.count(lost)
            winners = {key.decode(): self._versions.winner(commit_ts) for key, commit_ts in lost.items()}
            raise ConflictError.lost_to(transaction.start_ts, winners)

    def _merged(self, transaction: Transaction) -> dict[bytes, bytes | None]:
        """What the transaction writes, with what it adds added to what is there now."""
        if not transaction.added:
            return transaction.writes
        return {**transaction.writes, **{key: self._merged_sum(key, by) for key, by in transaction.added.items()}}

    def _merged_sum(self, key: bytes, by: bytes) -> bytes:
        try:
            return add_to(self._section.newest(key), by)
        except BadRequestError as error:  # what others have added meanwhile is too much for a float
            self._section.rollbacks_total += 1
            raise BadRequestError(
                f"what was added to {key.decode()!r} can't be: {error}; nothing was applied", key=key.decode()
            ) from None

    def rollback(self, transaction: Transaction) -> None:
        """Close the transaction; its writes were never anywhere but in its buffer. Called by `Transaction`."""
        with self._section.lock:
            self._section.rollbacks_total += self._section.release(transaction)

    def abandon(self, transaction: Transaction) -> None:
        """Note that an open transaction became unreachable; takes no lock, so a finalizer may call it anywhere."""
        self._opened.abandoned.append(transaction)

    def clash(self, transaction: Transaction) -> tuple[bytes, int] | None:
        """A key that the open transaction has lost already, and the commit that took it."""
        with self._section.lock:
            return next(iter(clashes(transaction, self._versions, self._opened.recent).items()), None)

    # Others' transactions

    def transactions(self) -> list[OpenTransaction]:
        """The open transactions, the oldest snapshot first."""
        section = self._section
        with section.lock:
            section.reap()
            return self._opened.report(section.time_us(), self._versions.marks_kept_bytes())

    def kill(self, transaction_id: int) -> bool:
        """Roll an open transaction back; its owner is told at its next call. Whether there was one of that id."""
        with self._section.lock:
            transaction = self._opened.find(transaction_id)
            if transaction is None or transaction.is_ours:
                return False
            message = "this transaction was ended by KILL; nothing of it is applied"
            cause = {"code": "KILLED", "message": message}
            self._section.end(transaction, TransactionDoomedError(message, cause=cause))
            return True


def _must_be_possible(options: TransactionOptions) -> None:
    if options.label is not None and len(options.label) > LABEL_CHARACTERS_MAX:
        raise BadRequestError(f"a label has at most {LABEL_CHARACTERS_MAX} characters, not {len(options.label)}")
    if options.isolation not in ("snapshot", "serializable"):
        raise BadRequestError(f'isolation is "snapshot" or "serializable", not {options.isolation!r}')
