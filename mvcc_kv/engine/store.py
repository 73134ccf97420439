"""The versioned store: the engine's face, in front of its rooms.

    VersionedStore ......... get, scan, history: the newest visible state, read here      one CommitSection, shared
        home.py              transactions: begin, read, commit, roll back                 by all of them: the lock, the
        direct.py            put, delete, add, clear: commits of their own                log, the versions, who is open
        lanes.py             gets and puts by the batch
        sweep.py             keys whose time is up
        following.py         who waits for the next commit

Rules:
  - A read takes no lock. It takes a chain's head first and `visible_ts` after, and what it holds never changes.
  - Keys whose time is up go in a commit before anybody else gets his turn (`expiry.py`); who comes nevertheless before
    that is visible finds them gone. In a store where no key expires this costs a look at `may_expire`.

What a room does as it is is handed out as it is, bound once when the store is made: a method in between that only
passes on what it was given would cost each put a few per cent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from mvcc_kv.api import PLAINLY, KeyRange, Page, TransactionOptions, VersionPage
from mvcc_kv.engine.chains import versions, visible
from mvcc_kv.engine.changes import CHANGES_BUFFER_BYTES, StoreChanges, feed_begin
from mvcc_kv.engine.commit_log import CommitLog
from mvcc_kv.engine.direct import DirectWrites
from mvcc_kv.engine.following import Followers
from mvcc_kv.engine.history import CommitHistory
from mvcc_kv.engine.home import TransactionHome
from mvcc_kv.engine.index import ScanBounds
from mvcc_kv.engine.lanes import Lane, LaneOutcome, run_lane
from mvcc_kv.engine.outcomes import CommitOutcomes
from mvcc_kv.engine.section import CommitSection
from mvcc_kv.engine.sweep import Sweep
from mvcc_kv.engine.transaction import READ_SET_BYTES_MAX, Transaction
from mvcc_kv.values import is_overdue, seconds_left

__all__ = ["VersionedStore"]

# How many versions a commit or the end of a snapshot may collect before others get their turn: about 2 ms of work.
COLLECT_STEPS = 1_000

T = TypeVar("T", bound=LaneOutcome)


class VersionedStore:
    """A multi-version store of JSON texts under byte keys, in memory. Satisfies `api.Store`. Thread-safe.

    `collect_steps` bounds what a commit or the end of a transaction collects before others get their turn.
    `time_us`: the wall clock, microseconds since 1970. `history`: what is retained for reads in the past, if anything.
    `read_set_bytes_max`: what a serializable transaction may have to remember. `pinned_bytes_max`: what old snapshots
    may keep alive together before the oldest is ended; 0: no limit.

    >>> store = VersionedStore()
    >>> store.put(b"a", b"1")
    >>> reader = store.begin()
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
        self._section = section = CommitSection(
            log, collect_steps=collect_steps, time_us=time_us, history=history, pinned_bytes_max=pinned_bytes_max
        )
        self._versions = section.versions
        self._heads = section.versions.heads
        self._time_us = time_us
        self._sweep = sweep = Sweep(section)
        self.expire_due = sweep.due
        self._home = home = TransactionHome(section, sweep, read_set_bytes_max)
        self.transactions, self.kill, self.newest_ts = home.transactions, home.kill, home.newest_ts
        self.get_at, self.scan_at = home.get_at, home.scan_at
        direct = DirectWrites(section, sweep)
        self.put, self.write, self.add = direct.put, direct.write, direct.add
        self.delete, self.clear = direct.delete, direct.clear
        followers = Followers(section, sweep)
        self.commits_after, self.keep_changes = followers.commits_after, followers.keep_changes
        self.wait_past = followers.wait_past

    # Reading

    @property
    def keys_total(self) -> int:
        """How many keys have a value."""
        if self._section.may_expire:
            self._sweep.first()
        return self._versions.index.keys

    @property
    def places(self) -> int:
        """How many keys the index has: those with a value, and those whose deletion is not forgotten yet."""
        return len(self._heads)

    def key_in(self, place: int) -> bytes | None:
        """The key in that place of the index, from 0 on, whether or not it has a value; None if it is not so long.

        Costs the logarithm of the index's size.
        """
        with self._section.lock:
            return self._versions.index.key_in(place)

    @property
    def commit_ts(self) -> int:
        """The timestamp of the newest commit."""
        return self._section.commit_ts

    @property
    def visible_ts(self) -> int:
        """The newest commit that new snapshots see."""
        return self._versions.visible_ts

    @property
    def reachable_ts(self) -> int:
        """The newest commit that is visible, or on its way to be. A log that has failed lets no more of them arrive."""
        return self._versions.visible_ts if self._section.has_failed else self._section.commit_ts

    @property
    def oldest_ts(self) -> int:
        """The oldest timestamp that can be read, and whose following commits are known."""
        return self._versions.oldest_ts

    def get(self, key: bytes, seen_ts: int = 0) -> bytes | None:
        """The newest visible value of the key, or None. Takes no lock.

        Here and below, somebody who has seen the commit at `seen_ts`, such as his own, doesn't read behind it.
        """
        if self._section.may_expire:
            return self._get_by_the_clock(key, seen_ts)
        head = self._heads.get(key)  # taken before visible_ts is: all that was visible then is still below it
        if head is not None and head[0] > self._versions.visible_ts:
            head = visible(head, max(self._versions.visible_ts, seen_ts))
        return None if head is None else head[1]

    def _get_by_the_clock(self, key: bytes, seen_ts: int) -> bytes | None:
        """As `get`, where keys may expire."""
        self._sweep.first()
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
        if self._section.may_expire:
            self._sweep.first()
        with self._section.lock:
            overdue_us = self._time_us() if self._section.may_expire else 0
            newest_ts = max(self._versions.visible_ts, seen_ts)
            return self._versions.page(newest_ts, keys, limit, reverse, bounds, overdue_us)

    def history(self, key: bytes, *, limit: int, before_ts: int | None = None, seen_ts: int = 0) -> VersionPage:
        """Up to `limit` of the key's versions, newest first: what is retained, and what snapshots keep alive."""
        if self._section.may_expire:
            self._sweep.first()
        with self._section.lock:
            return self._versions.history_page(max(self._versions.visible_ts, seen_ts), key, limit, before_ts)

    def newest(self, key: bytes) -> bytes | None:
        """The key's newest value, visible or not: what a write outside a transaction may rest on. Takes no lock."""
        if self._section.may_expire:
            self._sweep.first()
        return self._section.newest(key)

    # Transactions, and the commits of batches

    def begin(
        self,
        options: TransactionOptions = PLAINLY,
        seen_ts: int = 0,
        *,
        client: str | None = None,
        is_ours: bool = False,
        newest: bool = False,
    ) -> Transaction:
        """Open a transaction; see `TransactionHome.begin`."""
        return self._home.begin(options, seen_ts, client, is_ours, newest)

    def run_lane(self, run: Lane[T], label: str | None = None) -> T:
        """Let `run(heads, seen_ts, commit_ts, permit)` work on the index itself; see `Lane`.

        `label`: what those of its transactions are called that are begun and committed at once.
        """
        if self._section.may_expire:
            self._sweep.first()
        return run_lane(self._section, self._home, run, label)

    def outcome(self, token: str, after_ts: int | None = None) -> int | None:
        """The commit_ts of the commit with this token; None if it was not applied, and then it never will be.

        With `after_ts`, a timestamp before that commit, the answer is certain, or there is none: raises
        `UnavailableError` if it would be forgotten by now, or if the log failed under it.
        """
        with self._section.lock:
            commit_ts = self._section.outcomes.find(token, after_ts)
        return None if commit_ts is None else self._section.settled(commit_ts)

    @property
    def outcomes(self) -> CommitOutcomes:
        """What became of the last commits that carried a token."""
        return self._section.outcomes

    def publish(self, ts: int) -> None:
        """Let new snapshots see every commit up to `ts`: their records are where they have to be.

        What is visible stays so: a `ts` that was passed already changes nothing.
        """
        with self._section.lock:
            if ts > self._versions.visible_ts:
                self._section.publish(ts)

    def changes(self, prefix: bytes = b"", from_ts: int | None = None) -> StoreChanges:
        """The commits after `from_ts`, from now on if it is None; see `api.Store`."""
        return StoreChanges(self, prefix, feed_begin(self, from_ts, bytes_max=CHANGES_BUFFER_BYTES))

    @property
    def next_expiry_us(self) -> int | None:
        """When the next key expires, microseconds since 1970; None if none does."""
        return self._sweep.next_us

    # Filling

    def trim(self) -> None:
        """Let go of what is retained and too old by now, a bounded part at a time."""
        with self._section.lock:
            self._versions.trim(self._time_us())

    def restore(
        self,
        commit_ts: int,
        items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]],
        tokens: Mapping[str, int] | None = None,
    ) -> None:
        """Fill this empty store with the state at `commit_ts`, and the outcomes of commits before it.

        Its history, if there is any, may have been filled with the commits up to there. Costs least if the items
        ascend by key.
        """
        with self._section.lock:
            assert not self._section.commit_ts, "restore is for a new store"
            history = self._versions.history
            self._section.newest_us = 0 if history is None else history.newest_us
            self._section.commit_ts = commit_ts
            held = items if isinstance(items, Mapping) else dict(items)
            self._versions.restore(commit_ts, held, self._time_us())
            self._section.may_expire = self._versions.expiries.may_expire
            self._section.outcomes.restore(tokens or {})

    def attach(self, log: CommitLog) -> None:
        """Hand every commit from now on to this log."""
        self._section.log = log

    # Collection

    @property
    def has_garbage(self) -> bool:
        """Whether versions wait to be collected: every call collects some, and so does `collect`."""
        if self._versions.is_calm:  # nearly always, where there is no log
            return False
        with self._section.lock:
            return self._versions.has_garbage

    def collect(self, steps_max: int = COLLECT_STEPS) -> None:
        """Free up to about `steps_max` versions that nobody can see any more."""
        with self._section.lock:
            self._versions.collect(steps_max)

    # Looking in

    @property
    def unpinned_total(self) -> int:
        """How many transactions were ended because of what old snapshots kept alive."""
        return self._section.pin_limit.ended_total

    def stats(self) -> dict[str, Any]:
        """What the engine counts, by the names of STATS."""
        with self._section.lock:
            self._section.reap()
            history = self._versions.history
            return {
                "commit_ts": self._section.commit_ts,
                "visible_ts": self._versions.visible_ts,
                "keys": self._versions.index.keys,
                "versions": self._versions.index.versions,
                "active_transactions": len(self._section.opened),
                "oldest_start_ts": self._section.opened.snapshots.oldest,
                "oldest_ts": self.oldest_ts,
                "retained_commits": 0 if history is None else len(history),
                "retained_bytes": 0 if history is None else history.used_bytes,
                "pinned_bytes": self._versions.pinned_bytes,
                "unpinned_total": self.unpinned_total,
                "read_set_bytes": self._section.opened.read_set_bytes,
                "commits_total": self._section.commits_total,
                "conflicts_total": self._section.conflicts_total,
                "rollbacks_total": self._section.rollbacks_total,
                "expiring_keys": len(self._versions.expiries),
                "expired_total": self._sweep.expired_total,
                "hot_keys": [{"key": key.decode(), "conflicts": count} for key, count in self._section.hot.top()],
            }

    def chain(self, key: bytes) -> list[tuple[int, bytes | None]]:
        """The key's versions, newest first, as `(commit_ts, value)`; for pictures and tests."""
        return [(commit_ts, value) for commit_ts, value, _ in versions(self._heads.get(key))]

    def keys(self) -> list[bytes]:
        """Every key that has a chain, tombstones included, in order; for pictures and tests."""
        with self._section.lock:
            return list(self._heads)

    def check(self) -> None:
        """Verify every invariant; cost by the size of the store. Raises `AssertionError`."""
        with self._section.lock:
            self._versions.check(self._section.commit_ts)
