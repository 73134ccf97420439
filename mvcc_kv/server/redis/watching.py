"""WATCH: which keys must not change until EXEC.

A watch is an open transaction that never reads, writes or commits. Its snapshot is the moment of watching, and as long
as it is open no tombstone that is newer goes away: so a watched key has changed if, and only if, its newest version is
younger than the watch. A deletion counts, an expiry, a FLUSHALL; a write of the same value, too, as in Redis.
"""

from __future__ import annotations

from collections.abc import Iterable

from mvcc_kv.api import TransactionOptions
from mvcc_kv.server.served import ServedStore

__all__ = ["Watch"]

_OPTIONS = TransactionOptions(label="WATCH")


class Watch:
    """The keys that a client watches, each from the moment on when it said so."""

    __slots__ = ("_keys", "_store", "_transaction")

    def __init__(self, store: ServedStore, seen_ts: int, client: str | None) -> None:
        self._store = store
        self._transaction = store.begin(_OPTIONS, seen_ts, client=client)
        self._keys: dict[bytes, int] = {}  # the newest commit that the client may have seen when it said so

    def add(self, keys: Iterable[bytes], seen_ts: int) -> None:
        """Watch these too, from now on. A key that is watched already is watched from then on still."""
        now_ts = max(self._store.visible_ts, seen_ts)
        for key in keys:
            self._keys.setdefault(key, max(now_ts, self._gone_ts(key, seen_ts)))

    def _gone_ts(self, key: bytes, seen_ts: int) -> int:
        """When the key went, if it is gone for this client too, whether or not that commit is visible yet.

        So it is with one that has expired: its time is past for everybody.
        """
        store = self._store
        return store.newest_ts(key) if store.get(key, seen_ts) is None and store.newest(key) is None else 0

    @property
    def is_lost(self) -> bool:
        """Whether one of them has changed, or nobody can say because the server ended the watch."""
        if self._transaction.ended is not None:
            return True
        newest_ts = self._store.newest_ts
        return any(newest_ts(key) > since_ts for key, since_ts in self._keys.items())

    def end(self) -> None:
        self._transaction.rollback()
