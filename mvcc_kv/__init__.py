"""mvcc-kv: a transactional key-value store, embedded or over the network, behind one API.

>>> import mvcc_kv
>>> db = mvcc_kv.open(":memory:")            # or a directory, or mvcc_kv.connect("127.0.0.1:8080")
>>> db["alice"], db["bob"] = 100, 0          # each its own transaction
>>> with db.transaction() as tx:             # one snapshot, one commit; nothing at all on an exception
...     tx["alice"] = tx["alice"] - 10
...     tx["bob"] = tx["bob"] + 10
>>> dict(db.scan())
{'alice': 90, 'bob': 10}
>>> @mvcc_kv.transactional                   # the same, run again when another transaction was quicker
... def transfer(tx, source, target, amount):
...     tx[source] = tx[source] - amount
...     tx[target] = tx[target] + amount
>>> transfer(db, "bob", "alice", 10)
>>> db.close()
"""

from __future__ import annotations

import os
import time
from typing import Literal

from mvcc_kv.api import Changes, Database, OpenTransaction, Transaction, Version
from mvcc_kv.changes import ChangeFeed
from mvcc_kv.database import MemoryKeeper, StoreDatabase
from mvcc_kv.errors import (
    AuthRequiredError,
    BadRequestError,
    CommitUnknownError,
    ConflictError,
    DataDirectoryError,
    Error,
    KeyNotFoundError,
    LimitExceededError,
    NoTransactionError,
    ReadOnlyError,
    SnapshotGoneError,
    TransactionDoomedError,
    TransactionOpenError,
    TransactionTimeoutError,
    UnavailableError,
    UnknownCommandError,
    Winner,
)
from mvcc_kv.retry import RetryPolicy, transactional
from mvcc_kv.version import __version__

__all__ = [
    "AuthRequiredError",
    "BadRequestError",
    "ChangeFeed",
    "Changes",
    "CommitUnknownError",
    "ConflictError",
    "DataDirectoryError",
    "Database",
    "Error",
    "KeyNotFoundError",
    "LimitExceededError",
    "NoTransactionError",
    "OpenTransaction",
    "ReadOnlyError",
    "RetryPolicy",
    "SnapshotGoneError",
    "Transaction",
    "TransactionDoomedError",
    "TransactionOpenError",
    "TransactionTimeoutError",
    "UnavailableError",
    "UnknownCommandError",
    "Version",
    "Winner",
    "__version__",
    "connect",
    "open",
    "transactional",
]

# The fronts are imported when they are asked for: a program that connects needs no engine, and the other way round.


def open(
    path: str | os.PathLike[str] = ":memory:",
    *,
    fsync: Literal["always", "interval", "never"] = "always",
    retain_seconds: float = 0,
    retain_bytes: int = 0,
    max_read_set_bytes: int = 16 * 1024 * 1024,
    max_pinned_bytes: int = 0,
) -> StoreDatabase:
    """The embedded database in the directory `path`, made if there is none; ":memory:" keeps nothing.

    `fsync` says when commits are forced to disk. "always": before `commit` returns, so that no crash and no power loss
    takes one away. "interval": ten times a second; a power loss may take the last 100 ms. "never": when the operating
    system sees fit. A process that is killed loses nothing in any of them. See also `durability` of `transaction`.

    `retain_seconds` keeps what commits of the last so many seconds changed, for transactions `at` an older timestamp
    and for a key's history, as far as 256 MiB or `retain_bytes` reach. `retain_bytes` alone keeps it whatever its age.
    With neither, nothing is kept. It is found again by the next `open` that says so.

    `max_read_set_bytes` is what remembering a serializable transaction's reads may take; the read that passes it is a
    `LimitExceededError`. `max_pinned_bytes` is what old versions that open transactions keep alive may take together;
    past it the oldest snapshot is ended, with a `SnapshotGoneError` at its next call. 0: no limit.

    One process can have a directory open at a time. Raises `DataDirectoryError` if it can't be used.

    >>> with open() as db:
    ...     db["greeting"] = "hello"
    ...     db["greeting"]
    'hello'
    """
    from mvcc_kv.engine import VersionedStore
    from mvcc_kv.engine.history import retained_history

    if fsync not in ("always", "interval", "never"):
        raise BadRequestError(f'fsync is "always", "interval" or "never", not {fsync!r}')
    if min(max_read_set_bytes, max_pinned_bytes) < 0:
        raise BadRequestError("max_read_set_bytes and max_pinned_bytes are not below nought")
    history = retained_history(retain_seconds, retain_bytes)

    def make_store() -> VersionedStore:
        return VersionedStore(
            time_us=_wall_clock_us,
            history=history,
            read_set_bytes_max=max_read_set_bytes,
            pinned_bytes_max=max_pinned_bytes,
        )

    if path == ":memory:":
        return StoreDatabase(make_store(), MemoryKeeper())
    from mvcc_kv.durability import open_directory

    return StoreDatabase(*open_directory(path, make_store, fsync=fsync, history=history))


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


def connect(
    address: str = "127.0.0.1:8080",
    *,
    password: str | None = None,
    connect_timeout_s: float = 5.0,
    timeout_s: float = 30.0,
    commit_timeout_s: float = 10.0,
    connections_max: int = 16,
) -> StoreDatabase:
    """The database of the server at `address`: "host", "host:port" or "[IPv6]:port".

    It keeps up to `connections_max` connections; an open transaction holds one. `connect_timeout_s` bounds the
    wait for one of them, `timeout_s` each request with its answer. One connection is made at once, so that a
    server that is not there or wants a password is known now: raises `UnavailableError`, `AuthRequiredError`.

    When the connection is lost under a commit, the server is asked what became of it as soon as it is back: one
    that was applied returns as if nothing had happened, one that wasn't raises `UnavailableError` (retryable). If the
    server can't be asked within `commit_timeout_s`, the commit raises `CommitUnknownError`.
    """
    from mvcc_kv.client import Patience, RemoteStore

    if commit_timeout_s < 0:
        raise BadRequestError("commit_timeout_s is not below nought")
    store = RemoteStore.connect(
        address,
        password=password,
        connect_timeout_s=connect_timeout_s,
        timeout_s=timeout_s,
        connections_max=connections_max,
        patience=Patience(timeout_s=commit_timeout_s),
    )
    return StoreDatabase(store, store)
