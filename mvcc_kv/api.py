"""The interfaces that every front satisfies: embedded, over TCP, and later over other stores.

There are two, one above the other:

    Database, Transaction        what Python code holds: str keys, Python values, mapping access, errors
         |  one implementation, mvcc_kv/database.py, serves every front
    Store, StoreTransaction      the same work in the form it has everywhere below: keys are UTF-8 `bytes`,
                                 values are JSON text as `bytes`. The engine is one, the TCP client another.

The server's sessions speak to a `Store`, so a value goes from the socket to the log without being parsed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

__all__ = [
    "PLAINLY",
    "ChangeStream",
    "Changes",
    "CommittedWrites",
    "Database",
    "Durability",
    "Isolation",
    "Keeper",
    "KeyRange",
    "KeyVersion",
    "OpenTransaction",
    "Page",
    "Readable",
    "Store",
    "StoreTransaction",
    "Transaction",
    "TransactionOptions",
    "Version",
    "VersionPage",
]

T = TypeVar("T")
Isolation = Literal["snapshot", "serializable"]
Durability = Literal["default", "none"]


@dataclass(frozen=True, slots=True)
class TransactionOptions:
    """How a transaction is to run. `at` reads an older timestamp; `label` names it in others' conflict reports.

    `durability`: "none" commits without waiting for the disk; see `StoreDatabase.transaction`.
    `turn`: a key that this transaction has lost before, or is likely to; it begins when others that asked for the same
    key have had their turn. `lost`: how many attempts it has lost; who has lost more goes first.
    """

    isolation: Isolation = "snapshot"
    read_only: bool = False
    at: int | None = None
    label: str | None = None
    durability: Durability = "default"
    turn: bytes | None = None
    lost: int = 0


PLAINLY = TransactionOptions()
"""How nearly all transactions are to run: of these options nothing has to be looked at."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys that begin with `prefix` and satisfy `start <= key < end` (half-open), in byte order."""

    prefix: bytes = b""
    start: bytes = b""
    end: bytes | None = None
    low: bytes = field(init=False, repr=False, compare=False)
    high: bytes | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        after = _successor_of_prefix(self.prefix)
        high = self.end if after is None else after if self.end is None else min(self.end, after)
        object.__setattr__(self, "low", max(self.prefix, self.start))
        object.__setattr__(self, "high", high)

    def __contains__(self, key: bytes) -> bool:
        return key >= self.low and (self.high is None or key < self.high)

    def resumed(self, at: bytes, *, reverse: bool) -> KeyRange:
        """What is left of this range after a page whose `next` was `at`."""
        if reverse:
            return KeyRange(self.prefix, self.start, at)
        return KeyRange(self.prefix, at, self.end)


def _successor_of_prefix(prefix: bytes) -> bytes | None:
    """The least byte string above every string that begins with `prefix`; None if there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


class Page(NamedTuple):
    """Part of a scan, in the order asked for.

    `next` is None when the range is exhausted; else where the rest begins: the first key not yet
    looked at (forward), or the last one that was, which is the rest's exclusive end (reverse).
    A page may hold fewer items than the limit, even none, and still have a `next`.
    """

    items: list[tuple[bytes, bytes]]
    next: bytes | None


class KeyVersion(NamedTuple):
    """A committed value of a key, None if it was deleted. `time_us`: microseconds since 1970, if still known."""

    commit_ts: int
    value: bytes | None
    time_us: int | None = None
    label: str | None = None


class VersionPage(NamedTuple):
    """Some of a key's versions, newest first.

    `next`: the rest are those before this commit_ts; None if there are no more. `oldest_ts`: what the key held before
    that commit is not known any more.
    """

    versions: list[KeyVersion]
    next: int | None
    oldest_ts: int


class CommittedWrites(NamedTuple):
    """What one commit changed: `(key, value)` pairs, a value of None being a deletion. `time_us` since 1970."""

    commit_ts: int
    time_us: int
    label: str | None
    writes: tuple[tuple[bytes, bytes | None], ...]

    def under(self, prefix: bytes) -> CommittedWrites | None:
        """What it changed of the keys that begin with `prefix`; None if nothing."""
        if not prefix:
            return self
        writes = tuple(it for it in self.writes if it[0].startswith(prefix))
        return self._replace(writes=writes) if writes else None


class ChangeStream(Protocol):
    """The commits from some point on, in order and none left out, as they become visible."""

    @property
    def ts(self) -> int:
        """Every commit up to this one was given out, or concerned none of the keys asked for."""
        ...

    def next(self, timeout_s: float) -> CommittedWrites | None:
        """The next commit. None if there is none yet: after so long at most, and perhaps sooner.

        Raises `SnapshotGoneError` (evidence `oldest_ts`) if it has fallen so far behind that commits are missing.
        """
        ...

    def close(self) -> None:
        """End it. Calling it again does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Changes:
    """What one commit changed, as `Database.changes` tells it. `time`: when it was, in UTC, if that is known.

    `expires`: until when those of the puts are there that were put for a time.
    """

    commit_ts: int
    time: datetime | None
    label: str | None
    puts: dict[str, Any]
    deletes: list[str]
    expires: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """An open transaction as others see it.

    `pinned_bytes`: old versions that only it keeps alive. `read_set_bytes`: what remembering its reads takes.
    """

    id: int
    age_s: float
    start_ts: int
    isolation: Isolation
    read_only: bool
    label: str | None
    client: str | None
    keys_written: int
    read_set_bytes: int
    pinned_bytes: int


