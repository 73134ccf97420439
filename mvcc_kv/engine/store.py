"""The versioned store: snapshots to read, and the one section where commits happen.

    begin  ......  reads, buffered writes  ......  commit
      |                                              |   under the lock, a few microseconds:
      start_ts = visible_ts                          |   1. validate: is what it wrote, or read, still as it was?
                                                     |   2. take the next commit_ts, hand the record to the log
                                                     |   3. link a new head to each written key's chain
                                                     |   4. publish: visible_ts moves on, new snapshots see it

Rules:
  - First committer wins: whoever finds a newer version of a key that it wrote aborts, and has changed nothing. Keys
    that it only added to may have newer versions, as long as those were made by adding, too.
  - A serializable transaction that writes must also find every key that it read, and every range, without a newer
    version (backward validation: Kung and Robinson, "On Optimistic Methods for Concurrency Control", TODS 1981). So
    it might as well have run at the moment of its commit, alone. One that only read did so at its snapshot.
  - A read takes no lock. It takes a chain's head first and `visible_ts` after, and what it holds never changes.
  - Keys whose time is up go in a commit before anybody else gets his turn (`expiry.py`); who comes nevertheless before
    that is visible finds them gone. In a store where no key expires this costs a look at `_may_expire`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from threading import Lock
from typing import Any, Protocol, TypeAlias, TypeVar

from sortedcontainers import SortedDict

from mvcc_kv.api import CommittedWrites, KeyRange, OpenTransaction, Page, TransactionOptions, VersionPage
from mvcc_kv.engine.chains import Version, versions, visible
from mvcc_kv.engine.changes import CHANGES_BUFFER_BYTES, StoreChanges, feed_begin
from mvcc_kv.engine.commit_log import CommitLog
from mvcc_kv.engine.contention import HotKeys
from mvcc_kv.engine.expiry import EXPIRED_AT_ONCE, EXPIRED_BYTES_AT_ONCE
from mvcc_kv.engine.history import CommitHistory
from mvcc_kv.engine.index import ScanBounds
from mvcc_kv.engine.opened import OpenTransactions
from mvcc_kv.engine.outcomes import CommitOutcomes
from mvcc_kv.engine.transaction import READ_SET_BYTES_MAX, Transaction
from mvcc_kv.engine.turns import TurnsOfThreads
from mvcc_kv.engine.validation import clashes
from mvcc_kv.engine.versions import Versions, gone
from mvcc_kv.errors import BadRequestError, ConflictError, Error, TransactionDoomedError, UnavailableError
from mvcc_kv.values import add_to, expiring, is_overdue, seconds_left

__all__ = ["VersionedStore"]

# How many versions a commit or the end of a snapshot may collect before others get their turn: about 2 ms of work.
COLLECT_STEPS = 1_000

LABEL_CHARACTERS_MAX = 128

# With history, what transactions keep alive takes weighing; so it is done once in so many commits.
WEIGHED_EVERY = 1_000

_NOTHING: frozenset[bytes] = frozenset()

SupersededVersion: TypeAlias = tuple[int, int, bytes, int]
"""By which commit, its own commit_ts, its key, and how many bytes its value has."""


class LaneOutcome(Protocol):
    """What a lane has done: the newest commit_ts there is now, and how many keys are new."""

    @property
    def commit_ts(self) -> int: ...
    @property
    def new_keys(self) -> int: ...


T = TypeVar("T", bound=LaneOutcome)
T_co = TypeVar("T_co", bound=LaneOutcome, covariant=True)


class Lane(Protocol[T_co]):
    """Work on the index itself: gets, and blind writes of single keys, each a commit of its own.

    Reads are of `heads` at `seen_ts`, or at the newest commit of the same client. If it `may_write`, each commit takes
    the next number after `commit_ts` and is a new head of its key: on top of the older versions where there is a list
    for what is `superseded`, alone where it is None and nobody can see those any more. `writes` is for the log, in
    order; None: there is none, and each commit is seen by everybody at once.
    """

    def __call__(
        self,
        heads: SortedDict[bytes, Version],
        seen_ts: int,
        commit_ts: int,
        may_write: bool,
        superseded: list[SupersededVersion] | None,
        writes: list[tuple[bytes, bytes]] | None,
        /,
    ) -> T_co: ...


_WAIT_S_MAX = 3600.0


class VersionedStore:
    """A multi-version store of JSON texts under byte keys, in memory. Satisfies `api.Store`. Thread-safe.

    `collect_steps` bounds what a commit or the end of a transaction collects before others get their turn.
    `time_us`: the wall clock, microseconds since 1970. `history`: what is retained for reads in the past, if anything.
    `read_set_bytes_max`: what a serializable transaction may have to remember. `pinned_bytes_max`: what old snapshots
    may keep alive together before the oldest is ended; 0: no limit.

    >>> store = VersionedStore()
    >>> store.put(b"a", b"1")
    >>> reader = store.begin(TransactionOptions())
    >>> store.put(b"a", b"2")
    >>> reader.get(b"a"), store.get(b"a")
    (b'1', b'2')
    """

    def __init__(
        self,
        log: CommitLog | None = None,
        *,
        collect_steps: int = COLLECT_STEPS,
        time_us: Callable[[], int] = lambda: 0,
        history: CommitHistory | None = None,
        read_set_bytes_max: int = READ_SET_BYTES_MAX,
        pinned_bytes_max: int = 0,
    ) -> None:
        self.read_set_bytes_max = read_set_bytes_max
        self.unpinned_total = 0  # transactions ended because of what old snapshots kept alive
        self._pinned_bytes_max = pinned_bytes_max
        self._log = log
        self._time_us = time_us
        self._newest_us = 0  # when the newest commit was: never goes back, whatever the clock does
        self._lock = Lock()
        self._opened = OpenTransactions()
        self._versions = Versions(self._opened, history, collect_steps)
        self._heads = self._versions.heads
        self._commit_ts = 0
        self._outcomes = CommitOutcomes()
        self._turns = TurnsOfThreads()
        self._hot = HotKeys()
        self._weighs_at = 0  # the commit at which what is pinned is weighed again
        self._gates: list[Lock] = []  # of threads that wait for a commit
        self._may_expire = False  # what `Expiries` says; here, so that a look at it costs little
        self._expired_total = 0
        self._commits_total = 0
        self._conflicts_total = 0
        self._rollbacks_total = 0

    # Reading

    @property
    def keys_total(self) -> int:
        """How many keys have a value."""
        if self._may_expire:
            self._expire_first()
        return self._versions.index.keys

    @property
    def places(self) -> int:
        """How many keys the index has: those with a value, and those whose deletion is not forgotten yet."""
        return len(self._heads)

    def key_in(self, place: int) -> bytes | None:
        """The key in that place of the index, from 0 on, whether or not it has a value; None if it is not so long.

        Costs the logarithm of the index's size.
        """
        with self._lock:
            return self._versions.index.key_in(place)

    @property
    def commit_ts(self) -> int:
        """The timestamp of the newest commit."""
        return self._commit_ts

    @property
    def visible_ts(self) -> int:
        """The newest commit that new snapshots see."""
        return self._versions.visible_ts

    @property
    def reachable_ts(self) -> int:
        """The newest commit that is visible, or on its way to be. A log that has failed lets no more of them arrive."""
        is_final = self._log is not None and self._log.failure is not None
        return self._versions.visible_ts if is_final else self._commit_ts

    @property
    def oldest_ts(self) -> int:
        """The oldest timestamp that can be read, and whose following commits are known."""
        return self._versions.oldest_ts

    def get(self, key: bytes, seen_ts: int = 0) -> bytes | None:
        """The newest visible value of the key, or None. Takes no lock.

        Here and below, somebody who has seen the commit at `seen_ts`, such as his own, doesn't read behind it.
        """
        if self._may_expire:
            return self._get_by_the_clock(key, seen_ts)
        head = self._heads.get(key)  # taken before visible_ts is: all that was visible then is still below it
        if head is not None and head[0] > self._versions.visible_ts:
            head = visible(head, max(self._versions.visible_ts, seen_ts))
        return None if head is None else head[1]

    def _get_by_the_clock(self, key: bytes, seen_ts: int) -> bytes | None:
        """As `get`, where keys may expire."""
        self._expire_first()
        head = self._heads.get(key)
        if head is not None and head[0] > self._versions.visible_ts:
            head = visible(head, max(self._versions.visible_ts, seen_ts))
        return None if head is None or is_overdue(head[1], self._time_us()) else head[1]

    def get_with_ttl(self, key: bytes, seen_ts: int = 0) -> tuple[bytes, float | None] | None:
        """The key's value and how many seconds it is there yet, None if it stays; None if it isn't there."""
        value = self.get(key, seen_ts)
        return None if value is None else (value, seconds_left(value, self._time_us()))

    def now_us(self) -> int:
        """The wall clock that expiry goes by: microseconds since 1970."""
        return self._time_us()

    def get_at(self, ts: int, key: bytes) -> bytes | None:
        """The key's value in a live snapshot at `ts`, or None. Takes no lock."""
        return self._versions.get(ts, key)

    def get_unless_overdue(self, overdue_us: int, ts: int, key: bytes) -> bytes | None:
        """As `get_at`, but None for a value that is there until `overdue_us` or sooner."""
        value = self._versions.get(ts, key)
        return None if is_overdue(value, overdue_us) else value

    def get_past(self, ts: int, key: bytes) -> bytes | None:
        """The key's value at `ts`, from retained history. Raises `SnapshotGoneError`."""
        with self._lock:
            return self._versions.get_past(ts, key)

    def scan(
        self,
        keys: KeyRange,
        *,
        limit: int,
        reverse: bool = False,
        keys_only: bool = False,
        seen_ts: int = 0,
        bounds: ScanBounds | None = None,
    ) -> Page:
        """One page of the newest visible state, consistent in itself; see `api.Page`."""
        if self._may_expire:
            self._expire_first()
        with self._lock:
            overdue_us = self._time_us() if self._may_expire else 0
            newest_ts = max(self._versions.visible_ts, seen_ts)
            return self._versions.page(newest_ts, keys, limit, reverse, bounds, overdue_us)

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
        with self._lock:
            return self._versions.page(ts, keys, limit, reverse, bounds, overdue_us)

    def scan_past(
        self, ts: int, keys: KeyRange, *, limit: int, reverse: bool = False, bounds: ScanBounds | None = None
    ) -> Page:
        """One page of the state at `ts`, from retained history. Raises `SnapshotGoneError`."""
        with self._lock:
            return self._versions.page_past(ts, keys, limit, reverse, bounds)

    def history(self, key: bytes, *, limit: int, before_ts: int | None = None, seen_ts: int = 0) -> VersionPage:
        """Up to `limit` of the key's versions, newest first: what is retained, and what snapshots keep alive."""
        if self._may_expire:
            self._expire_first()
        with self._lock:
            return self._versions.history_page(max(self._versions.visible_ts, seen_ts), key, limit, before_ts)

    def history_at(self, ts: int, key: bytes, *, limit: int, before_ts: int | None, is_past: bool) -> VersionPage:
        """As `history`, of what a snapshot at `ts` knows. Raises `SnapshotGoneError`."""
        with self._lock:
            if is_past:
                self._versions.must_be_retained(ts)
            return self._versions.history_page(ts, key, limit, before_ts)

    # Transactions

    def begin(
        self,
        options: TransactionOptions = TransactionOptions(),  # noqa: B008 (immutable)
        seen_ts: int = 0,
        *,
        client: str | None = None,
        is_ours: bool = False,
        newest: bool = False,
    ) -> Transaction:
        """Open a transaction at the newest visible state, or at an older one. One that asks for its turn waits for it.

        `client` says whose it is; `is_ours`: it is the store's own work, and never ended for what it pins. `newest`: at
        the newest commit, visible or not.
        Raises `SnapshotGoneError` for a timestamp that is kept no more, `BadRequestError` for one of the future.
        """
        if options.label is not None and len(options.label) > LABEL_CHARACTERS_MAX:
            raise BadRequestError(f"a label has at most {LABEL_CHARACTERS_MAX} characters, not {len(options.label)}")
        if options.isolation not in ("snapshot", "serializable"):
            raise BadRequestError(f'isolation is "snapshot" or "serializable", not {options.isolation!r}')
        if options.turn is not None:
            return self._begin_in_turn(options, seen_ts, client)
        if self._may_expire and not is_ours:
            self._expire_first()
        with self._lock:
            self._reap()
            newest_ts = self._commit_ts if newest else max(self._versions.visible_ts, seen_ts)
            start_ts = newest_ts if options.at is None else self._start_at(options.at, newest_ts)
            is_past, now_us = start_ts < newest_ts, self._time_us()
            transaction = Transaction(
                self,
                start_ts,
                options,
                id=self._opened.new_id(),
                begun_us=now_us,
                client=client,
                is_past=is_past,
                is_ours=is_ours,
                may_expire=self._may_expire,
                overdue_us=now_us if self._may_expire and not (is_past or is_ours) else 0,
            )
            self._opened.begin(transaction, self._commit_ts)
        return transaction

    def _begin_in_turn(self, options: TransactionOptions, seen_ts: int, client: str | None) -> Transaction:
        """Begin when the turn on the key has come, and its newest commit can be seen: who begins before that loses.

        Raises what the log failed with, if the commit will never be seen.
        """
        assert options.turn is not None
        ticket = self._turns.take(options.turn, options.lost)
        try:
            newest_ts = self.newest_ts(options.turn)
            if newest_ts > self._versions.visible_ts:
                self._settled(newest_ts)
            transaction = self.begin(replace(options, turn=None), seen_ts, client=client)
        except BaseException:
            self._turns.end(ticket)
            raise
        transaction.ticket = ticket
        return transaction

    def newest_ts(self, key: bytes) -> int:
        """The key's newest commit, which may be on its way still; 0 if there is none."""
        if self._may_expire:
            self._expire_first()
        with self._lock:  # a commit that gave its turn on is through
            head = self._heads.get(key)
        return 0 if head is None else head[0]

    def _start_at(self, ts: int, newest_ts: int) -> int:
        if ts > newest_ts:
            raise BadRequestError(f"there is nothing at {ts} yet: the newest commit that can be read is {newest_ts}")
        if ts < newest_ts:
            self._versions.must_be_retained(ts)
        return ts

    def commit(self, transaction: Transaction) -> int:
        """Validate and apply the transaction's writes; it is over, whatever comes of it. Called by `Transaction`."""
        token = transaction.token
        if self._may_expire and transaction.has_written:
            self._expire_first()
        with self._lock:
            try:
                known_ts = None if token is None else self._outcomes.applied(token)
                if known_ts is None:
                    self._validate(transaction)
                    writes = self._merged(transaction)
            finally:
                self._release(transaction)
            if known_ts is not None:
                commit_ts = known_ts  # this commit came before, and its answer was lost
            elif writes:
                commit_ts = self._apply(writes, transaction.label, token, transaction.added)
            else:
                self._commits_total += 1
                return transaction.start_ts
        return self._settled(commit_ts, waits=transaction.waits)

    def outcome(self, token: str, after_ts: int | None = None) -> int | None:
        """The commit_ts of the commit with this token; None if it was not applied, and then it never will be.

        With `after_ts`, a timestamp before that commit, the answer is certain, or there is none: raises
        `UnavailableError` if it would be forgotten by now, or if the log failed under it.
        """
        with self._lock:
            commit_ts = self._outcomes.find(token, after_ts)
        return None if commit_ts is None else self._settled(commit_ts)

    @property
    def outcomes(self) -> CommitOutcomes:
        """What became of the last commits that carried a token."""
        return self._outcomes

    def rollback(self, transaction: Transaction) -> None:
        """Close the transaction; its writes were never anywhere but in its buffer. Called by `Transaction`."""
        with self._lock:
            self._rollbacks_total += self._release(transaction)

    def abandon(self, transaction: Transaction) -> None:
        """Note that an open transaction became unreachable; takes no lock, so a finalizer may call it anywhere."""
        self._opened.abandoned.append(transaction)

    def clash(self, transaction: Transaction) -> tuple[bytes, int] | None:
        """A key that the open transaction has lost already, and the commit that took it."""
        with self._lock:
            return next(iter(clashes(transaction, self._versions, self._opened.recent).items()), None)

    def transactions(self) -> list[OpenTransaction]:
        """The open transactions, the oldest snapshot first."""
        with self._lock:
            self._reap()
            return self._opened.report(self._time_us(), self._versions.marks_kept_bytes())

    def kill(self, transaction_id: int) -> bool:
        """Roll an open transaction back; its owner is told at its next call. Whether there was one of that id."""
        with self._lock:
            transaction = self._opened.find(transaction_id)
            if transaction is None or transaction.is_ours:
                return False
            message = "this transaction was ended by KILL; nothing of it is applied"
            cause = {"code": "KILLED", "message": message}
            self._end(transaction, TransactionDoomedError(message, cause=cause))
            return True

    # Outside transactions

    def put(self, key: bytes, value: bytes, token: str | None = None, *, ttl_s: float | None = None) -> None:
        """Write one key in a transaction of its own; never conflicts. With a `token` it is applied once at most.

        With `ttl_s` the key is there for so many seconds from now; so it is, without, until its time if the value is
        an `Expiring` one.
        """
        if self._may_expire:
            self._expire_first()
        if ttl_s is not None:
            value = expiring(value, ttl_s, self._time_us())
        with self._lock:
            known_ts = None if token is None else self._outcomes.applied(token)
            commit_ts = self._apply({key: value}, token=token) if known_ts is None else known_ts
        self._settled(commit_ts)

    def newest(self, key: bytes) -> bytes | None:
        """The key's newest value, visible or not: what a write outside a transaction may rest on. Takes no lock."""
        if self._may_expire:
            self._expire_first()
        return self._newest(key)

    def write(self, writes: Mapping[bytes, bytes | None]) -> int:
        """Put, and delete where the value is None, all at once; the commit_ts. Never conflicts.

        What is deleted must be there, or have been there until its time was up. What was read for it with `newest`
        still holds if nobody wrote since: that is for the caller to know, who has the store for himself.
        """
        with self._lock:
            if None in writes.values():
                newest = self._versions.newest
                writes = {key: value for key, value in writes.items() if value is not None or newest(key) is not None}
            commit_ts = self._apply(writes) if writes else self._commit_ts
        return self._settled(commit_ts)

    def run_lane(self, run: Lane[T]) -> T:
        """Let `run(heads, seen_ts, commit_ts, may_write, superseded, writes)` work on the index itself; see `Lane`."""
        if self._may_expire:
            self._expire_first()
        with self._lock:
            self._reap()
            versions, is_logged = self._versions, self._log is not None
            superseded: list[SupersededVersion] | None = [] if is_logged or not versions.is_seen_by_none else None
            writes: list[tuple[bytes, bytes]] | None = [] if is_logged else None
            outcome = run(self._heads, versions.visible_ts, self._commit_ts, self._is_calm, superseded, writes)
            if outcome.commit_ts != self._commit_ts:
                self._take_in(outcome, superseded or [], writes or [])
        return outcome

    @property
    def _is_calm(self) -> bool:
        """Whether of a commit that puts nothing is to be noted but its versions, and what they supersede."""
        versions, log = self._versions, self._log
        is_plain = versions.history is None and versions.marks.is_empty and not self._may_expire
        if not is_plain or self._opened.recent.wants_keys:
            return False
        return log is None or (log.failure is None and hasattr(log, "append_lane"))

    def _take_in(
        self, outcome: LaneOutcome, superseded: list[SupersededVersion], writes: list[tuple[bytes, bytes]]
    ) -> None:
        """What a lane has committed: tell the log, count it, and publish it unless the log says to wait."""
        first_ts, time_us = self._commit_ts + 1, max(self._time_us(), self._newest_us)
        if self._log is not None:
            self._log.append_lane(first_ts, writes, time_us)  # type: ignore[attr-defined]  # see `_is_calm`
        self._commits_total += outcome.commit_ts - self._commit_ts
        self._commit_ts, self._newest_us = outcome.commit_ts, time_us
        self._versions.take_in(outcome.new_keys, superseded)
        if self._log is None:
            self._publish(outcome.commit_ts)

    def clear(self) -> int:
        """Delete every key in a transaction of its own; how many there were. Never conflicts.

        Costs a tenth of deleting each: where nobody sees what was before, it goes as a whole, and else by and by.
        """
        if self._may_expire:
            self._expire_first()
        with self._lock:
            writes = dict.fromkeys(self._versions.keys_with_value())
            commit_ts = self._apply(writes, clears=True) if writes else self._commit_ts
        self._settled(commit_ts)
        return len(writes)

    def delete(self, key: bytes, token: str | None = None) -> bool:
        """Delete one key in a transaction of its own; whether it was there. With a `token`, once at most."""
        if self._may_expire:
            self._expire_first()
        with self._lock:
            known_ts = None if token is None else self._outcomes.applied(token)
            is_there = known_ts is not None or self._newest(key) is not None
            commit_ts = self._apply({key: None}, token=token) if is_there and known_ts is None else self._commit_ts
        self._settled(commit_ts)
        return is_there

    def add(self, key: bytes, by: bytes, token: str | None = None) -> bytes:
        """Add to a key's number in a transaction of its own; what it is then. Never conflicts.

        With a `token` it is applied once at most; to a repetition the answer is what the key is by now.
        A key that expires does so all the same. Raises `BadRequestError` for what is no number.
        """
        if self._may_expire:
            self._expire_first()
        with self._lock:
            known_ts = None if token is None else self._outcomes.applied(token)
            if known_ts is None:
                total = self._sum(key, by)
                commit_ts = self._apply({key: total}, token=token, added=(key,))
            else:
                commit_ts, total = known_ts, self._newest(key) or b"null"
        self._settled(commit_ts)
        return total

    def _sum(self, key: bytes, by: bytes) -> bytes:
        return add_to(self._newest(key), by)

    def _newest(self, key: bytes) -> bytes | None:
        """The key's newest value, visible or not, unless it is overdue."""
        value = self._versions.newest(key)
        return None if self._may_expire and is_overdue(value, self._time_us()) else value

    def _merged_sum(self, key: bytes, by: bytes) -> bytes:
        try:
            return self._sum(key, by)
        except BadRequestError as error:  # what others have added meanwhile is too much for a float
            self._rollbacks_total += 1
            raise BadRequestError(
                f"what was added to {key.decode()!r} can't be: {error}; nothing was applied", key=key.decode()
            ) from None

    def _settled(self, commit_ts: int, *, waits: bool = True) -> int:
        """The commit_ts, when its record is where the log wants it before anybody is told."""
        log = self._log
        if log is not None:
            log.settle(commit_ts, waits=waits)
            if log.failure is not None and commit_ts > self._versions.visible_ts:
                raise log.failure  # it was on its way, and nobody knows how far it came
        return commit_ts

    def publish(self, ts: int) -> None:
        """Let new snapshots see every commit up to `ts`: their records are where they have to be.

        What is visible stays so: a `ts` that was passed already changes nothing.
        """
        with self._lock:
            if ts > self._versions.visible_ts:
                self._publish(ts)

    # Following commits

    def commits_after(self, ts: int, limit: int) -> list[CommittedWrites]:
        """Up to `limit` visible commits after `ts`, in order. Raises `SnapshotGoneError` if they are kept no more."""
        with self._lock:
            versions = self._versions
            versions.must_be_retained(ts)
            assert versions.history is not None
            return versions.history.after(ts, min(limit, max(versions.visible_ts - ts, 0)))

    def keep_changes(self, bytes_max: int) -> None:
        """Keep the commits from now on, as far as so many bytes reach, if nothing else has us keep any."""
        with self._lock:
            if self._versions.history is None:
                history = self._versions.history = CommitHistory(retain_bytes=bytes_max)
                history.begin(self._commit_ts)

    def changes(self, prefix: bytes = b"", from_ts: int | None = None) -> StoreChanges:
        """The commits after `from_ts`, from now on if it is None; see `api.Store`."""
        return StoreChanges(self, prefix, feed_begin(self, from_ts, bytes_max=CHANGES_BUFFER_BYTES))

    def wait_past(self, ts: int, timeout_s: float | None = None) -> bool:
        """Wait in this thread until a commit after `ts` is visible; False if none was in time, or a key's time came.

        The keys that are due then are gone when this returns.
        """
        timeout_s = self._until_expiry_s(timeout_s)
        gate = Lock()
        with self._lock:
            if self._versions.visible_ts > ts:
                return True
            gate.acquire()
            self._gates.append(gate)
        try:
            gate.acquire(timeout=-1 if timeout_s is None else timeout_s)
        finally:
            with self._lock:
                if gate in self._gates:
                    self._gates.remove(gate)
        if self._may_expire:
            self._expire_first()
        return self._versions.visible_ts > ts

    def _until_expiry_s(self, timeout_s: float | None) -> float | None:
        """So long, or until the next key expires if that is sooner; what is due by now goes."""
        if self._may_expire:
            self._expire_first()
        next_us = self._versions.expiries.next_us
        if next_us is None or (self._log is not None and self._log.failure is not None):
            return timeout_s
        expiry_s = max(next_us - self._time_us(), 0) / 1_000_000
        return min(expiry_s, _WAIT_S_MAX if timeout_s is None else timeout_s)

    # Expiry

    @property
    def next_expiry_us(self) -> int | None:
        """When the next key expires, microseconds since 1970; None if none does."""
        return self._versions.expiries.next_us

    def expire_due(self, limit: int = EXPIRED_AT_ONCE) -> bool:
        """Delete the keys whose time is up, at most `limit`, in a commit of its own; whether more are due.

        If the log takes no commits, nothing happens: the keys stay overdue, which nobody sees.
        """
        with self._lock:
            commit_ts, is_more = self._expire(limit)
        if commit_ts is not None:
            with suppress(UnavailableError):  # nobody waits for the disk: who reads goes by the clock
                self._settled(commit_ts, waits=False)
        return is_more

    def _expire_first(self) -> None:
        """What is due goes before anybody looks. Called without the lock."""
        next_us = self._versions.expiries.next_us
        if next_us is not None and next_us <= self._time_us():
            self.expire_due()

    def _expire(self, limit: int) -> tuple[int | None, bool]:
        """The commit that took keys away, if one did, and whether more are due. Under the lock."""
        expiries, now_us = self._versions.expiries, self._time_us()
        if self._log is not None and self._log.failure is not None:
            return None, False
        keys: dict[bytes, None] = dict.fromkeys(self._due(now_us, limit))
        try:
            commit_ts = self._apply(keys) if keys else None
        except BaseException as error:
            expiries.put_back(keys)
            if isinstance(error, UnavailableError):
                return None, False
            raise
        self._expired_total += len(keys)
        return commit_ts, expiries.next_us is not None and expiries.next_us <= now_us

    def _due(self, now_us: int, limit: int) -> Iterator[bytes]:
        """Keys whose time is up, as many as one commit may take away."""
        bytes_left = EXPIRED_BYTES_AT_ONCE
        for key in islice(self._versions.expiries.due(now_us), limit):
            yield key
            bytes_left -= len(key) + len(self._versions.newest(key) or b"")
            if bytes_left <= 0:
                return

    def trim(self) -> None:
        """Let go of what is retained and too old by now, a bounded part at a time."""
        with self._lock:
            self._versions.trim(self._time_us())

    # Filling

    def restore(
        self, commit_ts: int, items: Iterable[tuple[bytes, bytes]], tokens: Mapping[str, int] | None = None
    ) -> None:
        """Fill this empty store with the state at `commit_ts`, and the outcomes of commits before it.

        Its history, if there is any, may have been filled with the commits up to there.
        """
        with self._lock:
            assert not self._commit_ts, "restore is for a new store"
            history = self._versions.history
            self._newest_us = 0 if history is None else history.newest_us
            self._commit_ts = commit_ts
            self._versions.restore(commit_ts, items, self._time_us())
            self._may_expire = self._versions.expiries.may_expire
            self._outcomes.restore(tokens or {})

    def attach(self, log: CommitLog) -> None:
        """Hand every commit from now on to this log."""
        self._log = log

    # The commit section: everything below runs under the lock

    def _release(self, transaction: Transaction) -> bool:
        """The transaction is over; False if it was already."""
        was_open = self._opened.end(transaction)
        if was_open:
            if transaction.ticket is not None:
                self._turns.end(transaction.ticket)
            self._versions.collect()
        return was_open

    def _end(self, transaction: Transaction, cause: Error) -> None:
        """End somebody's transaction. Its mark comes first: who reads meanwhile looks at it afterwards."""
        transaction.ended = cause
        self._rollbacks_total += self._release(transaction)

    def _reap(self) -> None:
        """Close transactions that became unreachable while open."""
        abandoned = self._opened.abandoned
        while abandoned:
            self._rollbacks_total += self._release(abandoned.popleft())

    def _validate(self, transaction: Transaction) -> None:
        """First committer wins: what it wrote, or, serializable, read, may have no version after its snapshot."""
        if transaction.ended is not None:
            raise transaction.ended
        if not transaction.has_written:
            return
        if self._log is not None and self._log.failure is not None:
            raise self._log.failure
        if transaction.is_past:
            self._versions.must_be_retained(transaction.start_ts)
        lost = clashes(transaction, self._versions, self._opened.recent)
        if lost:
            self._conflicts_total += 1
            self._hot.count(lost)
            winners = {key.decode(): self._versions.winner(commit_ts) for key, commit_ts in lost.items()}
            raise ConflictError.lost_to(transaction.start_ts, winners)

    def _merged(self, transaction: Transaction) -> dict[bytes, bytes | None]:
        """What the transaction writes, with what it adds added to what is there now."""
        if not transaction.added:
            return transaction.writes
        return {**transaction.writes, **{key: self._merged_sum(key, by) for key, by in transaction.added.items()}}

    def _apply(
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
        if self._opened.abandoned:
            self._reap()
        commit_ts = self._commit_ts + 1
        time_us = self._time_us()
        if time_us < self._newest_us:
            time_us = self._newest_us
        versions = self._versions
        superseded = versions.to_be_superseded(writes)
        log = self._log
        visible_at_once = log is None or log.append(commit_ts, writes, label, token, time_us, superseded)
        self._commit_ts, self._newest_us = commit_ts, time_us
        self._commits_total += 1
        if label is not None:
            versions.marks.name(commit_ts, label, len(writes))
        if token is not None:
            self._outcomes.keep(token, commit_ts)
        if clears:
            versions.link_clear(commit_ts, writes, is_seen_at_once=visible_at_once)
        elif versions.link(commit_ts, writes, added):
            self._may_expire = True
        if self._opened.recent.wants_keys:
            self._opened.recent.note(commit_ts, tuple(writes))
        if superseded is not None:
            versions.retain(CommittedWrites(commit_ts, time_us, label, tuple(writes.items())), superseded)
        if visible_at_once:
            self._publish(commit_ts)
        return commit_ts

    def _publish(self, ts: int) -> None:
        self._versions.publish(ts, self._newest_us)
        if self._may_expire:
            self._may_expire = self._versions.expiries.may_expire
        if self._pinned_bytes_max and self._versions.pinned_bytes_at_most > self._pinned_bytes_max:
            self._unpin()
        self._versions.collect()
        if self._gates:
            self._open_gates()

    def _unpin(self) -> None:
        """End the oldest snapshots until what all of them keep alive is within its limit."""
        if self._commit_ts < self._weighs_at:
            return
        self._weighs_at = self._commit_ts + (0 if self._versions.history is None else WEIGHED_EVERY)
        while self._versions.pinned_bytes > self._pinned_bytes_max and not self._versions.frees_marks:
            victims = self._opened.at_oldest_snapshot()
            if not victims:
                return
            for transaction in victims:
                self._end(transaction, self._pinned_too_much(transaction))
                self.unpinned_total += 1

    def _pinned_too_much(self, transaction: Transaction) -> Error:
        return gone(
            f"the snapshot at {transaction.start_ts} was ended: old snapshots kept {self._versions.pinned_bytes} bytes "
            f"of superseded versions alive, more than the {self._pinned_bytes_max} of --max-pinned-bytes, and it was "
            "the oldest; run the transaction again, or raise the limit",
            self._versions.oldest_ts,
            retryable=True,
        )

    def _open_gates(self) -> None:
        gates, self._gates = self._gates, []
        for gate in gates:
            gate.release()

    # Collection

    @property
    def has_garbage(self) -> bool:
        """Whether versions wait to be collected: every call collects some, and so does `collect`."""
        with self._lock:
            return self._versions.has_garbage

    def collect(self, steps_max: int = COLLECT_STEPS) -> None:
        """Free up to about `steps_max` versions that nobody can see any more."""
        with self._lock:
            self._versions.collect(steps_max)

    # Looking in

    def stats(self) -> dict[str, Any]:
        """What the engine counts, by the names of STATS."""
        with self._lock:
            self._reap()
            history = self._versions.history
            return {
                "commit_ts": self._commit_ts,
                "visible_ts": self._versions.visible_ts,
                "keys": self._versions.index.keys,
                "versions": self._versions.index.versions,
                "active_transactions": len(self._opened),
                "oldest_start_ts": self._opened.snapshots.oldest,
                "oldest_ts": self.oldest_ts,
                "retained_commits": 0 if history is None else len(history),
                "retained_bytes": 0 if history is None else history.used_bytes,
                "pinned_bytes": self._versions.pinned_bytes,
                "unpinned_total": self.unpinned_total,
                "read_set_bytes": self._opened.read_set_bytes,
                "commits_total": self._commits_total,
                "conflicts_total": self._conflicts_total,
                "rollbacks_total": self._rollbacks_total,
                "expiring_keys": len(self._versions.expiries),
                "expired_total": self._expired_total,
                "hot_keys": [{"key": key.decode(), "conflicts": count} for key, count in self._hot.top()],
            }

    def chain(self, key: bytes) -> list[tuple[int, bytes | None]]:
        """The key's versions, newest first, as `(commit_ts, value)`; for pictures and tests."""
        return [(commit_ts, value) for commit_ts, value, _ in versions(self._heads.get(key))]

    def keys(self) -> list[bytes]:
        """Every key that has a chain, tombstones included, in order; for pictures and tests."""
        with self._lock:
            return list(self._heads)

    def check(self) -> None:
        """Verify every invariant; cost by the size of the store. Raises `AssertionError`."""
        with self._lock:
            self._versions.check(self._commit_ts)
