"""The Database that Python code holds: str keys and Python values over any store.

    db["alice"] = {"n": 1}            tx = db.transaction()
          |                                 |
    StoreDatabase                     StoreDatabaseTransaction      str and objects   (this module)
          |  encode_key, encode_value       |
    Store.put(b"alice", b'{"n":1}')   StoreTransaction.put(...)     bytes: the engine, or the TCP client

There is one of it for all fronts, so that embedded and remote can't come to differ: what a key or a
value may be, when a `KeyError` is raised and when a transaction is over is all decided here. How either of them is
read is said once, in `mvcc_kv.mapping`. Whether a transaction conflicts is the store's business, when it is run again
that of `mvcc_kv.retry`.

Threads may share a database. A transaction belongs to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from mvcc_kv import mapping, retry
from mvcc_kv.api import (
    PLAINLY,
    Durability,
    Isolation,
    Keeper,
    KeyRange,
    OpenTransaction,
    Page,
    Store,
    StoreTransaction,
    Transaction,
    TransactionOptions,
    VersionPage,
)
from mvcc_kv.changes import ChangeFeed, check_feed_arguments
from mvcc_kv.errors import BadRequestError, Error, NoTransactionError, UnavailableError
from mvcc_kv.values import decode_value, encode_key, encode_number, encode_value

__all__ = ["MemoryKeeper", "StoreDatabase", "StoreDatabaseTransaction", "TransactionSnapshot"]

_READ_ONLY_OPTIONS = TransactionOptions(read_only=True)
_COMMITTED = "it committed"

P = ParamSpec("P")
R = TypeVar("R")


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
        self.is_closed = False

    __getitem__ = mapping.getitem
    __delitem__ = mapping.delitem
    __contains__ = mapping.contains
    __iter__ = mapping.iterate
    get = mapping.get
    scan = mapping.scan
    keys = mapping.keys
    history = mapping.history
    ttl = mapping.ttl

    def put(self, key: str, value: Any, *, ttl_s: float | None = None) -> None:
        """Set the key's value: anything JSON can hold. Raises `BadRequestError` for anything else.

        With `ttl_s` the key is there for so many seconds, by the store's clock, and then deleted; see `ttl`. Another
        put makes it stay, or sets another time; `add` leaves the time as it is.
        """
        self._cells().put(encode_key(key), encode_value(value), ttl_s=ttl_s)

    __setitem__ = put

    def delete(self, key: str) -> bool:
        """Delete the key if it is there; whether it was."""
        return self._cells().delete(encode_key(key))

    def add(self, key: str, by: int | float = 1) -> int | float:
        """Add to the key's number, one that is missing being 0; what it is then.

        Integers are exact at any size; with a float anywhere the sum is one. Raises `BadRequestError` if the key or
        `by` is no number, or the sum too large for a float.

        >>> import mvcc_kv
        >>> db = mvcc_kv.open(":memory:")
        >>> db.add("hits"), db.add("hits", 10**20), db.add("hits", 0.5)
        (1, 100000000000000000001, 1e+20)
        """
        total: int | float = decode_value(self._cells().add(encode_key(key), encode_number(by)))
        return total

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

        `isolation="serializable"`: it also loses to whoever changed what it has read, ranges as they were asked for
        included; those that commit are as if they had run one after the other. `read_only`: it can't write, and
        never loses. `at` reads the state of an older commit_ts, as far back as history is retained; raises
        `SnapshotGoneError` beyond that. `label` names it in the conflict reports of others.

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
        if isolation == "snapshot" and at is None and label is None and durability == "default":
            # made once: to make them anew takes as long as to begin
            return self.begin(_READ_ONLY_OPTIONS if read_only else PLAINLY)
        if durability not in ("default", "none"):
            raise BadRequestError(f'durability is "default" or "none", not {durability!r}')
        if at is not None and (not isinstance(at, int) or isinstance(at, bool) or at < 0):
            raise BadRequestError(f"at is a commit_ts, a whole number from 0 on, not {at!r}")
        return self.begin(TransactionOptions(isolation, read_only, at, label, durability))

    def begin(self, options: TransactionOptions) -> StoreDatabaseTransaction:
        """What `transaction` does, and what retries use: they know of turns."""
        if self.is_closed:
            raise _closed()
        return StoreDatabaseTransaction(self._store.begin(options), self)

    def run(self, fn: Callable[Concatenate[Transaction, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What `fn(tx, *args, **kwargs)` returned in the transaction that committed; see `mvcc_kv.retry.run`."""
        return retry.run(self, fn, *args, **kwargs)

    def attempts(
        self,
        *,
        policy: retry.RetryPolicy = retry.DEFAULT_POLICY,
        timing: retry.Timing | None = None,
        isolation: Isolation = "snapshot",
        read_only: bool = False,
        label: str | None = None,
        durability: Durability = "default",
    ) -> Iterator[retry.Attempt]:
        """Attempts at one transaction, ending with the one that commits; see `mvcc_kv.retry.attempts`."""
        options = TransactionOptions(isolation, read_only, None, label, durability)
        return retry.attempts(self, policy=policy, timing=timing, options=options)

    def transactions(self) -> list[OpenTransaction]:
        """The open transactions, everybody's, the oldest snapshot first. A server lists a thousand at most."""
        return self._cells().transactions()

    def kill(self, transaction_id: int) -> bool:
        """Roll an open transaction back, by the `id` in `transactions`; whether there was one.

        Whoever has it gets a `TransactionDoomedError` at its next call.
        """
        if not isinstance(transaction_id, int) or isinstance(transaction_id, bool):
            raise BadRequestError(f"a transaction's id is a whole number, not {transaction_id!r}")
        return self._cells().kill(transaction_id)

    def changes(self, *, prefix: str = "", from_ts: int | None = None, timeout_s: float | None = None) -> ChangeFeed:
        """The commits after `from_ts`, in order and none left out: an iterator that waits for the next one.

        Without `from_ts` they are those from now on, from this call. With `prefix` they are those that changed a key
        under it, with that part of what they changed. It ends when nothing came for `timeout_s`; see `ChangeFeed`.
        Others' commits come when they are durable.

        Over TCP it has a connection of its own, and makes a new one when that is lost. Raises `SnapshotGoneError` if
        the commits after `from_ts` aren't kept any more (evidence `oldest_ts`: begin there, after reading the state),
        `BadRequestError` if it is in the future.
        """
        check_feed_arguments(from_ts, timeout_s)
        return ChangeFeed(self._cells().changes(encode_key(prefix), from_ts), self._cells, timeout_s)

    def through(self, wrap: Callable[[Store], Store]) -> StoreDatabase:
        """The same database, its requests led through what `wrap` makes of its store: to watch, count or delay them."""
        return StoreDatabase(wrap(self._cells()), self._keeper)

    def stats(self) -> dict[str, Any]:
        """Counters and sizes, by the names that STATS uses."""
        return self._cells().stats()

    def checkpoint(self) -> int:
        """Write a checkpoint; the `commit_ts` up to which it holds everything."""
        self._cells()
        return self._keeper.checkpoint()

    def close(self) -> None:
        """Put files or connections away. What uses the database afterwards raises `UnavailableError`."""
        self.is_closed = True
        self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _cells(self) -> Store:
        if self.is_closed:
            raise _closed()
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

    __slots__ = ("__weakref__", "_database", "_ended", "_tx")

    def __init__(self, tx: StoreTransaction, database: StoreDatabase) -> None:
        self._tx = tx
        self._database = database
        self._ended: str | None = None

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
        return self._tx.wrote_turn

    @property
    def is_doomed(self) -> bool:
        """Whether it has lost already: a commit now could only fail.

        It may cost as much as the commit's own check, and over TCP a round trip: ask now and then in long work.
        """
        return self._cells().is_doomed

    @property
    def snapshot(self) -> TransactionSnapshot:
        """What this transaction sees, read without being remembered: what others do to it is no conflict."""
        return TransactionSnapshot(self._cells)

    __getitem__ = mapping.getitem
    __delitem__ = mapping.delitem
    __contains__ = mapping.contains
    __iter__ = mapping.iterate
    get = mapping.get
    scan = mapping.scan
    keys = mapping.keys
    history = mapping.history
    ttl = mapping.ttl

    def put(self, key: str, value: Any, *, ttl_s: float | None = None) -> None:
        """Set the key's value, from the commit on. Over TCP a refusal may surface at the next call that reads.

        With `ttl_s` the key is there for so many seconds from now, the commit being within them.
        """
        self._cells().put(encode_key(key), encode_value(value), ttl_s=ttl_s)

    def __setitem__(self, key: str, value: Any) -> None:
        """As `put`, of a value that stays."""
        self._cells().put(encode_key(key), encode_value(value))

    def delete(self, key: str) -> bool:
        """Delete the key, from the commit on, if it is there; whether it was."""
        return self._cells().delete(encode_key(key))

    def add(self, key: str, by: int | float = 1) -> None:
        """Add to what the key's number will be when this commits, one that is missing being 0.

        Those who only add to a key don't conflict with each other. Who reads it as well, before or after, does: with
        everybody who changed it. Raises `BadRequestError` as `StoreDatabase.add` does; over TCP that may surface at
        the next call that reads.

        >>> import mvcc_kv
        >>> db = mvcc_kv.open(":memory:")
        >>> with db.transaction() as tx:
        ...     tx.add("hits")
        ...     total = db.add("hits", 5)
        >>> db["hits"]
        6
        """
        self._cells().add(encode_key(key), encode_number(by))

    def commit(self) -> int:
        """Apply all writes at once; the `commit_ts`, or `start_ts` if there were none. It is over then, come what may.

        Raises `ConflictError` if another commit took one of the keys first. Over TCP, a connection that is lost before
        the answer came is made anew and the server asked; `CommitUnknownError` if it doesn't come back in time.
        """
        if self._ended is not None or self._database.is_closed:
            raise self._refusal()
        self._ended = "its commit failed"
        commit_ts = self._tx.commit()
        self._ended = _COMMITTED
        return commit_ts

    def rollback(self) -> None:
        """Forget all writes. A transaction that is over is left alone."""
        if self._ended is None:
            self._ended = "it was rolled back"
            self._tx.rollback()

    def __enter__(self) -> Self:
        if self._ended is not None or self._database.is_closed:
            raise self._refusal()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._ended is not None:
            return
        if kind is None:
            self.commit()
            return
        with suppress(Error):  # what went wrong first is the news
            self.rollback()

    def _cells(self) -> StoreTransaction:
        if self._ended is None and not self._database.is_closed:
            return self._tx
        raise self._refusal()

    def _refusal(self) -> Error:
        """Why it can't be used any more."""
        if self._ended is None:
            self.rollback()
            return _closed()
        ended = f"{_COMMITTED} at {self._tx.commit_ts}" if self._ended is _COMMITTED else self._ended
        return NoTransactionError(f"this transaction is over ({ended}); begin another")


