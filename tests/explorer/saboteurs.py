"""Engines that are broken on purpose, each in one way that engines have been broken in: the explorer has to find them.

Each is the real engine with somebody in between who bends what a transaction asks for, or is told. Almost all that he
does, he does through the engine's own interface, so he goes on doing it however the engine changes inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from mvcc_kv.api import KeyRange, Page, TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import ConflictError, Winner
from tests.explorer.explore import Engine
from tests.explorer.stage import SCAN_LIMIT

__all__ = ["SABOTEURS"]


class _Honest:
    """A transaction, as it is; what others bend."""

    def __init__(self, store: VersionedStore, options: TransactionOptions) -> None:
        self.store = store
        self.options = options
        self.tx = store.begin(options)
        self.start_ts = self.tx.start_ts

    def get(self, key: bytes) -> bytes | None:
        return self.tx.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.tx.put(key, value)

    def delete(self, key: bytes) -> bool:
        return self.tx.delete(key)

    def add(self, key: bytes, by: bytes) -> None:
        self.tx.add(key, by)

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page:
        return self.tx.scan(keys, limit=limit, reverse=reverse, keys_only=keys_only)

    def commit(self) -> int:
        return self.tx.commit()


class _NoConflicts(_Honest):
    """Whoever has lost is let through: his writes are applied to the newest state."""

    def commit(self) -> int:
        try:
            return self.tx.commit()
        except ConflictError:
            return self.commit_anyway()

    def commit_anyway(self) -> int:
        again = self.store.begin(TransactionOptions())
        for key, value in self.tx.writes.items():
            again.delete(key) if value is None else again.put(key, value)
        for key, by in self.tx.added.items():
            again.add(key, by)
        return again.commit()


class _OnlyNewestWrites(_NoConflicts):
    """An ADD is let through if the newest write of its key is an ADD too, whatever is below that."""

    def commit(self) -> int:
        sums: set[bytes] = self.store.__dict__.setdefault("sums", set())
        try:
            commit_ts = self.tx.commit()
        except ConflictError as lost:
            if not {key.encode() for key in lost.winners} <= sums & self.tx.added.keys():
                raise
            commit_ts = self.commit_anyway()
        sums.difference_update(self.tx.writes)
        sums.update(self.tx.added)
        return commit_ts


class _SnapshotOnly(_Honest):
    """Serializable is only a word."""

    def __init__(self, store: VersionedStore, options: TransactionOptions) -> None:
        super().__init__(store, replace(options, isolation="snapshot"))


class _ReadsNewest(_Honest):
    """Reads see what is committed now, not what was at START."""

    def get(self, key: bytes) -> bytes | None:
        self.tx.get(key)
        return self.tx.writes[key] if key in self.tx.writes else self.store.get(key)


class _DirtyReads(_Honest):
    """Reads see what others have written and not committed."""

    def __init__(self, store: VersionedStore, options: TransactionOptions) -> None:
        super().__init__(store, options)
        self.uncommitted: dict[bytes, bytes] = store.__dict__.setdefault("uncommitted", {})

    def put(self, key: bytes, value: bytes) -> None:
        self.tx.put(key, value)
        self.uncommitted[key] = value

    def get(self, key: bytes) -> bytes | None:
        value = self.tx.get(key)
        return value if key in self.tx.writes else self.uncommitted.get(key, value)


class _TornCommits(_Honest):
    """The writes of a commit become visible one after the other, the last of them when somebody else commits."""

    def commit(self) -> int:
        late: list[tuple[bytes, bytes | None]] = self.store.__dict__.setdefault("late", [])
        own = list(self.tx.writes.items())
        if len(own) > 1:
            key, value = own[-1]
            late.append((key, value))
            del self.tx.writes[key]
        elif late:
            key, value = late.pop()
            self.store.delete(key) if value is None else self.store.put(key, value)
        return self.tx.commit()


class _UntrackedRanges(_Honest):
    """Scans leave no trace for the validation."""

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page:
        return self.tx.scan(keys, limit=limit, reverse=reverse, keys_only=keys_only, tracked=False)


class _OnlyYieldedKeys(_Honest):
    """Of a scan the keys are tracked that it yielded, not the range that it asked for."""

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page:
        page = self.tx.scan(keys, limit=limit, reverse=reverse, keys_only=keys_only, tracked=False)
        for key, _ in page.items:
            self.tx.get(key)
        return page


class _WholeRanges(_Honest):
    """Of a scan the whole range is tracked, however little of it the page was about."""

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page:
        self.tx.scan(keys, limit=SCAN_LIMIT)
        return self.tx.scan(keys, limit=limit, reverse=reverse, keys_only=keys_only)


class _OwnWritesUnscanned(_Honest):
    """Scans see the snapshot only."""

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page:
        self.tx.scan(keys, limit=limit, reverse=reverse, keys_only=keys_only)
        return self.store.scan_at(self.start_ts, keys, limit=limit, reverse=reverse)


class _OwnDeletionsUnscanned(_Honest):
    """Scans see the transaction's own writes, but not its deletions."""

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page:
        page = self.tx.scan(keys, limit=limit, reverse=reverse, keys_only=keys_only)
        before = self.store.scan_at(self.start_ts, keys, limit=limit, reverse=reverse)
        deleted = [item for item in before.items if self.tx.writes.get(item[0], b"") is None]
        return Page(sorted([*page.items, *deleted], reverse=reverse), page.next)


