"""What snapshots cost in the engine: reading at one that has fallen far behind, and committing while many are live.

Each row is the same work in two situations, and its ratio:

    reading     one key, at a snapshot behind 100,000 later updates of that very key, against one at the newest state
    committing  one key, beside 1,000 live snapshots, each of another timestamp, against one; by itself, and in turn
                with a snapshot's begin and the oldest one's end

The peer is SQLite, with a reader whose transaction is as far behind in its write-ahead log. `kept` is what lies between
that reader and the newest state: versions here, the log's size there.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import chain, cycle
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.servers import SERVER_CORES, pinned
from benches.timing import Run, Side, repeated
from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine import CommitHistory, Transaction, VersionedStore

__all__ = ["SNAPSHOTS", "SNAPSHOTS_MANY", "UPDATES"]

UPDATES = 100_000
SNAPSHOTS_MANY = 1_000
_Live: TypeAlias = "deque[Transaction]"
_NEWEST = "newest"
_WRITTEN = b'"written"'
_READ_ONLY = TransactionOptions(read_only=True)
_KEY = b"key"
_KEYS = [b"key:%04d" % number for number in range(1000)]
_UNBOUNDED = 1 << 40
_MIB = 1 << 20


class _Row(NamedTuple):
    """Some work in a situation, and in the one that it is compared with. `holds`: what has to stay alive meanwhile."""

    work: str
    base: str
    here: Side
    there: Side
    kept: str
    holds: object = None


def _value(number: int) -> bytes:
    return b'"%030x"' % number


# Reading


def _reads(effort: Effort, stack: ExitStack) -> Iterator[_Row]:
    updates = min(effort.keys, UPDATES)
    yield _live_read(f"read behind {updates:,} updates", updates)
    between = min(SNAPSHOTS_MANY, updates)
    yield _live_read(f"- with {between:,} live between", updates, between=between)
    yield _retained_read("read of history as far behind", updates)
    yield _sqlite_read("read in SQLite as far behind", updates, effort.scratch / "sqlite", stack)


def _live_read(work: str, updates: int, *, between: int = 0) -> _Row:
    """A reader behind so many updates, between which that many others have begun."""
    store = VersionedStore()
    store.put(_KEY, _value(0))
    old = store.begin(_READ_ONLY)
    others: list[Transaction] = []
    for number in range(1, updates + 1):
        store.put(_KEY, _value(number))
        if between and number % (updates // between) == 0:
            others.append(store.begin(_READ_ONLY))
    new = store.begin(_READ_ONLY)
    return _Row(work, _NEWEST, _reading(old, 0), _reading(new, updates), _kept(store), others)


def _retained_read(work: str, updates: int) -> _Row:
    store = VersionedStore(history=CommitHistory(retain_bytes=_UNBOUNDED))
    for number in range(updates + 1):
        store.put(_KEY, _value(number))
    old, new = store.begin(TransactionOptions(read_only=True, at=1)), store.begin(_READ_ONLY)
    kept = f"{store.stats()['retained_bytes'] / _MIB:,.1f} MiB"
    return _Row(work, _NEWEST, _reading(old, 0), _reading(new, updates), kept)


def _reading(transaction: Transaction, number: int) -> Side:
    assert transaction.get(_KEY) == _value(number)
    return Side(repeated(lambda: transaction.get(_KEY)))


def _kept(store: VersionedStore) -> str:
    return f"{store.stats()['versions']:,} versions"


def _sqlite_read(work: str, updates: int, path: Path, stack: ExitStack) -> _Row:
    writer, old, new = (stack.enter_context(closing(_sqlite(path))) for _ in range(3))
    writer.execute("create table kv (key blob primary key, value blob) without rowid")
    writer.execute("insert into kv values (?, ?)", (_KEY, _value(0)))
    old.execute("begin")
    _sqlite_get(old)
    for number in range(1, updates + 1):
        writer.execute("update kv set value = ? where key = ?", (_value(number), _KEY))
    new.execute("begin")
    assert (_sqlite_get(old), _sqlite_get(new)) == (_value(0), _value(updates))
    here, there = (Side(repeated(partial(_sqlite_get, it), 100)) for it in (old, new))
    kept = path.with_name(f"{path.name}-wal").stat().st_size / _MIB
    return _Row(work, _NEWEST, here, there, f"{kept:,.1f} MiB")


def _sqlite(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("page_size = 512", "journal_mode = wal", "synchronous = off"):  # the smallest pages, and no syncs
        connection.execute(f"pragma {pragma}").fetchall()
    return connection


def _sqlite_get(connection: sqlite3.Connection) -> bytes:
    [[value]] = connection.execute("select value from kv where key = ?", (_KEY,)).fetchall()
    assert isinstance(value, bytes)
    return value


# Committing


def _commits() -> Iterator[_Row]:
    for keys, which in ((_KEYS, "any key"), (_KEYS[:1], "a hot key")):
        yield _committing(f"write of {which}, {SNAPSHOTS_MANY:,} live", keys, _writing)
        yield _committing("- with a begin and an end", keys, _turning_over)


def _committing(work: str, keys: list[bytes], work_of: Callable[[VersionedStore, _Live, list[bytes]], Run]) -> _Row:
    stores = VersionedStore(), VersionedStore()
    live = [_live(store, keys, number) for store, number in zip(stores, (SNAPSHOTS_MANY, 1), strict=True)]
    here, there = (Side(work_of(store, it, keys)) for store, it in zip(stores, live, strict=True))
    return _Row(work, "1 live", here, there, _kept(stores[0]), live)


def _writing(store: VersionedStore, _: _Live, keys: list[bytes]) -> Run:
    following = cycle(keys)
    return repeated(lambda: store.put(next(following), _WRITTEN))


def _turning_over(store: VersionedStore, live: _Live, keys: list[bytes]) -> Run:
    following = cycle(keys)

    def turn_over() -> None:
        store.put(next(following), _WRITTEN)
        live.append(store.begin(_READ_ONLY))
        live.popleft().rollback()

    return repeated(turn_over, 100)


def _live(store: VersionedStore, keys: list[bytes], snapshots: int) -> _Live:
    """So many snapshots, with a commit before each."""
    for key in keys:
        store.put(key, _WRITTEN)
    live: _Live = deque()
    following = cycle(keys)
    for number in range(snapshots):
        store.put(next(following), _value(number))
        live.append(store.begin(_READ_ONLY))
    return live


# The part


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows: list[dict[str, Any]] = []
    with pinned(SERVER_CORES), ExitStack() as stack:
        for row in chain(_reads(effort, stack), _commits()):
            for _ in range(effort.rounds):
                row.there.measure(effort.seconds)
                row.here.measure(effort.seconds)
            rows.append(_to_json(row))
            on_step()
    return _report(rows)


def _to_json(row: _Row) -> dict[str, Any]:
    return {
        "work": row.work,
        "compared_with": row.base,
        "per_second": row.here.per_second,
        "compared_per_second": row.there.per_second,
        "ratio": row.here.ratio_to(row.there),
        "kept": row.kept,
        "rounds": {"here": row.here.rounds, "compared": row.there.rounds},
    }


def _report(rows: list[dict[str, Any]]) -> Report:
    columns = ("work", "a second", "kept", "against", "a second", "ratio")
    made = table("Snapshots in the engine", *columns, left=("work", "against"))
    for row in rows:
        here, there = count(row["per_second"]), count(row["compared_per_second"])
        made.add_row(row["work"], here, row["kept"], row["compared_with"], there, ratio(row["ratio"]))
    return Report(made, rows)


_ROWS = 8

SNAPSHOTS = Part("snapshots in the engine", lambda _: _ROWS, _run)