def _closed() -> UnavailableError:
    return UnavailableError("this database was closed; open or connect again", retryable=False)


class TransactionSnapshot:
    """A transaction's own view, read without being tracked: as `tx.snapshot`.

    A serializable transaction can't lose over what it read here, and its memory for what it has read isn't used.

    >>> import mvcc_kv
    >>> db = mvcc_kv.open(":memory:")
    >>> tx = db.transaction(isolation="serializable")
    >>> tx["total"] = sum(value for _, value in tx.snapshot.scan(prefix="n:"))
    >>> db["n:1"] = 1
    >>> tx.commit()
    2
    """

    def __init__(self, tracked: Callable[[], StoreTransaction]) -> None:
        self._tracked = tracked

    __getitem__ = mapping.getitem
    __contains__ = mapping.contains
    __iter__ = mapping.iterate
    get = mapping.get
    scan = mapping.scan
    keys = mapping.keys
    history = mapping.history
    ttl = mapping.ttl

    def _cells(self) -> _Untracked:
        return _Untracked(self._tracked())


class _Untracked:
    """An open transaction's reads, without tracking."""

    def __init__(self, tx: StoreTransaction) -> None:
        self._tx = tx

    def get(self, key: bytes) -> bytes | None:
        return self._tx.get(key, tracked=False)

    def get_with_ttl(self, key: bytes) -> tuple[bytes, float | None] | None:
        return self._tx.get_with_ttl(key, tracked=False)

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page:
        return self._tx.scan(keys, limit=limit, reverse=reverse, keys_only=keys_only, tracked=False)

    def history(self, key: bytes, *, limit: int, before_ts: int | None = None) -> VersionPage:
        return self._tx.history(key, limit=limit, before_ts=before_ts, tracked=False)
