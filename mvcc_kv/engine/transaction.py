"""A transaction: one snapshot, and a buffer of writes that nobody else sees.

Reads look into the buffer first, then into the snapshot. Nothing is locked and nothing is written
before the commit, so a rollback has nothing to undo, and an open transaction is in nobody's way.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Protocol

from mvcc_kv.api import KeyRange, Page, TransactionOptions
from mvcc_kv.engine.turns import Ticket
from mvcc_kv.errors import NoTransactionError, ReadOnlyError

__all__ = ["Transaction"]


class _Home(Protocol):
    """What a transaction needs of its store."""

    def get_at(self, ts: int, key: bytes) -> bytes | None: ...
    def scan_at(self, ts: int, keys: KeyRange, *, limit: int, reverse: bool = False) -> Page: ...
    def commit(self, transaction: Transaction) -> int: ...
    def rollback(self, transaction: Transaction) -> None: ...
    def abandon(self, transaction: Transaction) -> None: ...
    def end_turn(self, ticket: Ticket) -> None: ...


class Transaction:
    """An open transaction on a `VersionedStore`; satisfies `api.StoreTransaction`. Belongs to one thread."""

    __slots__ = (
        "_open",
        "_sorted",
        "_store",
        "commit_ts",
        "label",
        "read_only",
        "start_ts",
        "ticket",
        "token",
        "waits",
        "writes",
    )

    def __init__(
        self, store: _Home, start_ts: int, options: TransactionOptions, ticket: Ticket | None = None
    ) -> None:
        self._store = store
        self.ticket = ticket  # while it is this transaction's turn, or was
        self._open = True
        self._sorted: list[bytes] | None = None
        self.start_ts = start_ts
        self.commit_ts: int | None = None
        self.read_only = options.read_only
        self.label = options.label
        self.waits = options.durability == "default"
        self.token: str | None = None
        self.writes: dict[bytes, bytes | None] = {}  # None: deleted

    @property
    def is_contended(self) -> bool:
        """Whether it had to wait for the turn that it asked for, or others wait behind it."""
        return self.ticket is not None and (self.ticket.waited or self.ticket.waiting > 0)

    @property
    def is_open(self) -> bool:
        """Whether it has neither been committed nor rolled back."""
        return self._open

    def get(self, key: bytes) -> bytes | None:
        """The key's value here: our own write, or what the snapshot holds; None if there is none."""
        self._must_be_open()
        if key in self.writes:
            return self.writes[key]
        return self._store.get_at(self.start_ts, key)

    def put(self, key: bytes, value: bytes) -> None:
        """Buffer a write."""
        self._must_be_writable()
        if key not in self.writes:
            self._sorted = None
        self.writes[key] = value

    def delete(self, key: bytes) -> bool:
        """Buffer a deletion; whether the key was there.

        A key that the snapshot doesn't hold leaves the write set: putting and deleting it again changed nothing.
        """
        self._must_be_writable()
        if self.get(key) is None:
            return False
        self._sorted = None
        if self._store.get_at(self.start_ts, key) is None:
            del self.writes[key]
        else:
            self.writes[key] = None
        return True

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False) -> Page:
        """Up to `limit` items of the snapshot's range with our own writes and deletions in place."""
        self._must_be_open()
        page = self._store.scan_at(self.start_ts, keys, limit=limit, reverse=reverse)
        if not self.writes:
            return page
        rest_starts_at = page.next
        if rest_starts_at is None:
            seen = keys
        elif reverse:
            seen = KeyRange(start=rest_starts_at, end=keys.high)
        else:
            seen = KeyRange(start=keys.low, end=rest_starts_at)
        return self._merged(page, seen, limit, reverse)

    def _merged(self, page: Page, seen: KeyRange, limit: int, reverse: bool) -> Page:
        """The page, which covers the range `seen` of the index, with our own writes in that range laid over it."""
        items: dict[bytes, bytes] = dict(page.items)
        for key in self._own_keys(seen):
            value = self.writes[key]
            if value is None:
                items.pop(key, None)
            else:
                items[key] = value
        ordered = sorted(items.items(), reverse=reverse)
        if len(ordered) <= limit:
            return Page(ordered, page.next)
        return Page(ordered[:limit], ordered[limit - 1][0] if reverse else ordered[limit][0])

    def _own_keys(self, seen: KeyRange) -> list[bytes]:
        """Our written keys in the range, in order."""
        if self._sorted is None:
            self._sorted = sorted(self.writes)
        low = bisect_left(self._sorted, seen.low)
        high = len(self._sorted) if seen.high is None else bisect_left(self._sorted, seen.high)
        return self._sorted[low:high]

    def commit(self, token: str | None = None) -> int:
        """Apply every write at once; the commit_ts, or start_ts if there was nothing to write.

        A commit whose `token` was applied before is not applied again; it returns what that one did.
        Raises `ConflictError` if another transaction won a key that this one wrote. Over in any case.
        """
        self._must_be_open()
        self._open = False
        self.token = token
        try:
            self.commit_ts = self._store.commit(self)
        finally:
            self._end_turn()
        return self.commit_ts

    def rollback(self) -> None:
        """Forget every write; does nothing if the transaction is over."""
        if self._open:
            self._open = False
            self._store.rollback(self)
            self._end_turn()

    def _end_turn(self) -> None:
        if self.ticket is not None:
            self._store.end_turn(self.ticket)

    def __del__(self) -> None:
        if self._open:
            self._store.abandon(self)

    def _must_be_open(self) -> None:
        if not self._open:
            raise NoTransactionError("this transaction is over; begin another one")

    def _must_be_writable(self) -> None:
        self._must_be_open()
        if self.read_only:
            raise ReadOnlyError("this transaction is read-only; begin one without read_only to write")
