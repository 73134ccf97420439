"""A store over TCP: autocommitting commands, and transactions that hold a connection while they are open.

What a lost connection means, by where it struck:

    begin, get, scan, stats    nothing was applied: UnavailableError, retryable. Outside a
                               transaction, and for begin, one new connection is tried first
    anything in a transaction  the same: the server rolls back whoever disconnects
    COMMIT of writes,          CommitUnknownError once its first byte was handed to the socket, for nobody
    PUT and DEL by themselves  can tell whether the server read it; UnavailableError while it wasn't

A transaction's puts need no answer, so they wait here and go out with the next command that does, in one
round trip (past `UNSENT_MAX_BYTES` they go out by themselves). Their refusals arrive there too: it is the next
get, delete, scan or commit that raises a put's `LimitExceededError`, the first refusal and not what followed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec

from mvcc_kv.api import KeyRange, Page, TransactionOptions
from mvcc_kv.client.connection import Address, Connection, ConnectionLostError, nothing
from mvcc_kv.client.core import (
    decode_member,
    decode_object,
    decode_page,
    decode_value_text,
    encode_command,
    encode_delete,
    encode_get,
    encode_put,
    encode_scan,
    encode_start,
)
from mvcc_kv.client.pool import ConnectionPool
from mvcc_kv.errors import (
    BadRequestError,
    CommitUnknownError,
    Error,
    KeyNotFoundError,
    NoTransactionError,
    ReadOnlyError,
)

__all__ = ["RemoteStore", "RemoteTransaction"]

T = TypeVar("T")
UNSENT_MAX_BYTES = 64 * 1024


class RemoteStore:
    """A server's store. Satisfies `api.Store` and `api.Keeper`. Thread-safe."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        password: str | None = None,
        connect_timeout_s: float = 5.0,
        timeout_s: float = 30.0,
        connections_max: int = 16,
    ) -> RemoteStore:
        """The store at the address, after one connection to it proved to work. Raises `UnavailableError`."""
        if connections_max < 1 or connect_timeout_s <= 0 or timeout_s <= 0:
            raise BadRequestError("connections_max and the timeouts are above nought")
        dial = partial(
            Connection.open,
            Address.parse(address),
            password=password,
            connect_timeout_s=connect_timeout_s,
            timeout_s=timeout_s,
        )
        store = cls(ConnectionPool(dial, connections_max=connections_max, wait_s=connect_timeout_s))
        try:
            store.stats()  # unlike PING, it needs the login
        except BaseException:
            store.close()
            raise
        return store

    def get(self, key: bytes) -> bytes | None:
        """The newest value's JSON text, or None if the key has none."""
        try:
            return self._repeatably(encode_get(key), decode_value_text)
        except KeyNotFoundError:
            return None

    def put(self, key: bytes, value: bytes) -> None:
        """Write and commit. Raises `CommitUnknownError` if the connection is lost meanwhile."""
        self._committing(encode_put(key, value))

    def delete(self, key: bytes) -> bool:
        """Delete and commit; whether the key was there. Raises `CommitUnknownError` as `put` does."""
        try:
            self._committing(encode_delete(key))
        except KeyNotFoundError:
            return False
        return True

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False) -> Page:
        """Up to `limit` items of the range, from one snapshot."""
        return self._repeatably(encode_scan(keys, limit=limit, reverse=reverse), decode_page)

    def begin(self, options: TransactionOptions) -> RemoteTransaction:
        """A new transaction, on a connection of its own until it is over."""
        return _again_if_lost(partial(self._begin, encode_start(options), options.read_only))

    def stats(self) -> dict[str, Any]:
        """The server's STATS."""
        return self._repeatably(b"STATS\n", decode_object)

    def checkpoint(self) -> int:
        """Have the server write a checkpoint; its commit_ts when it is on disk there."""
        return self._once(b"CHECKPOINT\n", partial(decode_member, name="checkpoint_ts"))

    def close(self) -> None:
        """Close the connections; those of open transactions when these end. Calling it again does nothing."""
        self._pool.close()

    def _begin(self, command: bytes, read_only: bool) -> RemoteTransaction:
        connection = self._pool.acquire()
        try:
            start_ts = connection.request([command], partial(decode_member, name="start_ts"))
        except BaseException:
            self._pool.release(connection)
            raise
        return RemoteTransaction(connection, self._pool.release, start_ts, read_only=read_only)

    def _once(self, command: bytes, decode: Callable[[msgspec.Raw], T]) -> T:
        connection = self._pool.acquire()
        try:
            return connection.request([command], decode)
        finally:
            self._pool.release(connection)

    def _repeatably(self, command: bytes, decode: Callable[[msgspec.Raw], T]) -> T:
        return _again_if_lost(partial(self._once, command, decode))

    def _committing(self, command: bytes) -> None:
        try:
            self._once(command, nothing)
        except ConnectionLostError as lost:
            raise _judged(lost, command) from lost.__cause__