class StoreTransaction(Protocol):
    """An open transaction: reads see the snapshot at `start_ts` and its own writes; it belongs to one thread."""

    @property
    def start_ts(self) -> int: ...
    @property
    def commit_ts(self) -> int | None: ...
    @property
    def is_doomed(self) -> bool:
        """Whether it has lost already: a commit now could only be a `ConflictError`."""
        ...

    @property
    def is_contended(self) -> bool:
        """Whether it had to wait for the turn that it asked for, or others wait behind it."""
        ...

    @property
    def wrote_turn(self) -> bool:
        """Whether it wrote the key whose turn it had asked for."""
        ...

    def get(self, key: bytes, *, tracked: bool = True) -> bytes | None:
        """The value's JSON text, or None if the key has none.

        Here and below, `tracked=False` reads as if it had not: what others do to it is no conflict.
        """
        ...

    def get_with_ttl(self, key: bytes, *, tracked: bool = True) -> tuple[bytes, float | None] | None:
        """The value's JSON text and how many seconds it will be there, None if it stays; None if the key has none."""
        ...

    def put(self, key: bytes, value: bytes, *, ttl_s: float | None = None) -> None:
        """Buffer a write; with `ttl_s`, of a value that is there for so many seconds from now.

        Raises `ReadOnlyError` in a read-only transaction.
        """
        ...

    def delete(self, key: bytes) -> bool:
        """Buffer a deletion; whether the key was there. Raises `ReadOnlyError` in a read-only transaction."""
        ...

    def add(self, key: bytes, by: bytes) -> None:
        """Add `by`, a JSON number, to the key's number at the commit; a key that isn't there counts as 0.

        Raises `BadRequestError` if one of them is not a number, `ReadOnlyError` in a read-only transaction.
        """
        ...

    def scan(
        self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False, tracked: bool = True
    ) -> Page:
        """Up to `limit` items of the range, merged with this transaction's own writes.

        With `keys_only`, here and below, values may be left out: they are then `b""`.
        """
        ...

    def history(self, key: bytes, *, limit: int, before_ts: int | None = None, tracked: bool = True) -> VersionPage:
        """Up to `limit` of the key's versions that the snapshot knows, before the commit at `before_ts` if given."""
        ...

    def commit(self) -> int:
        """Apply all writes at once and return their commit_ts (start_ts if there were none). Raises `ConflictError`."""
        ...

    def rollback(self) -> None:
        """Forget all writes. A transaction that is over is left alone."""
        ...


