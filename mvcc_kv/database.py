"""The Database that Python code holds: str keys and Python values over any store.

    db["alice"] = {"n": 1}            tx = db.transaction()
          |                                 |
    StoreDatabase                     StoreDatabaseTransaction      str and objects   (this module)
          |  encode_key, encode_value       |
    Store.put(b"alice", b'{"n":1}')   StoreTransaction.put(...)     bytes: the engine, or the TCP client

There is one of it for all fronts, so that embedded and remote can't come to differ: what a key or a
value may be, when a `KeyError` is raised and when a transaction is over is all decided here. Whether a
transaction conflicts is the store's business, when it is run again that of `mvcc_kv.retry`.

Threads may share a database. A transaction belongs to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from mvcc_kv import retry
from mvcc_kv.api import (
    Durability,
    Isolation,
    Keeper,
    KeyRange,
    Page,
    Store,
    StoreTransaction,
    Transaction,
    TransactionOptions,
)
from mvcc_kv.errors import BadRequestError, Error, KeyNotFoundError, NoTransactionError, UnavailableError
from mvcc_kv.values import decode_key, decode_value, encode_key, encode_value

__all__ = ["MemoryKeeper", "StoreDatabase", "StoreDatabaseTransaction"]

P = ParamSpec("P")
R = TypeVar("R")

PAGE_ITEMS = 1000


class _Cells(Protocol):
    """What a store and an open transaction of it have in common."""

    def get(self, key: bytes) -> bytes | None: ...
    def delete(self, key: bytes) -> bool: ...
    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False) -> Page: ...


class MemoryKeeper:
    """The keeper of a store that is kept nowhere."""

    def checkpoint(self) -> int:
        """Refuse: there is nowhere to write to."""
        raise UnavailableError(
            'this database is in memory only and can\'t be checkpointed; open a directory: mvcc_kv.open("data")',
            retryable=False,
        )

    def close(self) -> None:
        """Nothing to put away."""


class StoreDatabase:
    """A database over `store`, looked after by `keeper`. Made by `mvcc_kv.open` and `mvcc_kv.connect`.

    Item access commits by itself: each access is a transaction of its own, whose writes never conflict.
    What a read returns is the caller's own copy.

    >>> import mvcc_kv
    >>> db = mvcc_kv.open(":memory:")
    >>> db["fruit"] = ["apple"]
    >>> db["fruit"].append("pear")
    >>> db["fruit"]
    ['apple']
    >>> del db["fruit"]
    >>> db["fruit"]
    Traceback (most recent call last):
    mvcc_kv.errors.KeyNotFoundError: Key not found: 'fruit'
    """

    def __init__(self, store: Store, keeper: Keeper) -> None:
        self._store = store
        self._keeper = keeper
        self._closed = False

    def __getitem__(self, key: str) -> Any:
        return _read(self._opened(), key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: str) -> None:
        _delete(self._opened(), key)

    def __contains__(self, key: object) -> bool:
        return _holds(self._opened(), key)

    def __iter__(self) -> Iterator[str]:
        """All keys in byte order, read as `scan` reads."""
        return map(_key_of, _items(self._opened, KeyRange(), None, False))

    def get(self, key: str, default: Any = None) -> Any:
        """The key's value, or `default` if it has none."""
        return _read_or(self._opened(), key, default)

    def put(self, key: str, value: Any) -> None:
        """Set the key's value: anything JSON can hold. Raises `BadRequestError` for anything else."""
        self._opened().put(encode_key(key), encode_value(value))

    def delete(self, key: str) -> bool:
        """Delete the key if it is there; whether it was."""
        return self._opened().delete(encode_key(key))

    def scan(
        self,
        *,
        prefix: str = "",
        start: str = "",
        end: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[str, Any]]:
        """The items with `start <= key < end` that begin with `prefix`, in byte order of their keys.

        Lazy, a thousand items a request, and each request reads what is newest then: scan in a
        transaction where all items are to be of one snapshot.

        >>> import mvcc_kv
        >>> db = mvcc_kv.open(":memory:")
        >>> db["user:1"], db["user:2"], db["visits"] = "ann", "bob", 7
        >>> list(db.scan(prefix="user:", reverse=True))
        [('user:2', 'bob'), ('user:1', 'ann')]
        >>> list(db.scan(start="user:2", limit=5))
        [('user:2', 'bob'), ('visits', 7)]
        """
        return _scan(self._opened, prefix, start, end, limit, reverse)

    def transaction(
        self,
        *,
        isolation: Isolation = "snapshot",
        read_only: bool = False,
        at: int | None = None,
        label: str | None = None,
        durability: Durability = "default",
    ) -> StoreDatabaseTransaction:
        """A new transaction. Its snapshot is taken now, not at its first read.

        One attempt: a lost race is a `ConflictError` from its commit. `run`, `attempts` and
        `@transactional` are the same with retries.

        `durability="none"`: its commit doesn't wait for the disk. You see it at once; until a later commit
        that waits, a power loss may take it away, and over TCP a crash of the server too.

        >>> import mvcc_kv
        >>> db = mvcc_kv.open(":memory:")
        >>> with db.transaction() as tx:
        ...     tx["alice"] = 90
        ...     tx["bob"] = 10
        >>> tx.commit_ts == tx.start_ts + 1
        True
        """
        if durability not in ("default", "none"):
            raise BadRequestError(f'durability is "default" or "none", not {durability!r}')
        return self.begin(TransactionOptions(isolation, read_only, at, label, durability))

    def begin(self, options: TransactionOptions) -> StoreDatabaseTransaction:
        """What `transaction` does, and what retries use: they know of turns."""
        return StoreDatabaseTransaction(self._opened().begin(options), self._opened, options.turn)

    def run(self, fn: Callable[Concatenate[Transaction, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What `fn(tx, *args, **kwargs)` returned in the transaction that committed; see `mvcc_kv.retry.run`."""
        return retry.run(self, fn, *args, **kwargs)

    def attempts(
        self,
        *,
        policy: retry.RetryPolicy = retry.DEFAULT_POLICY,
        timing: retry.Timing = retry.REAL_TIMING,
        isolation: Isolation = "snapshot",
        read_only: bool = False,
        label: str | None = None,
        durability: Durability = "default",
    ) -> Iterator[retry.Attempt]:
        """Attempts at one transaction, ending with the one that commits; see `mvcc_kv.retry.attempts`."""
        options = TransactionOptions(isolation, read_only, None, label, durability)
        return retry.attempts(self, policy=policy, timing=timing, options=options)

    def stats(self) -> dict[str, Any]:
        """Counters and sizes, by the names that STATS uses."""
        return self._opened().stats()

    def checkpoint(self) -> int:
        """Write a checkpoint; the `commit_ts` up to which it holds everything."""
        self._opened()
        return self._keeper.checkpoint()

    def close(self) -> None:
        """Put files or connections away. What uses the database afterwards raises `UnavailableError`."""
        self._closed = True
        self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _opened(self) -> Store:
        if self._closed:
            raise UnavailableError("this database was closed; open or connect again", retryable=False)
        return self._store


class StoreDatabaseTransaction:
    """A transaction: a mapping of one snapshot plus its own writes, which nobody else sees before the commit.

    As a context manager it commits at the end and rolls back on an exception. Without `with`, call
    `commit` or `rollback`. After either it is over, and using it raises `NoTransactionError`.

    >>> import mvcc_kv
    >>> db = mvcc_kv.open(":memory:")
    >>> tx = db.transaction()
    >>> tx["stock"] = 3
    >>> "stock" in tx, "stock" in db
    (True, False)
    >>> tx.rollback()
    >>> tx["stock"]
    Traceback (most recent call last):
    mvcc_kv.errors.NoTransactionError: this transaction is over (it was rolled back); begin another
    """

    def __init__(self, tx: StoreTransaction, require_database: Callable[[], object], turn: bytes | None = None) -> None:
        self._tx = tx
        self._require_database = require_database
        self._ended: str | None = None
        self._turn = turn
        self._wrote_turn = False

    @property
    def start_ts(self) -> int:
        """The timestamp of its snapshot: it sees what was committed at or before that."""
        return self._tx.start_ts

    @property
    def commit_ts(self) -> int | None:
        """The timestamp of its commit (`start_ts` if it wrote nothing), or None while there is none."""
        return self._tx.commit_ts

    @property
    def is_contended(self) -> bool:
        """Whether it had to wait for the turn that it asked for, or others wait behind it."""
        return self._tx.is_contended

    @property
    def wrote_turn(self) -> bool:
        """Whether it wrote the key whose turn it had asked for."""
        return self._wrote_turn

    def __getitem__(self, key: str) -> Any:
        return _read(self._running(), key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: str) -> None:
        _delete(self._running(), key)

    def __contains__(self, key: object) -> bool:
        return _holds(self._running(), key)

    def __iter__(self) -> Iterator[str]:
        """All keys that this transaction sees, in byte order."""
        return map(_key_of, _items(self._running, KeyRange(), None, False))

    def get(self, key: str, default: Any = None) -> Any:
        """The key's value in this transaction, or `default` if it has none."""
        return _read_or(self._running(), key, default)

    def put(self, key: str, value: Any) -> None:
        """Set the key's value, from the commit on. Over TCP a refusal may surface at the next call that reads."""
        self._running().put(self._written(key), encode_value(value))

    def delete(self, key: str) -> bool:
        """Delete the key, from the commit on, if it is there; whether it was."""
        return self._running().delete(self._written(key))

    def scan(
        self,
        *,
        prefix: str = "",
        start: str = "",
        end: str | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[str, Any]]:
        """The items with `start <= key < end` that begin with `prefix`, this transaction's own writes among them.

        Lazy, a thousand items a request. A write made while it runs is seen if it lies ahead by more than a request.
        """
        return _scan(self._running, prefix, start, end, limit, reverse)

    def commit(self) -> int:
        """Apply all writes at once; the `commit_ts`, or `start_ts` if there were none. It is over then, come what may.

        Raises `ConflictError` if another commit took one of the keys first. Over TCP, a connection that is lost before
        the answer came is made anew and the server asked; `CommitUnknownError` if it doesn't come back in time.
        """
        tx = self._running()
        self._ended = "its commit failed"
        commit_ts = tx.commit()
        self._ended = f"it committed at {commit_ts}"
        return commit_ts

    def rollback(self) -> None:
        """Forget all writes. A transaction that is over is left alone."""
        if self._ended is None:
            self._ended = "it was rolled back"
            self._tx.rollback()

    def __enter__(self) -> Self:
        self._running()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._ended is not None:
            return
        if exc_info == (None, None, None):
            self.commit()
            return
        with suppress(Error):  # what went wrong first is the news
            self.rollback()

    def _written(self, key: str) -> bytes:
        """The key's bytes, for a write."""
        encoded = encode_key(key)
        if encoded == self._turn:
            self._wrote_turn = True
        return encoded

    def _running(self) -> StoreTransaction:
        if self._ended is not None:
            raise NoTransactionError(f"this transaction is over ({self._ended}); begin another")
        try:
            self._require_database()
        except Error:
            self.rollback()
            raise
        return self._tx


def _read(cells: _Cells, key: str) -> Any:
    text = cells.get(encode_key(key))
    if text is None:
        raise KeyNotFoundError(f"Key not found: {key!r}", key=key)
    return decode_value(text)


def _read_or(cells: _Cells, key: str, default: Any) -> Any:
    text = cells.get(encode_key(key))
    return default if text is None else decode_value(text)


def _delete(cells: _Cells, key: str) -> None:
    if not cells.delete(encode_key(key)):
        raise KeyNotFoundError(f"Key not found: {key!r}", key=key)


def _holds(cells: _Cells, key: object) -> bool:
    return cells.get(encode_key(key)) is not None  # type: ignore[arg-type]  # encode_key refuses what is no str


def _scan(
    cells: Callable[[], _Cells], prefix: str, start: str, end: str | None, limit: int | None, reverse: bool
) -> Iterator[tuple[str, Any]]:
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise BadRequestError(f"limit is a whole number from 0 on, or None for all, not {limit!r}")
    keys = KeyRange(encode_key(prefix), encode_key(start), None if end is None else encode_key(end))
    cells()  # refused now, not at the first item
    return ((decode_key(key), decode_value(text)) for key, text in _items(cells, keys, limit, reverse))


def _items(
    cells: Callable[[], _Cells], keys: KeyRange, limit: int | None, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Page after page of the range. Pages may come short, even empty; only a `next` of None is the end."""
    left = limit
    while left is None or left > 0:
        page = cells().scan(keys, limit=PAGE_ITEMS if left is None else min(left, PAGE_ITEMS), reverse=reverse)
        yield from page.items
        if page.next is None:
            return
        if left is not None:
            left -= len(page.items)
        keys = keys.resumed(page.next, reverse=reverse)


def _key_of(item: tuple[bytes, bytes]) -> str:
    return decode_key(item[0])
