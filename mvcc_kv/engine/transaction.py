"""A transaction: one snapshot, a buffer of writes that nobody else sees, and what it has read.

    reads      own buffer first, then the snapshot; remembered, unless it is read-only or was asked not to
    writes     key: value, or None for a deletion
    added      key: by how much; merged with whatever the key is when it commits

Nothing is locked and nothing is written before the commit, so a rollback has nothing to undo, and an open transaction
is in nobody's way.

ADD is a write that doesn't depend on what is there, as long as this transaction doesn't know what is there either. So
reading a key, before or after adding to it, turns the addition into an ordinary write of the sum:

    add(hits, 1)                        added {hits: 1}      others may add too
    add(hits, 1), get(hits) -> 6        writes {hits: 6}     whoever changes hits first, wins
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import Protocol

from mvcc_kv.api import KeyRange, Page, TransactionOptions, VersionPage
from mvcc_kv.engine.index import ScanBounds
from mvcc_kv.engine.reads import ReadSet
from mvcc_kv.engine.turns import Ticket
from mvcc_kv.errors import (
    BadRequestError,
    Error,
    LimitExceededError,
    NoTransactionError,
    ReadOnlyError,
    TransactionDoomedError,
)
from mvcc_kv.values import add_numbers, add_to, expiring, seconds_left

__all__ = ["READ_SET_BYTES_MAX", "Transaction"]

READ_SET_BYTES_MAX = 16 * 1024 * 1024
_ZERO = b"0"


class _Home(Protocol):
    """What a transaction needs of its store."""

    read_set_bytes_max: int

    def now_us(self) -> int: ...
    @property
    def get_at(self) -> Callable[[int, bytes], bytes | None]: ...
    def get_unless_overdue(self, overdue_us: int, ts: int, key: bytes) -> bytes | None: ...
    def get_past(self, ts: int, key: bytes) -> bytes | None: ...
    def scan_at(
        self,
        ts: int,
        keys: KeyRange,
        *,
        limit: int,
        reverse: bool = False,
        bounds: ScanBounds | None = None,
        overdue_us: int = 0,
    ) -> Page: ...
    def scan_past(
        self, ts: int, keys: KeyRange, *, limit: int, reverse: bool = False, bounds: ScanBounds | None = None
    ) -> Page: ...
    def history_at(self, ts: int, key: bytes, *, limit: int, before_ts: int | None, is_past: bool) -> VersionPage: ...
    def clash(self, transaction: Transaction) -> tuple[bytes, int] | None: ...
    def commit(self, transaction: Transaction) -> int: ...
    def rollback(self, transaction: Transaction) -> None: ...
    def abandon(self, transaction: Transaction) -> None: ...


class Transaction:
    """An open transaction on a `VersionedStore`; satisfies `api.StoreTransaction`. Belongs to one thread.

    `is_past`: it reads retained history, and holds nothing. `is_ours`: the store's own work, such as a checkpoint's.
    `ended`: why somebody else has ended it; None as long as nobody has.
    `may_expire`: whether its snapshot may hold values that expire, if it isn't one of the past.
    `overdue_us`: what the snapshot holds until then or sooner is not there for it; 0: nothing is overdue.
    """

    __slots__ = (
        "__weakref__",
        "_get_at",
        "_open",
        "_sorted",
        "_store",
        "added",
        "begun_us",
        "client",
        "commit_ts",
        "ended",
        "id",
        "is_ours",
        "is_past",
        "is_serializable",
        "label",
        "may_expire",
        "overdue_us",
        "read_only",
        "reads",
        "start_ts",
        "ticket",
        "token",
        "waits",
        "writes",
    )

    def __init__(
        self,
        store: _Home,
        start_ts: int,
        options: TransactionOptions,
        begun_us: int,
        client: str | None,
        is_past: bool,
        is_ours: bool,
        may_expire: bool,
    ) -> None:
        self._store = store
        self._open = True
        self._sorted: list[bytes] | None = None
        self._get_at = store.get_past if is_past else store.get_at
        self.may_expire = may_expire
        self.overdue_us = 0
        if may_expire and not (is_past or is_ours):
            self.overdue_us = begun_us
            self._get_at = partial(store.get_unless_overdue, begun_us)
        self.id = 0  # until the register of open transactions gives it one
        self.begun_us = begun_us
        self.client = client
        self.is_past = is_past
        self.is_ours = is_ours
        self.ended: Error | None = None
        self.ticket: Ticket | None = None  # if it has its turn, or had it
        self.start_ts = start_ts
        self.commit_ts: int | None = None
        self.read_only = options.read_only
        self.is_serializable = options.isolation == "serializable"
        self.label = options.label
        self.waits = options.durability == "default"
        self.token: str | None = None
        self.writes: dict[bytes, bytes | None] = {}  # None: deleted
        self.added: dict[bytes, bytes] = {}
        self.reads: ReadSet | None = None  # made with the first read that is to be remembered

    @property
    def is_open(self) -> bool:
        """Whether it has neither been committed nor rolled back, by whomever."""
        return self._open and self.ended is None

    @property
    def has_written(self) -> bool:
        """Whether there is something to commit."""
        return bool(self.writes or self.added)

    @property
    def is_doomed(self) -> bool:
        """Whether it has lost already: a commit now could only be refused. Costs what validating it costs."""
        return self.ended is not None or self.clash() is not None

    @property
    def reads_plainly(self) -> bool:
        """Whether a read takes no lock, and is never refused as long as this is open."""
        return not (self.is_past or self.is_serializable)

    @property
    def is_plain(self) -> bool:
        """Whether it is open, and its commit, if it has lost nothing, is nothing but its writes."""
        is_named = self.label is not None or self.ticket is not None
        return self.is_open and self.reads_plainly and not (self.added or is_named)

    @property
    def is_contended(self) -> bool:
        """Whether it had to wait for the turn that it asked for, or others wait behind it."""
        return self.ticket is not None and (self.ticket.waited or self.ticket.waiting > 0)

    @property
    def wrote_turn(self) -> bool:
        """Whether it wrote the key whose turn it had asked for."""
        return self.ticket is not None and (self.ticket.key in self.writes or self.ticket.key in self.added)

    def clash(self) -> tuple[bytes, int] | None:
        """A key that it has lost already, and the commit that took it; None as long as it could commit."""
        return self._store.clash(self) if self._open else None

    # Reading

    def get(self, key: bytes, tracked: bool = True) -> bytes | None:
        """The key's value here: our own write, or what the snapshot holds; None if there is none.

        Raises `LimitExceededError` if a serializable transaction would have to remember too much.
        """
        if not self._open or self.ended is not None:
            self._must_be_open()
        if key in self.writes:
            return self.writes[key]
        value = self._get_at(self.start_ts, key)
        if self.added and key in self.added:
            value = add_to(value, self.added[key])
            if tracked:
                self._turn_into_write(key, value)
        if tracked and not self.read_only:
            reads = self.reads
            if reads is None:
                reads = self.reads = ReadSet(key)
            elif key not in reads.keys:
                reads.add_key(key)
            if reads.used_bytes > self._store.read_set_bytes_max:
                self._reads_too_much(reads)
        if self.ended is not None:
            self._must_not_be_ended()
        return value

    def get_with_ttl(self, key: bytes, *, tracked: bool = True) -> tuple[bytes, float | None] | None:
        """The key's value here and how many seconds it is there yet, by the clock (None: it stays); None if none.

        A value whose time comes while the transaction is open has none left, and stays in its view.
        """
        value = self.get(key, tracked=tracked)
        return None if value is None else (value, seconds_left(value, self._store.now_us()))

    def scan(
        self,
        keys: KeyRange,
        *,
        limit: int,
        reverse: bool = False,
        keys_only: bool = False,
        tracked: bool = True,
        bounds: ScanBounds | None = None,
    ) -> Page:
        """Up to `limit` items of the snapshot's range with our own writes and deletions in place."""
        self._must_be_open()
        page = self._scan_at(self.start_ts, keys, limit=limit, reverse=reverse, bounds=bounds)
        if self.writes or self.added:
            page = self._merged(page, _covered(page, keys, reverse), limit, reverse)
        if tracked:
            self._track_range(_covered(page, keys, reverse))
        self._must_not_be_ended()
        return page

    def history(self, key: bytes, *, limit: int, before_ts: int | None = None, tracked: bool = True) -> VersionPage:
        """Up to `limit` of the key's versions that the snapshot knows, newest first; our own writes are none."""
        self._must_be_open()
        page = self._store.history_at(self.start_ts, key, limit=limit, before_ts=before_ts, is_past=self.is_past)
        if tracked:
            if key in self.added:
                self._turn_into_write(key, self._total(key))
            self._track(key)
        self._must_not_be_ended()
        return page

    def _scan_at(self, ts: int, keys: KeyRange, *, limit: int, reverse: bool, bounds: ScanBounds | None) -> Page:
        """One page of the snapshot."""
        if self.is_past:
            return self._store.scan_past(ts, keys, limit=limit, reverse=reverse, bounds=bounds)
        overdue_us = self.overdue_us
        return self._store.scan_at(ts, keys, limit=limit, reverse=reverse, bounds=bounds, overdue_us=overdue_us)

    def _merged(self, page: Page, seen: KeyRange, limit: int, reverse: bool) -> Page:
        """The page, which covers the range `seen` of the index, with our own writes in that range laid over it."""
        items: dict[bytes, bytes] = dict(page.items)
        for key in self._own_keys(seen):
            value = self._own(key, items)
            if value is None:
                items.pop(key, None)
            else:
                items[key] = value
        ordered = sorted(items.items(), reverse=reverse)
        if len(ordered) <= limit:
            return Page(ordered, page.next)
        return Page(ordered[:limit], ordered[limit - 1][0] if reverse else ordered[limit][0])

    def _own(self, key: bytes, items: dict[bytes, bytes]) -> bytes | None:
        if key in self.writes:
            return self.writes[key]
        return add_to(items.get(key), self.added[key])

    def _own_keys(self, seen: KeyRange) -> list[bytes]:
        """Our written keys in the range, in order."""
        if self._sorted is None:
            self._sorted = sorted([*self.writes, *self.added])
        low = bisect_left(self._sorted, seen.low)
        high = len(self._sorted) if seen.high is None else bisect_left(self._sorted, seen.high)
        return self._sorted[low:high]

    # Remembering what was read

    def _track(self, key: bytes) -> None:
        if self.read_only:
            return
        reads = self.reads
        if reads is None:
            reads = self.reads = ReadSet(key)
        else:
            reads.add_key(key)
        if reads.used_bytes > self._store.read_set_bytes_max:
            self._reads_too_much(reads)

    def _track_range(self, keys: KeyRange) -> None:
        if self.read_only:
            return
        reads = self.reads = self.reads or ReadSet()
        for key in self._own_keys(keys) if self.added else ():
            if key in self.added:
                self._turn_into_write(key, self._total(key))
        reads.add_range(keys.low, keys.high)
        if reads.used_bytes > self._store.read_set_bytes_max:
            self._reads_too_much(reads)

    def _reads_too_much(self, reads: ReadSet) -> None:
        """What can't be remembered can't be validated; without that, it only counts as read."""
        if not self.is_serializable:
            reads.become_everything()
            return
        limit = self._store.read_set_bytes_max
        raise self._refused(
            LimitExceededError(
                f"remembering what this serializable transaction has read takes {reads.used_bytes} bytes, and may take "
                f"{limit}; read less, scan ranges rather than single keys, read through its `snapshot` what need not "
                "be tracked, or raise --max-read-set-bytes",
                limit=limit,
                actual=reads.used_bytes,
                setting="--max-read-set-bytes",
            )
        )

    # Writing

    def put(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        """Buffer a write; with `ttl_s`, of a value that is there for so many seconds from now."""
        if not self._open or self.ended is not None or self.read_only:
            self._must_be_writable()
        if ttl_s is not None:
            value = expiring(value, ttl_s, self._store.now_us())
        if key not in self.writes:
            self._sorted = None
            if self.added:
                self.added.pop(key, None)
        self.writes[key] = value

    def delete(self, key: bytes) -> bool:
        """Buffer a deletion; whether the key was there.

        A key that the snapshot doesn't hold leaves the write set: putting and deleting it again changed nothing.
        """
        self._must_be_writable()
        if self.get(key) is None:
            return False
        self._sorted = None
        self._track(key)  # what the snapshot holds is told by what becomes of the write
        if self._get_at(self.start_ts, key) is None:
            del self.writes[key]
        else:
            self.writes[key] = None
        return True

    def add(self, key: bytes, by: bytes) -> None:
        """Add `by`, a JSON number, to what the key is when this commits.

        Raises `BadRequestError` if `by`, or what the key is now, is no number, or their sum is too large for a float.
        """
        self._must_be_writable()
        try:
            self._add(key, by)
        except BadRequestError as error:
            raise self._refused(error) from None

    def _add(self, key: bytes, by: bytes) -> None:
        if key in self.writes:
            self.writes[key] = add_to(self.writes[key], by)
            return
        by = add_numbers(self.added.get(key, _ZERO), by)
        total = add_to(self._get_at(self.start_ts, key), by)
        self._sorted = None
        if self.reads is not None and key in self.reads:
            self.writes[key] = total
        else:
            self.added[key] = by

    def _total(self, key: bytes) -> bytes:
        """What the key, which was added to, is in this transaction."""
        return add_to(self._get_at(self.start_ts, key), self.added[key])

    def _turn_into_write(self, key: bytes, total: bytes) -> None:
        if not self.read_only:
            del self.added[key]
            self.writes[key] = total

    # The end

    def commit(self, token: str | None = None) -> int:
        """Apply every write at once; the commit_ts, or start_ts if there was nothing to write.

        A commit whose `token` was applied before is not applied again; it returns what that one did.
        Raises `ConflictError` if another transaction won a key that this one wrote, or, serializable, read.
        Over in any case.
        """
        was_open, self._open = self._open, False
        if not was_open or self.ended is not None:
            self._must_have_been_open(was_open)
        self.token = token
        self.commit_ts = commit_ts = self._store.commit(self)
        return commit_ts

    def close(self, commit_ts: int) -> None:
        """It is over: somebody else has committed it, under the store's lock."""
        self._open = False
        self.commit_ts = commit_ts

    def rollback(self) -> None:
        """Forget every write; does nothing if the transaction is over."""
        if self._open:
            self._open = False
            self._store.rollback(self)

    def __del__(self) -> None:
        if self._open:
            self._store.abandon(self)

    def _refused(self, error: Error) -> Error:
        """The error, for raising: with it this transaction is doomed, as a client's is by a command that is refused.

        Who goes on all the same would write what rests on an answer that nobody remembers.
        """
        if self.ended is None:
            self.ended = TransactionDoomedError(
                f"an earlier call of this transaction was refused ({error.code}), so nothing of it is applied: roll it "
                "back, and run it again",
                cause={"code": error.code, "message": error.message},
            )
            self._store.rollback(self)
        return error

    def _must_be_open(self) -> None:
        self._must_have_been_open(self._open)

    def _must_have_been_open(self, was_open: bool) -> None:
        if not was_open:
            raise NoTransactionError("this transaction is over; begin another one")
        self._must_not_be_ended()

    def _must_not_be_ended(self) -> None:
        """Who was ended while he read may have read what is not there any more."""
        if self.ended is not None:
            raise self.ended.again()

    def _must_be_writable(self) -> None:
        self._must_be_open()
        if self.read_only:
            raise ReadOnlyError("this transaction is read-only; begin one without read_only to write")


def _covered(page: Page, keys: KeyRange, reverse: bool) -> KeyRange:
    """The part of the range that the page is about: up to its `next`."""
    if page.next is None:
        return keys
    if reverse:
        return KeyRange(start=page.next, end=keys.high)
    return KeyRange(start=keys.low, end=page.next)
