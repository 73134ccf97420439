"""A transaction over TCP: it holds a connection while it is open.

Its puts and adds need no answer, so they wait here and go out with the next command that does, in one
round trip (past `UNSENT_MAX_BYTES` they go out by themselves). Their refusals arrive there too: it is the next
get, delete, scan or commit that raises a put's `LimitExceededError`, the first refusal and not what followed.

What a lost connection means is said in store.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from mvcc_kv.api import KeyRange, Page, TransactionOptions, VersionPage
from mvcc_kv.client.connection import Connection, nothing
from mvcc_kv.client.decoding import (
    Started,
    decode_commit_ts,
    decode_page,
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
)
from mvcc_kv.client.inquiry import Inquiry, Patience, is_in_doubt, not_applied
from mvcc_kv.client.pool import Lease
from mvcc_kv.errors import (
    Error,
    KeyNotFoundError,
    NoTransactionError,
    ReadOnlyError,
    SnapshotGoneError,
    TransactionDoomedError,
    TransactionTimeoutError,
    UnavailableError,
)
from mvcc_kv.values import check_ttl

__all__ = ["RemoteTransaction"]

T = TypeVar("T")
UNSENT_MAX_BYTES = 64 * 1024


class RemoteTransaction:
    """An open transaction on a server. Satisfies `api.StoreTransaction`. Belongs to one thread.

    One that is forgotten while open closes its connection, at which the server rolls it back.
    """

    def __init__(self, lease: Lease, started: Started, options: TransactionOptions, patience: Patience) -> None:
        self._lease = lease
        self._options = options
        self._patience = patience
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._wrote = False
        self.start_ts = started.start_ts
        self.is_contended = started.waited or started.waiting > 0
        self.wrote_turn = False
        self.commit_ts: int | None = None

    @property
    def is_doomed(self) -> bool:
        """Whether it has lost already, or was ended by the server. Costs a round trip."""
        try:
            return self._ask(b"PING\n", lambda _: bool(self._connection().notice))
        except (SnapshotGoneError, TransactionDoomedError, TransactionTimeoutError):
            return True

    def get(self, key: bytes, *, tracked: bool = True) -> bytes | None:
        """The value's JSON text, or None if the key has none."""
        try:
            return self._ask(encode_get(key, tracked=tracked), decode_value_text)
        except KeyNotFoundError:
            return None

    def get_with_ttl(self, key: bytes, *, tracked: bool = True) -> tuple[bytes, float | None] | None:
        """The value's JSON text and for how many seconds it is there yet, by the server's clock."""
        try:
            return self._ask(encode_get(key, tracked=tracked, ttl=True), decode_value_with_ttl)
        except KeyNotFoundError:
            return None

    def put(self, key: bytes, value: bytes, *, ttl_s: float | None = None) -> None:
        """Buffer a write. A refusal by the server is raised by the next call that has an answer.

        A time begins when the server has it: so one that is written with one goes out at once.
        """
        if ttl_s is not None:
            check_ttl(ttl_s)
        self._will_write(key)
        self._send_later(encode_put(key, value, ttl_s=ttl_s))
        if ttl_s is not None:
            self._send_now()

    def add(self, key: bytes, by: bytes) -> None:
        """Buffer an addition. A refusal by the server is raised by the next call that has an answer."""
        self._will_write(key)
        self._send_later(encode_add(key, by))

    def delete(self, key: bytes) -> bool:
        """Delete the key in this transaction; whether it was there."""
        self._will_write(key)
        self._wrote = True
        try:
            self._ask(encode_delete(key), nothing)
        except KeyNotFoundError:
            return False
        return True

    def scan(
        self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False, tracked: bool = True
    ) -> Page:
        """Up to `limit` items of the range, own writes among them."""
        command = encode_scan(keys, limit=limit, reverse=reverse, keys_only=keys_only, tracked=tracked)
        return self._ask(command, decode_page)

    def history(self, key: bytes, *, limit: int, before_ts: int | None = None, tracked: bool = True) -> VersionPage:
        """Up to `limit` of the key's versions in the snapshot, newest first."""
        return self._ask(encode_history(key, limit=limit, before_ts=before_ts, tracked=tracked), decode_versions)

    def commit(self) -> int:
        """Apply all writes at once; their commit_ts (start_ts if there were none). It is over then, come what may.

        Raises `ConflictError`; `UnavailableError` if the connection was lost and nothing applied; and
        `CommitUnknownError` if there was something to commit, and the server doesn't come back in time to tell.
        """
        try:
            self.commit_ts = self._commit() if self._wrote else self._ask(encode_command("COMMIT"), decode_commit_ts)
        finally:
            self._lease.end()
        return self.commit_ts

    def _commit(self) -> int:
        token = self._patience.new_token()
        durability = self._options.durability
        members = {} if durability == "default" else {"durability": durability}
        command = encode_command("COMMIT", id=token, **members)
        try:
            return self._ask(command, decode_commit_ts)
        except UnavailableError as error:
            if not is_in_doubt(error, command):
                raise
            lost = error
        inquiry = Inquiry(token, self.start_ts, self._patience)
        until_s = self._patience.now() + self._patience.timeout_s
        commit_ts = inquiry.commit_ts(self._lease, lost, until_s=until_s)
        if commit_ts is None:
            raise not_applied(lost) from lost
        return commit_ts

    def rollback(self) -> None:
        """Forget all writes. A transaction that is over is left alone."""
        connection = self._lease.connection
        if connection is None:
            return
        try:
            connection.request([b"ROLLBACK\n"], nothing)
        except Error:
            pass  # answered or disconnected, the server has no transaction of ours any more
        finally:
            self._lease.end()

    def __del__(self) -> None:
        connection = self._lease.connection
        if connection is not None:
            connection.close("its transaction was forgotten")
            self._lease.end()

    def _send_later(self, command: bytes) -> None:
        self._unsent.append(command)
        self._unsent_bytes += len(command)
        self._wrote = True
        if self._unsent_bytes > UNSENT_MAX_BYTES:
            self._send_now()

    def _send_now(self) -> None:
        self._connection().request(self._take_unsent(), nothing)

    def _ask(self, command: bytes, decode: Callable[[msgspec.Raw], T]) -> T:
        return self._connection().request([*self._take_unsent(), command], decode)

    def _connection(self) -> Connection:
        connection = self._lease.connection
        if connection is None:
            raise NoTransactionError("this transaction is over; begin another one")
        return connection

    def _take_unsent(self) -> list[bytes]:
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        return unsent

    def _will_write(self, key: bytes) -> None:
        if self._options.read_only:
            raise ReadOnlyError("this transaction is read-only; begin one without read_only to write")
        if key == self._options.turn:
            self.wrote_turn = True
