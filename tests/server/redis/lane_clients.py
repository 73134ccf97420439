"""Clients of the quick lane without a store behind it: what it may do, and transactions over its own index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mvcc_kv.api import PLAINLY
from mvcc_kv.engine.chains import visible
from mvcc_kv.engine.lanes import Permit, Permits
from mvcc_kv.engine.transaction import READ_SET_BYTES_MAX, Transaction


class Index:
    """What a transaction asks of its store where nothing happens but in the lane."""

    read_set_bytes_max = READ_SET_BYTES_MAX

    def __init__(self, heads: dict[bytes, Any]) -> None:
        self._heads = heads

    @property
    def get_at(self) -> Callable[[int, bytes], bytes | None]:
        return self._get_at

    def _get_at(self, ts: int, key: bytes) -> bytes | None:
        version = visible(self._heads.get(key), ts)
        return None if version is None else version[1]

    def abandon(self, transaction: Transaction) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the lane has no use for {name}")


class Leave:
    """Permits that tell afterwards what they were used for. `keeps`: somebody sees what is superseded."""

    def __init__(
        self, heads: dict[bytes, Any], *, may_write: bool = True, keeps: bool = False, logs: bool = False
    ) -> None:
        self._index: Any = Index(heads)
        self._may_write = may_write
        self._superseded: list[Any] | None = [] if keeps else None
        self._writes: list[Any] | None = [] if logs else None
        self.begun: list[Transaction] = []

    @property
    def lists(self) -> Permit:
        return self._superseded, self._writes

    def __call__(self) -> Permit | None:
        return self.lists if self._may_write else None

    def beside(self) -> Permit | None:
        if self._may_write and self._superseded is None:
            self._superseded = []
        return self()

    def begin(self, start_ts: int, client: str | None) -> Transaction:
        self.begun.append(Transaction(self._index, start_ts, PLAINLY, 0, client, False, False, False))
        return self.begun[-1]

    def end(self, transaction: Transaction, commit_ts: int) -> bool:
        if not transaction.is_plain:
            return False
        transaction.close(commit_ts)
        return True

    def facts(self) -> list[object]:
        """What has become of each that was begun."""
        return [
            (it.start_ts, it.commit_ts, it.is_open, it.writes, None if it.reads is None else it.reads.keys)
            for it in self.begun
        ]


class Sitting:
    """A client, who may be in a transaction."""

    def __init__(self) -> None:
        self._transaction: Transaction | None = None

    @property
    def transaction(self) -> Transaction:
        return self._transaction  # type: ignore[return-value]  # tests look when there is one

    @property
    def is_in(self) -> bool:
        return self._transaction is not None

    def sit_down(self, leave: Leave, start_ts: int, writes: dict[bytes, bytes | None]) -> None:
        """Be in a transaction that has written this."""
        self._transaction = leave.begin(start_ts, None)
        self._transaction.writes.update(writes)

    def begin(self, permits: Permits, start_ts: int) -> Transaction:
        self._transaction = permits.begin(start_ts, None)
        return self._transaction

    def end(self, permits: Permits, commit_ts: int) -> bool:
        assert self._transaction is not None
        if not permits.end(self._transaction, commit_ts):
            return False
        self._transaction = None
        return True