class Store(Protocol):
    """A transactional store in wire form. Outside `begin`, each call is its own transaction and never conflicts."""

    def get(self, key: bytes) -> bytes | None: ...
    def get_with_ttl(self, key: bytes) -> tuple[bytes, float | None] | None: ...
    def put(self, key: bytes, value: bytes, *, ttl_s: float | None = None) -> None: ...
    def delete(self, key: bytes) -> bool: ...
    def add(self, key: bytes, by: bytes) -> bytes:
        """Add to the key's number and commit; what it is then. Errors as in `StoreTransaction.add`."""
        ...

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page: ...
    def history(self, key: bytes, *, limit: int, before_ts: int | None = None) -> VersionPage: ...
    def changes(self, prefix: bytes = b"", from_ts: int | None = None) -> ChangeStream:
        """The commits after `from_ts`, from now on if it is None, with what they change of the keys under `prefix`.

        Raises `SnapshotGoneError` (evidence `oldest_ts`) if they aren't kept any more, `BadRequestError` for a
        timestamp in the future.
        """
        ...

    def begin(self, options: TransactionOptions) -> StoreTransaction:
        """Open a transaction. Raises `SnapshotGoneError` if the timestamp asked for can't be read any more."""
        ...

    def transactions(self) -> list[OpenTransaction]:
        """The open transactions, the oldest snapshot first."""
        ...

    def kill(self, transaction_id: int) -> bool:
        """Roll an open transaction back; its owner is told at its next call. Whether there was one of that id."""
        ...

    def stats(self) -> dict[str, Any]:
        """Counters and sizes by the names of the contract's STATS."""
        ...


class Keeper(Protocol):
    """Who looks after a store's files or connections."""

    def checkpoint(self) -> int:
        """Write a checkpoint and return its commit_ts when it is on disk."""
        ...

    def close(self) -> None:
        """Put everything away. Calling it again does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Version:
    """What a key held from the commit at `commit_ts` on: `value`, which is None if it was deleted.

    `time` (in UTC) and `label` are the commit's, as far as they are still known.
    """

    commit_ts: int
    value: Any
    is_deleted: bool = False
    time: datetime | None = None
    label: str | None = None


class Readable(Protocol):
    """What can be read in Python's terms: a database, a transaction, the `snapshot` of one."""

    def __getitem__(self, key: str) -> Any: ...
    def __contains__(self, key: object) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def get(self, key: str, default: Any = None) -> Any: ...
    def scan(
        self,
        *,
        prefix: str = "",
        start: str = "",
        end: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[str, Any]]: ...
    def keys(
        self,
        *,
        prefix: str = "",
        start: str = "",
        end: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[str]: ...
    def history(self, key: str, *, limit: int | None = None) -> Iterator[Version]: ...
    def ttl(self, key: str) -> float | None: ...


class Transaction(Readable, Protocol):
    """A transaction in Python's terms: a mapping of one snapshot plus its own writes.

    As a context manager it commits at the end and rolls back on an exception.
    """

    @property
    def start_ts(self) -> int: ...
    @property
    def commit_ts(self) -> int | None: ...
    @property
    def is_contended(self) -> bool: ...
    @property
    def wrote_turn(self) -> bool: ...
    @property
    def is_doomed(self) -> bool: ...
    @property
    def snapshot(self) -> Readable: ...

    def __setitem__(self, key: str, value: Any) -> None: ...
    def __delitem__(self, key: str) -> None: ...
    def put(self, key: str, value: Any, *, ttl_s: float | None = None) -> None: ...
    def delete(self, key: str) -> bool: ...
    def add(self, key: str, by: int | float = 1) -> None: ...
    def commit(self) -> int: ...
    def rollback(self) -> None: ...
    def __enter__(self) -> Transaction: ...
    def __exit__(self, kind: object, error: object, traceback: object, /) -> None: ...


class Database(Readable, Protocol):
    """A database in Python's terms: autocommitting mapping access, transactions, and retries."""

    def __setitem__(self, key: str, value: Any) -> None: ...
    def __delitem__(self, key: str) -> None: ...
    def put(self, key: str, value: Any, *, ttl_s: float | None = None) -> None: ...
    def delete(self, key: str) -> bool: ...
    def add(self, key: str, by: int | float = 1) -> int | float: ...
    def transaction(
        self,
        *,
        isolation: Isolation = "snapshot",
        read_only: bool = False,
        at: int | None = None,
        label: str | None = None,
        durability: Durability = "default",
    ) -> Transaction: ...
    def begin(self, options: TransactionOptions) -> Transaction:
        """What `transaction` does, and what retries use: they know of turns."""
        ...

    def changes(
        self, *, prefix: str = "", from_ts: int | None = None, timeout_s: float | None = None
    ) -> Iterator[Changes]: ...
    def run(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...
    def attempts(self) -> Iterator[AbstractContextManager[Transaction]]: ...
    def transactions(self) -> list[OpenTransaction]: ...
    def kill(self, transaction_id: int) -> bool: ...
    def stats(self) -> dict[str, Any]: ...
    def checkpoint(self) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> Database: ...
    def __exit__(self, *exc_info: object) -> None: ...
