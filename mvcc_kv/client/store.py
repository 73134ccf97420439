"""A store over TCP: autocommitting commands, and transactions that hold a connection while they are open.

What a lost connection means, by where it struck:

    begin, get, scan, ...      nothing was applied: UnavailableError, retryable. Outside a
                               transaction, and for begin, one new connection is tried first
    anything in a transaction  the same: the server rolls back whoever disconnects
    COMMIT of writes,          nothing was applied while its first byte wasn't handed to the socket. From then on
    PUT, DEL, ADD by themselves only the server can tell, and is asked on a new connection: see inquiry.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import msgspec

from mvcc_kv.api import KeyRange, OpenTransaction, Page, TransactionOptions, VersionPage
from mvcc_kv.client.changes import FeedTimeouts, RemoteChanges
from mvcc_kv.client.connection import Address, Connection, ConnectionLostError, nothing
from mvcc_kv.client.decoding import (
    decode_member,
    decode_object,
    decode_page,
    decode_start,
    decode_transactions,
    decode_value_text,
    decode_value_with_ttl,
    decode_versions,
)
from mvcc_kv.client.encoding import (
    encode_add,
    encode_command,
    encode_delete,
    encode_get,
    encode_history,
    encode_put,
    encode_scan,
    encode_start,
)
from mvcc_kv.client.inquiry import Inquiry, Patience, is_in_doubt, not_applied
from mvcc_kv.client.pool import ConnectionPool
from mvcc_kv.client.transaction import RemoteTransaction
from mvcc_kv.errors import (
    BadRequestError,
    KeyNotFoundError,
    UnavailableError,
)
from mvcc_kv.values import check_ttl

__all__ = ["RemoteStore"]

T = TypeVar("T")
KNOWN_TS_AGE_MAX_S = 1.0


class RemoteStore:
    """A server's store. Satisfies `api.Store` and `api.Keeper`. Thread-safe."""

    def __init__(
        self, pool: ConnectionPool, patience: Patience | None = None, feed_timeouts: FeedTimeouts | None = None
    ) -> None:
        self._pool = pool
        self._patience = patience or Patience()
        self._feed_timeouts = feed_timeouts or FeedTimeouts()
        self._known_ts = 0  # a commit that the server has told of
        self._known_at_s = 0.0
        self._has_turns = True  # as far as we know

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        password: str | None = None,
        connect_timeout_s: float = 5.0,
        timeout_s: float = 30.0,
        connections_max: int = 16,
        patience: Patience | None = None,
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
        pool = ConnectionPool(dial, connections_max=connections_max, wait_s=connect_timeout_s)
        store = cls(pool, patience, FeedTimeouts(connect_timeout_s, timeout_s))
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

    def get_with_ttl(self, key: bytes) -> tuple[bytes, float | None] | None:
        """The newest value's JSON text and for how many seconds it is there yet, by the server's clock."""
        try:
            return self._repeatably(encode_get(key, ttl=True), decode_value_with_ttl)
        except KeyNotFoundError:
            return None

    def put(self, key: bytes, value: bytes, *, ttl_s: float | None = None) -> None:
        """Write and commit, once. Raises `CommitUnknownError` if the connection is lost and the server stays away."""
        if ttl_s is not None:
            check_ttl(ttl_s)
        self._committing(partial(encode_put, key, value, ttl_s=ttl_s), nothing)

    def delete(self, key: bytes) -> bool:
        """Delete and commit, once; whether the key was there. Raises `CommitUnknownError` as `put` does."""
        try:
            self._committing(partial(encode_delete, key), nothing)
        except KeyNotFoundError:
            return False
        return True

    def add(self, key: bytes, by: bytes) -> bytes:
        """Add and commit, once; the key's number then. Raises `CommitUnknownError` as `put` does.

        If it was applied and only its reply was lost, the number is what the key holds when that was found out.
        """
        total = self._committing(partial(encode_add, key, by), decode_value_text)
        return total if total is not None else self.get(key) or b"0"

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page:
        """Up to `limit` items of the range, from one snapshot."""
        return self._repeatably(encode_scan(keys, limit=limit, reverse=reverse, keys_only=keys_only), decode_page)

    def history(self, key: bytes, *, limit: int, before_ts: int | None = None) -> VersionPage:
        """Up to `limit` of the key's versions, newest first."""
        return self._repeatably(encode_history(key, limit=limit, before_ts=before_ts), decode_versions)

    def changes(self, prefix: bytes = b"", from_ts: int | None = None) -> RemoteChanges:
        """The commits after `from_ts`, from now on if it is None; on a connection beside the others.

        Raises `SnapshotGoneError` (evidence `oldest_ts`) if they aren't kept any more, `BadRequestError` for a
        timestamp in the future.
        """
        return RemoteChanges(self._pool.dial, prefix, from_ts, timeouts=self._feed_timeouts, patience=self._patience)

    def begin(self, options: TransactionOptions) -> RemoteTransaction:
        """A new transaction, on a connection of its own until it is over. A server that is older may know no turns."""
        if options.turn is None:
            return _again_if_lost(partial(self._begin, options))
        without = replace(options, turn=None, lost=0)
        if not self._has_turns:
            return self.begin(without)
        try:
            return _again_if_lost(partial(self._begin, options))
        except BadRequestError:
            begun = self.begin(without)  # raises again, if it wasn't the turn
            self._has_turns = False
            return begun

    def transactions(self) -> list[OpenTransaction]:
        """The server's open transactions, the oldest snapshot first, as far as it lists them."""
        return self._repeatably(b"TRANSACTIONS\n", decode_transactions)

    def kill(self, transaction_id: int) -> bool:
        """Have a transaction rolled back; whether one of that id was open."""
        try:
            self._once(encode_command("KILL", transaction=transaction_id), nothing)
        except BadRequestError as error:
            if "transaction" not in error.evidence:
                raise
            return False
        return True

    def stats(self) -> dict[str, Any]:
        """The server's STATS."""
        now_s = self._patience.now()
        counted = self._repeatably(b"STATS\n", decode_object)
        self._know(counted.get("visible_ts", 0), now_s)
        return counted

    def checkpoint(self) -> int:
        """Have the server write a checkpoint; its commit_ts when it is on disk there."""
        return self._once(b"CHECKPOINT\n", partial(decode_member, name="checkpoint_ts"))

    def close(self) -> None:
        """Close the connections; those of open transactions when these end. Calling it again does nothing."""
        self._pool.close()

    def _begin(self, options: TransactionOptions) -> RemoteTransaction:
        now_s = self._patience.now()
        lease = self._pool.lease()
        try:
            assert lease.connection is not None
            started = lease.connection.request([encode_start(options)], decode_start)
        except BaseException:
            lease.end()
            raise
        self._know(started.start_ts, now_s)
        return RemoteTransaction(lease, started, options, self._patience)

    def _once(self, command: bytes, decode: Callable[[msgspec.Raw], T]) -> T:
        with self._pool.lease() as connection:
            return connection.request([command], decode)

    def _repeatably(self, command: bytes, decode: Callable[[msgspec.Raw], T]) -> T:
        return _again_if_lost(partial(self._once, command, decode))

    def _committing(self, encode: Callable[[str], bytes], decode: Callable[[msgspec.Raw], T]) -> T | None:
        """Have the command that `encode` makes for a token executed, once; its result.

        If the reply is lost, find out: None if it was executed.
        """
        after_ts = self._fresh_ts()
        until_s: float | None = None
        lease = self._pool.lease()
        with lease as connection:
            while True:
                token = self._patience.new_token()
                command = encode(token)
                try:
                    return connection.request([command], decode)
                except UnavailableError as error:
                    if not is_in_doubt(error, command):
                        raise
                    lost = error
                until_s = until_s or self._patience.now() + self._patience.timeout_s
                if Inquiry(token, after_ts, self._patience).commit_ts(lease, lost, until_s=until_s) is not None:
                    return None
                if not isinstance(lost, ConnectionLostError) or self._patience.now() >= until_s:
                    raise not_applied(lost) from lost
                connection = lease.renewed()

    def _fresh_ts(self) -> int:
        """A commit not long ago: what we send now will come after it, and the server still remembers what did."""
        if self._patience.now() - self._known_at_s > KNOWN_TS_AGE_MAX_S:
            self.stats()
        return self._known_ts

    def _know(self, ts: int, at_s: float) -> None:
        self._known_ts, self._known_at_s = ts, at_s


def _again_if_lost(ask: Callable[[], T]) -> T:
    """Ask once more if the connection died, as one that idled may have; not if the server is slow or no such server."""
    try:
        return ask()
    except ConnectionLostError as lost:
        if not lost.died:
            raise
    return ask()
