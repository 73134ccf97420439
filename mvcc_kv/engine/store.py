"""The versioned store: an ordered index of version chains, and the one section where commits happen.

    begin  ......  reads, buffered writes  ......  commit
      |                                              |   under the lock, a few microseconds:
      start_ts = visible_ts                          |   1. validate: every written key's newest commit_ts <= start_ts?
                                                     |   2. take the next commit_ts, hand the record to the log
                                                     |   3. link a new head to each written key's chain
                                                     |   4. publish: visible_ts moves on, new snapshots see it

Rules:
  - First committer wins: whoever finds a newer version of a key that it wrote aborts, and has changed nothing.
  - A read takes no lock. It takes a chain's head first and `visible_ts` after, and what it holds never changes.
  - Versions newer than `visible_ts` are linked but not yet seen: their record may still be on its way to the disk.
    They count for validation. Collection looks at a superseded version once its successor is visible.
  - A tombstone with nothing below it is kept only while a transaction that could still clash with it is open.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice, pairwise
from threading import Lock
from typing import Any, Protocol, cast

from sortedcontainers import SortedDict

from mvcc_kv.api import KeyRange, Page, TransactionOptions
from mvcc_kv.engine.chains import Version, versions, visible, without
from mvcc_kv.engine.history import CommitHistory, Superseded
from mvcc_kv.engine.outcomes import CommitOutcomes
from mvcc_kv.engine.snapshots import LiveSnapshots, TimestampCounts
from mvcc_kv.engine.transaction import Transaction
from mvcc_kv.engine.turns import Ticket, TurnsOfThreads
from mvcc_kv.errors import BadRequestError, ConflictError, UnavailableError, Winner

__all__ = ["CommitLog", "VersionedStore"]

# How many versions a commit or the end of a snapshot may collect before others get their turn: about 2 ms of work.
COLLECT_STEPS = 1_000

LABEL_CHARACTERS_MAX = 128

# Overwriting is dict's own business; only a new key costs SortedDict's ordered insert.
_overwrite = cast("Callable[[SortedDict[bytes, Version], bytes, Version], None]", dict.__setitem__)


class CommitLog(Protocol):
    """Where commits hand their record before anyone can see them."""

    @property
    def failure(self) -> UnavailableError | None:
        """Why no commit is taken any more; None as long as they are."""
        ...

    def append(
        self,
        commit_ts: int,
        writes: Mapping[bytes, bytes | None],
        label: str | None,
        token: str | None,
        time_us: int,
        superseded: Mapping[bytes, Superseded] | None,
    ) -> bool:
        """Take the record; whether the commit may be seen at once. If not, `publish` is called when it may.

        A write of None is a deletion. `time_us`: microseconds since 1970. `superseded`: for each key that had a value,
        the version that this commit takes the place of, where history is retained; else None. Called in the commit
        section, so it must not wait. Raising `UnavailableError` refuses the commit: nothing of it is applied.
        """
        ...

    def settle(self, commit_ts: int, *, waits: bool = True) -> None:
        """Called outside the commit section before the committer is told; may wait until the record is safe.

        `waits=False`: the committer can do without that, and only wants to see his commit.

        Raises `UnavailableError` if that can't be: the commit is not seen, and may or may not be found by a restart.
        """
        ...


class _Label:
    """What a commit is called in conflicts, and how many heads of it are left to clash with."""

    __slots__ = ("heads", "text")

    def __init__(self, text: str, heads: int) -> None:
        self.text = text
        self.heads = heads


class VersionedStore:
    """A multi-version store of JSON texts under byte keys, in memory. Satisfies `api.Store`. Thread-safe.

    `collect_steps` bounds what a commit or the end of a transaction collects before others get their turn.

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
    ) -> None:
        self._log = log
        self._time_us = time_us
        self._newest_time_us = 0
        self._history = history
        self._collect_steps = collect_steps
        self._lock = Lock()
        self._heads: SortedDict[bytes, Version] = SortedDict()
        self._commit_ts = 0
        self._visible_ts = 0
        self._live = LiveSnapshots()
        self._writers = TimestampCounts()  # snapshots whose transaction may still write
        self._superseded: deque[tuple[int, int, bytes]] = deque()  # (by commit_ts, version's commit_ts, key)
        self._tombstones: OrderedDict[bytes, int] = OrderedDict()  # heads, by commit_ts, that a writer may clash with
        self._labels: OrderedDict[int, _Label] = OrderedDict()  # by commit_ts, that a conflict may name
        self._turns = TurnsOfThreads()
        self._outcomes = CommitOutcomes()
        self._abandoned: deque[Transaction] = deque()  # collected by Python while open; appending needs no lock
        self._keys = 0
        self._versions = 0
        self._active = 0
        self._commits_total = 0
        self._conflicts_total = 0
        self._rollbacks_total = 0

    # Reading

    @property
    def commit_ts(self) -> int:
        """The timestamp of the newest commit."""
        return self._commit_ts

    @property
    def visible_ts(self) -> int:
        """The newest commit that new snapshots see."""
        return self._visible_ts

    @property
    def reachable_ts(self) -> int:
        """The newest commit that is visible, or on its way to be. A log that has failed lets no more of them arrive."""
        is_final = self._log is not None and self._log.failure is not None
        return self._visible_ts if is_final else self._commit_ts

    def get(self, key: bytes, seen_ts: int = 0) -> bytes | None:
        """The newest visible value of the key, or None. Takes no lock.

        Here and below, somebody who has seen the commit at `seen_ts`, such as his own, doesn't read behind it.
        """
        head = self._heads.get(key)  # taken before visible_ts is: all that was visible then is still below it
        version = visible(head, max(self._visible_ts, seen_ts))
        return None if version is None else version[1]

    def get_at(self, ts: int, key: bytes) -> bytes | None:
        """The key's value in a live snapshot at `ts`, or None. Takes no lock."""
        version = visible(self._heads.get(key), ts)
        return None if version is None else version[1]

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, seen_ts: int = 0) -> Page:
        """One page of the newest visible state, consistent in itself; see `api.Page`."""
        with self._lock:
            return self._page(max(self._visible_ts, seen_ts), keys, limit, reverse)

    def scan_at(self, ts: int, keys: KeyRange, *, limit: int, reverse: bool = False) -> Page:
        """One page of a live snapshot at `ts`; looks at up to `limit` keys of the index."""
        with self._lock:
            return self._page(ts, keys, limit, reverse)

    def _page(self, ts: int, keys: KeyRange, limit: int, reverse: bool) -> Page:
        if keys.high is not None and keys.low >= keys.high:
            return Page([], None)
        found = list(islice(self._heads.irange(keys.low, keys.high, (True, False), reverse), limit + 1))
        following = None
        if len(found) > limit:
            following = found[limit - 1] if reverse else found[limit]
        items = []
        for key in found[:limit]:
            version = visible(self._heads[key], ts)
            if version is not None and version[1] is not None:
                items.append((key, version[1]))
        return Page(items, following)

    # Transactions

    def begin(
        self,
        options: TransactionOptions = TransactionOptions(),  # noqa: B008 (immutable)
        seen_ts: int = 0,
    ) -> Transaction:
        """Open a transaction at the newest visible state. Raises `BadRequestError` for what is not there yet.

        One that asks for its turn blocks until that has come, or nearly as long as a second.
        """
        if options.isolation != "snapshot":
            raise BadRequestError(f'isolation {options.isolation!r} is not supported yet; use "snapshot"')
        if options.at is not None:
            raise BadRequestError('reading at an older timestamp ("at") is not supported yet')
        if options.label is not None and len(options.label) > LABEL_CHARACTERS_MAX:
            raise BadRequestError(f"a label has at most {LABEL_CHARACTERS_MAX} characters, not {len(options.label)}")
        ticket = None if options.turn is None else self._take_turn(options.turn, options.lost)
        with self._lock:
            self._reap()
            start_ts = max(self._visible_ts, seen_ts)
            self._live.begin(start_ts)
            if not options.read_only:
                self._writers.add(start_ts)
            self._active += 1
        return Transaction(self, start_ts, options, ticket)

    def newest_ts(self, key: bytes) -> int:
        """The key's newest commit, which may be on its way still; 0 if there is none. Who begins before it loses."""
        head = self._heads.get(key)
        return 0 if head is None else head[0]

    def _take_turn(self, key: bytes, lost: int) -> Ticket:
        """Wait for the turn on the key, and until its newest commit can be seen. Raises what the log failed with."""
        ticket = self._turns.take(key, lost)
        try:
            if self.newest_ts(key) > self._visible_ts:
                self._settled(self.newest_ts(key))
        except BaseException:
            self._turns.end(ticket)
            raise
        return ticket

    def end_turn(self, ticket: Ticket) -> None:
        """The transaction of this ticket is over. Called by `Transaction`."""
        self._turns.end(ticket)

    def commit(self, transaction: Transaction) -> int:
        """Validate and apply the transaction's writes; it is over, whatever comes of it. Called by `Transaction`."""
        token = transaction.token
        with self._lock:
            try:
                known_ts = None if token is None else self._outcomes.applied(token)
                if known_ts is None:
                    self._validate(transaction)
            finally:
                self._release(transaction)
            if known_ts is not None:
                commit_ts = known_ts  # this commit came before, and its answer was lost
            elif transaction.writes:
                commit_ts = self._apply(transaction.writes, transaction.label, token)
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
            self._release(transaction)
            self._rollbacks_total += 1

    def abandon(self, transaction: Transaction) -> None:
        """Note that an open transaction became unreachable; takes no lock, so a finalizer may call it anywhere."""
        self._abandoned.append(transaction)

    def put(self, key: bytes, value: bytes, token: str | None = None) -> None:
        """Write one key in a transaction of its own; never conflicts. With a `token` it is applied once at most."""
        with self._lock:
            known_ts = None if token is None else self._outcomes.applied(token)
            commit_ts = self._apply({key: value}, token=token) if known_ts is None else known_ts
        self._settled(commit_ts)

    def delete(self, key: bytes, token: str | None = None) -> bool:
        """Delete one key in a transaction of its own; whether it was there. With a `token`, once at most."""
        with self._lock:
            known_ts = None if token is None else self._outcomes.applied(token)
            head = self._heads.get(key)
            is_there = known_ts is not None or (head is not None and head[1] is not None)
            commit_ts = self._apply({key: None}, token=token) if is_there and known_ts is None else self._commit_ts
        self._settled(commit_ts)
        return is_there

    def _settled(self, commit_ts: int, *, waits: bool = True) -> int:
        """The commit_ts, when its record is where the log wants it before anybody is told."""
        log = self._log
        if log is not None:
            log.settle(commit_ts, waits=waits)
            if log.failure is not None and commit_ts > self._visible_ts:
                raise log.failure  # it was on its way, and nobody knows how far it came
        return commit_ts

    def publish(self, ts: int) -> None:
        """Let new snapshots see every commit up to `ts`: their records are where they have to be.

        What is visible stays so: a `ts` that was passed already changes nothing.
        """
        with self._lock:
            if ts > self._visible_ts:
                self._publish(ts)

    def restore(
        self, commit_ts: int, items: Iterable[tuple[bytes, bytes]], tokens: Mapping[str, int] | None = None
    ) -> None:
        """Fill this empty store with the state at `commit_ts`, and the outcomes of commits before it."""
        with self._lock:
            assert not self._heads and not self._commit_ts, "restore is for a new store"
            self._heads.update((key, (commit_ts, value, None)) for key, value in items)
            self._keys = self._versions = len(self._heads)
            self._commit_ts = self._visible_ts = commit_ts
            self._outcomes.restore(tokens or {})

    def attach(self, log: CommitLog) -> None:
        """Hand every commit from now on to this log."""
        self._log = log

    # The commit section: everything below runs under the lock

    def _release(self, transaction: Transaction) -> None:
        self._active -= 1
        self._live.end(transaction.start_ts)
        if not transaction.read_only:
            self._writers.remove(transaction.start_ts)
        self._collect(self._collect_steps)

    def _reap(self) -> None:
        """Close transactions that became unreachable while open."""
        while self._abandoned:
            self._release(self._abandoned.popleft())
            self._rollbacks_total += 1

    def _validate(self, transaction: Transaction) -> None:
        """First committer wins: no key of the write set may have a version after our snapshot."""
        if self._log is not None and self._log.failure is not None and transaction.writes:
            raise self._log.failure
        start_ts = transaction.start_ts
        heads = self._heads
        clashes = [key for key in transaction.writes if (head := heads.get(key)) is not None and head[0] > start_ts]
        if clashes:
            self._conflicts_total += 1
            raise ConflictError.lost_to(start_ts, {key.decode(): self._winner(heads[key][0]) for key in clashes})

    def _winner(self, commit_ts: int) -> Winner:
        label = self._labels.get(commit_ts)
        return Winner(commit_ts, None if label is None else label.text)

    def _apply(self, writes: Mapping[bytes, bytes | None], label: str | None = None, token: str | None = None) -> int:
        """Take the next timestamp, log, link and, unless the log says to wait, publish."""
        if self._abandoned:
            self._reap()
        commit_ts = self._commit_ts + 1
        visible_at_once = self._log is None or self._log.append(commit_ts, writes, label, token, self._time_us(), None)
        self._commit_ts = commit_ts
        self._commits_total += 1
        if label is not None:
            self._labels[commit_ts] = _Label(label, len(writes))
        if token is not None:
            self._outcomes.keep(token, commit_ts)
        for key, value in writes.items():
            self._link(commit_ts, key, value)
        if visible_at_once:
            self._publish(commit_ts)
        return commit_ts

    def _link(self, commit_ts: int, key: bytes, value: bytes | None) -> None:
        head = self._heads.get(key)
        if head is None:
            if value is None:
                return
            self._heads[key] = (commit_ts, value, None)
            self._versions += 1
        else:
            self._supersede(head, commit_ts, key, value)
        self._keys += (value is not None) - (head is not None and head[1] is not None)
        if value is None:
            self._tombstones[key] = commit_ts

    def _supersede(self, head: Version, commit_ts: int, key: bytes, value: bytes | None) -> None:
        if self._labels:
            self._unname(head[0])
        if head[1] is None:
            self._tombstones.pop(key, None)
            if head[2] is None:  # a lone tombstone tells readers no more than nothing does
                _overwrite(self._heads, key, (commit_ts, value, None))
                return
        _overwrite(self._heads, key, (commit_ts, value, head))
        self._superseded.append((commit_ts, head[0], key))
        self._versions += 1

    def _unname(self, commit_ts: int) -> None:
        """A head of this commit was superseded; with its last one goes its label."""
        label = self._labels.get(commit_ts)
        if label is not None:
            label.heads -= 1
            if not label.heads:
                del self._labels[commit_ts]

    def _publish(self, ts: int) -> None:
        self._visible_ts = ts
        superseded = self._superseded
        while superseded and superseded[0][0] <= ts:
            superseded_ts, commit_ts, key = superseded.popleft()
            if not self._live.hold(commit_ts, superseded_ts, key):
                self._free(commit_ts, key)
        if self._live.has_garbage or self._tombstones or self._labels:
            self._collect(self._collect_steps)

    # Collection

    @property
    def has_garbage(self) -> bool:
        """Whether versions wait to be collected: every call collects some, and so does `collect`."""
        with self._lock:
            return self._has_garbage()

    def collect(self, steps_max: int = COLLECT_STEPS) -> None:
        """Free up to about `steps_max` versions that nobody can see any more."""
        with self._lock:
            self._collect(steps_max)

    def _has_garbage(self) -> bool:
        return self._live.has_garbage or self._has_expired()

    def _collect(self, steps_max: int) -> None:
        if self._live.has_garbage:
            for commit_ts, key in self._live.collect(steps_max):
                self._free(commit_ts, key)
        while steps_max > 0 and self._has_expired():
            steps_max -= 1
            self._expire()

    def _horizon(self) -> int:
        """No transaction that is open, or will be, can clash with a commit at or before this timestamp."""
        oldest = self._writers.oldest
        return self._visible_ts if oldest is None else min(oldest, self._visible_ts)

    def _has_expired(self) -> bool:
        if not self._tombstones and not self._labels:
            return False
        horizon = self._horizon()
        if self._tombstones and next(iter(self._tombstones.values())) <= horizon:
            return True
        return bool(self._labels) and next(iter(self._labels)) <= horizon

    def _expire(self) -> None:
        """Forget the oldest tombstone and the oldest label that no conflict can name any more."""
        horizon = self._horizon()
        if self._labels and next(iter(self._labels)) <= horizon:
            self._labels.popitem(last=False)
        if self._tombstones and next(iter(self._tombstones.values())) <= horizon:
            key, commit_ts = self._tombstones.popitem(last=False)
            if self._heads[key] == (commit_ts, None, None):
                self._drop(key)

    def _free(self, commit_ts: int, key: bytes) -> None:
        """Take a superseded version out of its chain; a tombstone that is left alone goes when it may."""
        rest = without(self._heads[key], commit_ts)
        assert rest is not None, "a superseded version has a newer one above it"
        self._versions -= 1
        _overwrite(self._heads, key, rest)
        if rest[1] is None and rest[2] is None and rest[0] <= self._horizon():
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        """Take a lone tombstone's key out of the index."""
        del self._heads[key]
        self._tombstones.pop(key, None)
        self._versions -= 1

    # Looking in

    def stats(self) -> dict[str, Any]:
        """What the engine counts, by the names of STATS."""
        with self._lock:
            self._reap()
            return {
                "commit_ts": self._commit_ts,
                "visible_ts": self._visible_ts,
                "keys": self._keys,
                "versions": self._versions,
                "active_transactions": self._active,
                "oldest_start_ts": self._live.oldest,
                "commits_total": self._commits_total,
                "conflicts_total": self._conflicts_total,
                "rollbacks_total": self._rollbacks_total,
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
            self._live.check()
            chains = {key: list(versions(head)) for key, head in self._heads.items()}
            assert list(self._heads) == sorted(chains), "the index is in order"
            assert self._versions == sum(map(len, chains.values()))
            assert self._keys == sum(chain[0][1] is not None for chain in chains.values())
            assert self._visible_ts <= self._commit_ts
            self._check_chains(chains)
            self._check_what_writers_may_clash_with(chains)

    def _check_chains(self, chains: dict[bytes, list[Version]]) -> None:
        waiting = {(version_ts, key) for _, version_ts, key in self._superseded}
        held = {(commit_ts, key): snapshot for snapshot, commit_ts, key in self._live.holders()}
        assert len(held) == sum(1 for _ in self._live.holders()), "a version is held once"
        assert waiting.isdisjoint(held)
        kept = set()
        for key, chain in chains.items():
            timestamps = [version[0] for version in chain]
            assert timestamps == sorted(set(timestamps), reverse=True), "timestamps fall along a chain"
            assert timestamps[0] <= self._commit_ts
            for newer, version in pairwise(timestamps):
                kept.add((version, key))
                if (version, key) not in waiting:
                    assert self._live.may_hold(held[version, key], version, newer), "the newest that sees it holds it"
            if timestamps[0] <= self._horizon() and chain[0][1] is None and not self._has_garbage():
                assert len(chain) > 1, "a lone tombstone goes with the last that could clash with it"
        assert kept == waiting | set(held), "what is not newest is waiting or held"

    def _check_what_writers_may_clash_with(self, chains: dict[bytes, list[Version]]) -> None:
        horizon = self._horizon()
        heads = {key: chain[0] for key, chain in chains.items()}
        tombstones = {key: head[0] for key, head in heads.items() if head[1] is None}
        assert self._tombstones.items() <= tombstones.items(), "only heads are listed"
        assert self._tombstones.items() >= {(key, ts) for key, ts in tombstones.items() if ts > horizon}
        assert list(self._tombstones.values()) == sorted(self._tombstones.values())
        committed = [head[0] for head in heads.values()]
        for ts, label in self._labels.items():
            assert ts <= horizon or label.heads == committed.count(ts), "a label stays while a head can be lost to it"
