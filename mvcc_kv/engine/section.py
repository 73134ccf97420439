"""The commit section: where commits happen, one at a time, each of them a few microseconds long.

    put, add, delete, clear  (direct.py)    \\
    a transaction's commit   (home.py)       >   apply    take the next commit_ts, hand the record to the log,
    keys whose time is up    (sweep.py)     /             link a new head to each written key's chain
                                                    |
    the log, when it is safe  --------------->   publish  visible_ts moves on: new snapshots see it, what nobody
                                                          can see any more is collected, those who wait are woken

Here is all that the rooms around it share: the lock, the log, the versions, who is open, and what is counted. Whatever
changes any of that holds the lock; the methods here expect it held, but for `settled` and the properties.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from threading import Lock

from mvcc_kv.api import CommittedWrites
from mvcc_kv.engine.commit_log import CommitLog
from mvcc_kv.engine.contention import HotKeys
from mvcc_kv.engine.history import CommitHistory
from mvcc_kv.engine.opened import OpenTransactions
from mvcc_kv.engine.outcomes import CommitOutcomes
from mvcc_kv.engine.pinning import PinLimit
from mvcc_kv.engine.transaction import Transaction
from mvcc_kv.engine.turns import TurnsOfThreads
from mvcc_kv.engine.versions import Versions
from mvcc_kv.errors import Error
from mvcc_kv.values import is_overdue

__all__ = ["CommitSection"]

_NOTHING: frozenset[bytes] = frozenset()


class CommitSection:
    """What a store's rooms share, and the one place where its state changes."""

    def __init__(
        self,
        log: CommitLog | None,
        *,
        collect_steps: int,
        time_us: Callable[[], int],
        history: CommitHistory | None,
        pinned_bytes_max: int,
    ) -> None:
        self.lock = Lock()
        self.log = log
        self.time_us = time_us
        self.newest_us = 0  # when the newest commit was: never goes back, whatever the clock does
        self.opened = OpenTransactions()
        self.versions = Versions(self.opened, history, collect_steps)
        self.commit_ts = 0
        self.outcomes = CommitOutcomes()
        self.turns = TurnsOfThreads()
        self.hot = HotKeys()
        self.pin_limit = PinLimit(pinned_bytes_max)
        self.gates: list[Lock] = []  # of threads that wait for a commit
        self.may_expire = False  # what `Expiries` says; here, so that a look at it costs little
        self.commits_total = 0
        self.conflicts_total = 0
        self.rollbacks_total = 0

    @property
    def has_failed(self) -> bool:
        """Whether there is a log, and it takes no commits any more."""
        return self.log is not None and self.log.failure is not None

    def newest(self, key: bytes) -> bytes | None:
        """The key's newest value, visible or not, unless it is overdue. Needs no lock."""
        value = self.versions.newest(key)
        return None if self.may_expire and is_overdue(value, self.time_us()) else value

    def settled(self, commit_ts: int, *, waits: bool = True) -> int:
        """The commit_ts, when its record is where the log wants it before anybody is told. Without the lock."""
        log = self.log
        if log is not None:
            log.settle(commit_ts, waits=waits)
            if log.failure is not None and commit_ts > self.versions.visible_ts:
                raise log.failure  # it was on its way, and nobody knows how far it came
        return commit_ts

    # Open transactions

    def release(self, transaction: Transaction) -> bool:
        """The transaction is over; False if it was already."""
        was_open = self.opened.end(transaction)
        if was_open:
            if transaction.ticket is not None:
                self.turns.end(transaction.ticket)
            if not self.versions.is_calm:  # where it is, a look at each thing that might wait costs more than an end
                self.versions.collect()
        return was_open

    def end(self, transaction: Transaction, cause: Error) -> None:
        """End somebody's transaction. Its mark comes first: who reads meanwhile looks at it afterwards."""
        transaction.ended = cause
        self.rollbacks_total += self.release(transaction)

    def reap(self) -> None:
        """Close transactions that became unreachable while open."""
        abandoned = self.opened.abandoned
        while abandoned:
            self.rollbacks_total += self.release(abandoned.popleft())

    # Commits

    def apply(
        self,
        writes: Mapping[bytes, bytes | None],
        label: str | None = None,
        token: str | None = None,
        added: Collection[bytes] = _NOTHING,
        *,
        clears: bool = False,
    ) -> int:
        """Take the next timestamp, log, link and, unless the log says to wait, publish.

        `clears`: the writes delete all that there is.
        """
        if self.opened.abandoned:
            self.reap()
        commit_ts = self.commit_ts + 1
        time_us = self.time_us()
        if time_us < self.newest_us:
            time_us = self.newest_us
        versions = self.versions
        superseded = versions.to_be_superseded(writes)
        log = self.log
        visible_at_once = log is None or log.append(commit_ts, writes, label, token, time_us, superseded)
        self.commit_ts, self.newest_us = commit_ts, time_us
        self.commits_total += 1
        if label is not None:
            versions.marks.name(commit_ts, label, len(writes))
        if token is not None:
            self.outcomes.keep(token, commit_ts)
        if clears:
            versions.link_clear(commit_ts, writes, is_seen_at_once=visible_at_once)
        elif versions.link(commit_ts, writes, added):
            self.may_expire = True
        if self.opened.recent.wants_keys:
            self.opened.recent.note(commit_ts, tuple(writes))
        if superseded is not None:
            versions.retain(CommittedWrites(commit_ts, time_us, label, tuple(writes.items())), superseded)
        if visible_at_once:
            self.publish(commit_ts)
        return commit_ts

    def publish(self, ts: int) -> None:
        """Let new snapshots see every commit up to `ts`, of which some were not visible yet."""
        versions = self.versions
        versions.publish(ts, self.newest_us)
        if self.may_expire:
            self.may_expire = versions.expiries.may_expire
        self.bound_pins()
        versions.collect()
        if self.gates:
            self.open_gates()

    def bound_pins(self) -> None:
        """End the oldest snapshots if all together keep too much alive."""
        limit, versions = self.pin_limit, self.versions
        if limit.bytes_max and versions.pinned_bytes_at_most > limit.bytes_max:
            for transaction, cause in limit.exceeded_by(versions, self.opened, self.commit_ts):
                self.end(transaction, cause)

    def open_gates(self) -> None:
        """Let those go on who wait for a commit."""
        gates, self.gates = self.gates, []
        for gate in gates:
            gate.release()
