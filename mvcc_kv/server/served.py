"""What sessions stand on: the store that they serve, and the rest that a server's sessions share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mvcc_kv.api import (
    CommittedWrites,
    KeyRange,
    OpenTransaction,
    Page,
    StoreTransaction,
    TransactionOptions,
    VersionPage,
)
from mvcc_kv.engine.changes import CHANGES_BUFFER_BYTES
from mvcc_kv.engine.turns import Turns
from mvcc_kv.errors import Error
from mvcc_kv.server.deadlines import Deadlines
from mvcc_kv.server.redis.house import House

__all__ = ["ServedStore", "ServedTransaction", "Services"]


class ServedTransaction(StoreTransaction, Protocol):
    """A transaction whose commit can carry a token.

    `ended`: why somebody else has ended it. `clash`: what it has lost already, a key and the commit that took it.
    """

    @property
    def ended(self) -> Error | None: ...
    def clash(self) -> tuple[bytes, int] | None: ...
    def commit(self, token: str | None = None) -> int: ...


class ServedStore(Protocol):
    """What sessions need of a store: `api.Store`, and to know how far commits are on their way to the disk.

    A commit is on its way until `visible_ts` has reached it; no one beyond `reachable_ts` will arrive any more.
    Who has seen the one at `seen_ts` reads at it.
    """

    def now_us(self) -> int: ...
    @property
    def keys_total(self) -> int: ...
    @property
    def commit_ts(self) -> int: ...
    @property
    def visible_ts(self) -> int: ...
    @property
    def reachable_ts(self) -> int: ...
    @property
    def oldest_ts(self) -> int: ...
    def commits_after(self, ts: int, limit: int) -> list[CommittedWrites]: ...
    def keep_changes(self, bytes_max: int) -> None: ...
    def get(self, key: bytes, seen_ts: int = 0) -> bytes | None: ...
    def newest(self, key: bytes) -> bytes | None: ...
    def write(self, writes: Mapping[bytes, bytes | None]) -> int: ...
    def put(self, key: bytes, value: bytes, token: str | None = None) -> None: ...
    def delete(self, key: bytes, token: str | None = None) -> bool: ...
    def add(self, key: bytes, by: bytes, token: str | None = None) -> bytes: ...
    def scan(
        self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False, seen_ts: int = 0
    ) -> Page: ...
    def history(self, key: bytes, *, limit: int, before_ts: int | None = None, seen_ts: int = 0) -> VersionPage: ...
    def begin(
        self, options: TransactionOptions, seen_ts: int = 0, *, client: str | None = None, newest: bool = False
    ) -> ServedTransaction: ...
    def transactions(self) -> list[OpenTransaction]: ...
    def kill(self, transaction_id: int) -> bool: ...
    def newest_ts(self, key: bytes) -> int: ...
    def outcome(self, token: str, after_ts: int | None = None) -> int | None: ...
    def publish(self, ts: int) -> None: ...
    @property
    def has_garbage(self) -> bool: ...
    def collect(self, steps_max: int = ...) -> None: ...
    def trim(self) -> None: ...
    @property
    def unpinned_total(self) -> int: ...
    def stats(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What every session of a server shares.

    `checkpoint` starts one and calls back with its commit_ts or the error, later; `clock` gives seconds, and
    `deadlines` are told the time by whoever made them. `turns`: who may begin now, of those who ask.
    `redis`: what the sessions of Redis's clients share.
    """

    store: ServedStore
    stats: Callable[[], dict[str, Any]]
    checkpoint: Callable[[Callable[[int | Error], None]], None]
    clock: Callable[[], float]
    max_transaction_bytes: int = 1024
    password: str | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)
    turns: Turns = field(default_factory=Turns)
    changes_buffer_bytes: int = CHANGES_BUFFER_BYTES
    redis: House = field(default_factory=House)