class RemoteTransaction:
    """An open transaction on a server. Satisfies `api.StoreTransaction`. Belongs to one thread.

    One that is forgotten while open closes its connection, at which the server rolls it back.
    """

    def __init__(
        self, connection: Connection, release: Callable[[Connection], None], start_ts: int, *, read_only: bool
    ) -> None:
        self._connection: Connection | None = connection
        self._release = release
        self._read_only = read_only
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._wrote = False
        self.start_ts = start_ts
        self.commit_ts: int | None = None

    def get(self, key: bytes) -> bytes | None:
        """The value's JSON text, or None if the key has none."""
        try:
            return self._ask(encode_get(key), decode_value_text)
        except KeyNotFoundError:
            return None

    def put(self, key: bytes, value: bytes) -> None:
        """Buffer a write. A refusal by the server is raised by the next call that has an answer."""
        self._must_be_writable()
        command = encode_put(key, value)
        self._unsent.append(command)
        self._unsent_bytes += len(command)
        self._wrote = True
        if self._unsent_bytes > UNSENT_MAX_BYTES:
            self._request(self._take_unsent(), nothing)

    def delete(self, key: bytes) -> bool:
        """Delete the key in this transaction; whether it was there."""
        self._must_be_writable()
        self._wrote = True
        try:
            self._ask(encode_delete(key), nothing)
        except KeyNotFoundError:
            return False
        return True

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False) -> Page:
        """Up to `limit` items of the range, own writes among them."""
        return self._ask(encode_scan(keys, limit=limit, reverse=reverse), decode_page)

    def commit(self) -> int:
        """Apply all writes at once; their commit_ts (start_ts if there were none). It is over then, come what may.

        Raises `ConflictError`, and `CommitUnknownError` if there was something to commit and the connection
        was lost before the answer came.
        """
        command = encode_command("COMMIT")
        try:
            self.commit_ts = self._ask(command, partial(decode_member, name="commit_ts"))
        except ConnectionLostError as lost:
            raise (_judged(lost, command) if self._wrote else lost) from lost.__cause__
        finally:
            self._end()
        return self.commit_ts

    def rollback(self) -> None:
        """Forget all writes. A transaction that is over is left alone."""
        if self._connection is None:
            return
        try:
            self._connection.request([b"ROLLBACK\n"], nothing)
        except Error:
            pass  # answered or disconnected, the server has no transaction of ours any more
        finally:
            self._end()

    def __del__(self) -> None:
        if self._connection is not None:
            self._connection.close("its transaction was forgotten")
            self._end()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._release(connection)

    def _ask(self, command: bytes, decode: Callable[[msgspec.Raw], T]) -> T:
        return self._request([*self._take_unsent(), command], decode)

    def _request(self, commands: list[bytes], decode: Callable[[msgspec.Raw], T]) -> T:
        if self._connection is None:
            raise NoTransactionError("this transaction is over; begin another one")
        return self._connection.request(commands, decode)

    def _take_unsent(self) -> list[bytes]:
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        return unsent

    def _must_be_writable(self) -> None:
        if self._read_only:
            raise ReadOnlyError("this transaction is read-only; begin one without read_only to write")


def _again_if_lost(ask: Callable[[], T]) -> T:
    """Ask once more if the connection died, as one that idled may have; not if the server is slow or no such server."""
    try:
        return ask()
    except ConnectionLostError as lost:
        if not lost.died:
            raise
    return ask()


def _judged(lost: ConnectionLostError, command: bytes) -> Error:
    """What the loss means when `command`, the last one of the request, was to commit."""
    if lost.unsent_bytes >= len(command):
        return lost
    return CommitUnknownError(
        f"{lost.message}, while a commit was in flight: it was applied whole, or not at all. "
        "Read what it would have written, then decide"
    )