class _UntrackedAbsence(_Honest):
    """A read that finds nothing leaves no trace for the validation."""

    def get(self, key: bytes) -> bytes | None:
        return None if self.tx.get(key, tracked=False) is None else self.tx.get(key)


class _UntrackedDeletions(_Honest):
    """A deletion that finds nothing leaves no trace for the validation."""

    def delete(self, key: bytes) -> bool:
        return self.tx.get(key, tracked=False) is not None and self.tx.delete(key)


class _ForgottenPuts(_Honest):
    """A key that was put and deleted again, and wasn't there before, leaves no trace for the validation."""

    def delete(self, key: bytes) -> bool:
        if self.tx.writes.get(key) is None or self.store.get_at(self.start_ts, key) is not None:
            return self.tx.delete(key)
        del self.tx.writes[key]
        self.tx._sorted = None
        return True


class _AddOverwrites(_Honest):
    """ADD puts the sum of what the snapshot holds, and pretends that it merges."""

    def commit(self) -> int:
        for key, by in self.tx.added.items():
            behind = int(self.store.get(key) or 0) - int(self.store.get_at(self.start_ts, key) or 0)
            self.tx.added[key] = b"%d" % (int(by) - behind)
        return self.tx.commit()


class _AddIsAPut(_Honest):
    """ADD is an ordinary write of the sum, so it conflicts."""

    def add(self, key: bytes, by: bytes) -> None:
        self.tx.put(key, b"%d" % (int(self.tx.get(key, tracked=False) or 0) + int(by)))


class _AddIgnoresReads(_Honest):
    """ADD merges even though the transaction has read the key."""

    def get(self, key: bytes) -> bytes | None:
        return self.tx.get(key, tracked=self.options.isolation == "serializable")


class _NeedlessConflicts(_Honest):
    """Whoever wrote something is refused if anybody committed since his START."""

    def commit(self) -> int:
        newest_ts = self.store.commit_ts
        if newest_ts > self.start_ts and self.tx.writes:
            key = next(iter(self.tx.writes)).decode()
            self.tx.rollback()
            raise ConflictError.lost_to(self.start_ts, {key: Winner(newest_ts)})
        return self.tx.commit()


class _RefusesReaders(_Honest):
    """Serializable transactions are refused for what they read even if they wrote nothing."""

    def commit(self) -> int:
        changed = [key for key in self._read() if self.store.get(key) != self.store.get_at(self.start_ts, key)]
        if changed and self.options.isolation == "serializable" and not self.tx.writes and not self.tx.added:
            self.tx.rollback()
            raise ConflictError.lost_to(self.start_ts, {changed[0].decode(): Winner(self.store.commit_ts)})
        return self.tx.commit()

    def _read(self) -> list[bytes]:
        return [] if self.tx.reads is None else sorted(self.tx.reads.keys)


class _WrongKeyInTheReport(_Honest):
    """A conflict names the first key that was written, whichever it was that was lost."""

    def commit(self) -> int:
        first = next(iter([*self.tx.writes, *self.tx.added]), b"").decode()
        try:
            return self.tx.commit()
        except ConflictError as lost:
            raise ConflictError.lost_to(self.start_ts, {first: next(iter(lost.winners.values()))}) from None


class _Sabotaged:
    """The real engine, but for the transactions that it hands out."""

    def __init__(self, saboteur: type[_Honest]) -> None:
        self._store = VersionedStore()
        self._saboteur = saboteur

    def begin(self, options: TransactionOptions) -> Any:
        return self._saboteur(self._store, options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _engine(saboteur: type[_Honest]) -> Callable[[], VersionedStore]:
    return lambda: cast("VersionedStore", _Sabotaged(saboteur))


HONEST = _engine(_Honest)

SABOTEURS: dict[str, Engine] = {
    saboteur.__name__.strip("_"): _engine(saboteur)
    for saboteur in (
        _NoConflicts,
        _OnlyNewestWrites,
        _SnapshotOnly,
        _ReadsNewest,
        _DirtyReads,
        _TornCommits,
        _UntrackedRanges,
        _OnlyYieldedKeys,
        _WholeRanges,
        _OwnWritesUnscanned,
        _OwnDeletionsUnscanned,
        _UntrackedAbsence,
        _UntrackedDeletions,
        _ForgottenPuts,
        _AddOverwrites,
        _AddIsAPut,
        _AddIgnoresReads,
        _NeedlessConflicts,
        _RefusesReaders,
        _WrongKeyInTheReport,
    )
}
