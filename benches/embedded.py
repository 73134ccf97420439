"""Embedded transactions a second: read one counter of 10,000, add one to it and commit, in the caller's own process.

    in memory   mvcc_kv.open(":memory:"), ZODB's MappingStorage, sqlite3's ":memory:", lmdb that never syncs
    on disk     mvcc_kv.open(directory), ZODB's FileStorage, sqlite3 (WAL, synchronous=FULL), lmdb: each commit is
                on disk when it returns, and the disk's time counts

Each is used as its users do: with a `with` block, or what comes nearest to that. They take turns, round by round.
lmdb and sqlite3 have one writer at a time, and so nothing to find out at a commit; they are C throughout.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple, TypeAlias

import mvcc_kv
from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.servers import SERVER_CORES, pinned
from benches.targets import Comparison, ratios

__all__ = ["EMBEDDED", "KEYS"]

KEYS = 10_000
_PICKED = 4096
_AT_ONCE = 16
_LMDB_BYTES = 1 << 28
_Increment: TypeAlias = Callable[[str], None]


class _Side(NamedTuple):
    """A library that counts. `increment` is one transaction."""

    group: str
    name: str
    increment: _Increment
    rounds: list[float]


def _sides(stack: ExitStack, scratch: Path) -> Iterator[_Side]:
    makers: list[tuple[str, Callable[[ExitStack, Path | None], _Increment | None]]] = [
        ("mvcc-kv", _ours),
        ("ZODB", _zodb),
        ("lmdb", _lmdb),
        ("sqlite3", _sqlite),
    ]
    for group, is_durable in (("in memory", False), ("on disk", True)):
        for name, make in makers:
            path = scratch / f"embedded-{name}" if is_durable else None
            increment = make(stack, path)
            if increment is not None:
                yield _Side(group, name, increment, [])


def _names() -> list[str]:
    return [f"key:{number:012d}" for number in range(KEYS)]


def _ours(stack: ExitStack, path: Path | None) -> _Increment:
    db = stack.enter_context(mvcc_kv.open(":memory:" if path is None else str(path)))
    with db.transaction() as tx:
        for name in _names():
            tx[name] = 0

    def increment(key: str) -> None:
        with db.transaction() as tx:
            tx[key] = tx[key] + 1

    return increment


def _zodb(stack: ExitStack, path: Path | None) -> _Increment | None:
    if importlib.util.find_spec("ZODB") is None:
        return None
    import transaction
    import ZODB
    from BTrees.OOBTree import OOBTree

    from benches.transactors.cells import Counter

    if path is not None:
        path.mkdir()
    manager: Any = transaction.TransactionManager()
    database = stack.enter_context(
        closing(ZODB.DB(None if path is None else str(path / "Data.fs"), cache_size=2 * KEYS))
    )
    root = database.open(manager).root
    with manager:
        root.counters = OOBTree({name: Counter() for name in _names()})

    def increment(key: str) -> None:
        with manager:
            counter = root.counters[key]
            counter.value = counter.value + 1

    return increment


def _lmdb(stack: ExitStack, path: Path | None) -> _Increment | None:
    if importlib.util.find_spec("lmdb") is None:
        return None
    import lmdb

    is_durable = path is not None
    where = str(path) if is_durable else stack.enter_context(tempfile.TemporaryDirectory(dir=_memory()))
    environment = stack.enter_context(lmdb.open(where, map_size=_LMDB_BYTES, sync=is_durable, metasync=is_durable))
    with environment.begin(write=True) as tx:
        for name in _names():
            tx.put(name.encode(), b"0")

    def increment(key: str) -> None:
        name = key.encode()
        with environment.begin(write=True) as tx:
            tx.put(name, b"%d" % (int(tx.get(name)) + 1))

    return increment


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _sqlite(stack: ExitStack, path: Path | None) -> _Increment:
    connection = stack.enter_context(
        closing(sqlite3.connect(":memory:" if path is None else path, isolation_level=None))
    )
    for pragma in ("journal_mode = wal", "synchronous = full"):
        connection.execute(f"pragma {pragma}").fetchall()
    connection.execute("create table kv (key text primary key, value integer) without rowid")
    connection.execute("begin")
    connection.executemany("insert into kv values (?, 0)", [(name,) for name in _names()])
    connection.execute("commit")

    def increment(key: str) -> None:
        connection.execute("begin immediate")
        [[value]] = connection.execute("select value from kv where key = ?", (key,)).fetchall()
        connection.execute("update kv set value = ? where key = ?", (value + 1, key))
        connection.execute("commit")

    return increment


def _run(effort: Effort, on_step: OnStep) -> Report:
    picked = cycle(Random(1).choices(_names(), k=_PICKED))
    with pinned(SERVER_CORES), ExitStack() as stack:
        sides = list(_sides(stack, effort.scratch))
        for _ in range(effort.rounds):
            for side in sides:
                side.rounds.append(_per_second(side, picked, effort.seconds))
            on_step()
    return _report(sides)


def _per_second(side: _Side, picked: Iterator[str], seconds: float) -> float:
    """On disk by the clock on the wall, since waiting counts; in memory by the processor's, which has no neighbours."""
    increment, clock = side.increment, time.process_time if side.group == "in memory" else time.perf_counter
    for _ in range(_AT_ONCE):
        increment(next(picked))
    done, began_at = 0, clock()
    while (now := clock()) < began_at + seconds:
        for _ in range(_AT_ONCE):
            increment(next(picked))
        done += _AT_ONCE
    return done / (now - began_at)


def _report(sides: list[_Side]) -> Report:
    made = table(
        "Embedded transactions", "kept", "library", "commits/s", "us", "mvcc-kv to it", left=("kept", "library")
    )
    ours = {side.group: side for side in sides if side.name == "mvcc-kv"}
    rows = [_row(side, ours[side.group]) for side in sides]
    for row in rows:
        per_second = row["commits_per_second"]
        cells = count(per_second), count(1e6 / per_second, 1), ratio(row["mvcc_kv_to_it"])
        made.add_row(row["kept"], row["library"], *cells, end_section=row["library"] == "sqlite3")
    comparisons = [
        Comparison("embedded", "one key of 10,000", ratios(ours[side.group].rounds, side.rounds))
        for side in sides
        if (side.group, side.name) == ("in memory", "ZODB")
    ]
    return Report(made, rows, comparisons)


def _row(side: _Side, ours: _Side) -> dict[str, Any]:
    return {
        "kept": side.group,
        "library": side.name,
        "commits_per_second": median(side.rounds),
        "mvcc_kv_to_it": median(ratios(ours.rounds, side.rounds)),
        "rounds": side.rounds,
    }


EMBEDDED = Part("embedded transactions", lambda effort: effort.rounds, _run)
