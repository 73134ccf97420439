"""Interactive transactions a second: read 1 or 4 counters, add one to each, commit; 16 connections, each with the next
transaction when it has committed one.

    uniform     10,000 keys: hardly ever do two meet
    hot         10 keys, the n-th taken 1/n as often as the first: they meet all the time, and who lost begins again

All take two round trips, one to read and one to write and commit; those that are `apart` one for each command, as most
libraries do it (but MULTI ... EXEC in one). Their clients are equally thin: one loop over raw sockets (`transactors/`),
but for ZODB, whose own client has threads. Only what was committed counts, and the counters are summed up afterwards.
`WATCH` is the same client for Redis and for us. What keeps nothing on disk, what does so later and what does so before
it answers are compared among themselves.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from benches.databases import postgresql_server, zeo_server
from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.servers import (
    GENERATOR_CORES,
    RunningServer,
    durable_mvcc_kv_server,
    durable_redis_server,
    etcd_server,
    mvcc_kv_server,
    pinned,
    redis_server,
)
from benches.targets import Comparison, ratios
from benches.transactors.attempts import Done, Job

__all__ = ["CONNECTIONS", "KEYS_EACH", "SIDES", "TRANSACTIONS"]

CONNECTIONS = 16
KEYS_EACH = (1, 4)
_KEYS = {"uniform": 10_000, "hot": 10}
_Start: TypeAlias = Callable[[Path], AbstractContextManager[RunningServer | None]]


class _Side(NamedTuple):
    """A way to make transactions on a server. `client`: which of the transactors."""

    group: str
    name: str
    server: str
    client: str
    is_apart: bool = False


_SERVERS: dict[str, _Start] = {
    "mvcc-kv in memory": lambda _: mvcc_kv_server(),
    "mvcc-kv interval": lambda path: durable_mvcc_kv_server(path / "mvcc-kv", fsync="interval"),
    "mvcc-kv always": lambda path: durable_mvcc_kv_server(path / "mvcc-kv"),
    "redis": lambda _: redis_server(),
    "redis always": durable_redis_server,
    "postgresql": postgresql_server,
    "etcd": etcd_server,
    "zeo in memory": lambda path: zeo_server(path, in_memory=True),
    "zeo": lambda path: zeo_server(path, in_memory=False),
}

SIDES = (
    _Side("in memory", "mvcc-kv START", "mvcc-kv in memory", "start"),
    _Side("in memory", "mvcc-kv START, lines", "mvcc-kv in memory", "line"),
    _Side("in memory", "mvcc-kv START, lines, turns", "mvcc-kv in memory", "turns"),
    _Side("in memory", "mvcc-kv WATCH", "mvcc-kv in memory", "watch"),
    _Side("in memory", "Redis WATCH", "redis", "watch"),
    _Side("in memory", "mvcc-kv START, apart", "mvcc-kv in memory", "start", is_apart=True),
    _Side("in memory", "Redis WATCH, apart", "redis", "watch", is_apart=True),
    _Side("in memory", "ZEO MappingStorage", "zeo in memory", "zeo"),
    _Side("later", "mvcc-kv START, fsync interval", "mvcc-kv interval", "start"),
    _Side("later", "PostgreSQL, synchronous_commit=off", "postgresql", "postgresql-off"),
    _Side("before", "mvcc-kv START, fsync always", "mvcc-kv always", "start"),
    _Side("before", "mvcc-kv START, turns, fsync always", "mvcc-kv always", "turns"),
    _Side("before", "mvcc-kv WATCH, fsync always", "mvcc-kv always", "watch"),
    _Side("before", "Redis WATCH, appendfsync always", "redis always", "watch"),
    _Side("before", "PostgreSQL, synchronous_commit=on", "postgresql", "postgresql-on"),
    _Side("before", "mvcc-kv START, fsync always, apart", "mvcc-kv always", "start", is_apart=True),
    _Side("before", "PostgreSQL, on, apart", "postgresql", "postgresql-on", is_apart=True),
    _Side("before", "etcd Txn", "etcd", "etcd"),
    _Side("before", "ZEO FileStorage", "zeo", "zeo"),
)
_TARGETED = {
    ("transactions-uniform", "uniform"): ("mvcc-kv WATCH", "Redis WATCH"),
    ("transactions-hot", "hot"): ("mvcc-kv WATCH", "Redis WATCH"),
    ("transactions-postgresql", "uniform"): ("mvcc-kv START, fsync always", "PostgreSQL, synchronous_commit=on"),
    ("transactions-etcd", "uniform"): ("mvcc-kv START, fsync always", "etcd Txn"),
}


@dataclass(slots=True)
class _Row:
    """A workload's figures, by the side's name, one of each round."""

    which: str
    keys_each: int
    done: dict[str, list[Done]] = field(default_factory=dict)

    def per_second(self, name: str) -> list[float]:
        return [it.commits / it.seconds for it in self.done.get(name, [])]

    def ratios(self, name: str, other: str) -> list[float]:
        return ratios(self.per_second(name), self.per_second(other))

    def middle(self, name: str, figure: Callable[[Done], float]) -> float | None:
        """The median of a figure; None for a side that was not there."""
        return median(map(figure, self.done[name])) if name in self.done else None


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows = [_Row(which, keys_each) for which, keys_each in product(_KEYS, KEYS_EACH)]
    with ExitStack() as stack:
        servers = dict(_started(stack, effort.scratch / "transactions"))
        for _ in range(effort.rounds):
            for row, side in product(rows, SIDES):
                if (server := servers[side.server]) is not None:
                    row.done.setdefault(side.name, []).append(_measure(row, side, server, effort.seconds))
                on_step()
    return _report(rows)


def _started(stack: ExitStack, scratch: Path) -> Iterator[tuple[str, RunningServer | None]]:
    for name, start in _SERVERS.items():
        directory = scratch / name.replace(" ", "-")
        directory.mkdir(parents=True)
        yield name, stack.enter_context(start(directory))


def _measure(row: _Row, side: _Side, server: RunningServer, seconds: float) -> Done:
    is_hot = row.which == "hot"
    job = Job(side.client, server.port, CONNECTIONS, _KEYS[row.which], row.keys_each, is_hot, seconds, side.is_apart)
    command = [sys.executable, "-m", "benches.transactors", json.dumps(asdict(job))]
    with pinned(GENERATOR_CORES):
        process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(f"the transactions failed for {job} ({side.name}): {process.stderr}")
    return Done(**json.loads(process.stdout))


def _report(rows: list[_Row]) -> Report:
    columns = ("keys", "each", "on disk", "system", "commits/s", "mvcc-kv to it", "attempts", "busy")
    made = table(f"Interactive transactions, {CONNECTIONS} connections", *columns, left=("keys", "on disk", "system"))
    made.caption = (
        "mvcc-kv to it: the first row of the same group, WATCH with WATCH, apart with apart; "
        "attempts: for each commit; busy: the generator's share of its core"
    )
    for row, side in product(rows, SIDES):
        figures = _figures(row, side)
        made.add_row(
            row.which,
            f"{row.keys_each}",
            side.group,
            side.name,
            count(figures["commits_per_second"]),
            ratio(figures["mvcc_kv_to_it"]),
            ratio(figures["attempts"]),
            "-" if figures["busy"] is None else f"{figures['busy']:.0%}",
            end_section=side is SIDES[-1],
        )
    return Report(made, [_to_json(row) for row in rows], list(_comparisons(rows)))


def _figures(row: _Row, side: _Side) -> dict[str, Any]:
    own = row.ratios(_counterpart(side), side.name)
    return {
        "commits_per_second": row.middle(side.name, lambda it: it.commits / it.seconds),
        "mvcc_kv_to_it": median(own) if own else None,
        "attempts": row.middle(side.name, lambda it: 1 + it.conflicts / max(it.commits, 1)),
        "busy": row.middle(side.name, lambda it: it.cpu_s / it.seconds),
        "rounds": row.per_second(side.name),
    }


def _counterpart(side: _Side) -> str:
    """Whom of us a side is compared with: the same client if there is one."""
    group = (it for it in SIDES if (it.group, it.is_apart) == (side.group, side.is_apart))
    ours = [it for it in group if it.name.startswith("mvcc-kv")]
    return next((it.name for it in ours if it.client == side.client), ours[0].name)


def _to_json(row: _Row) -> dict[str, Any]:
    sides = {side.name: {"on_disk": side.group, **_figures(row, side)} for side in SIDES if side.name in row.done}
    return {"keys": row.which, "keys_each": row.keys_each, "connections": CONNECTIONS, "sides": sides}


def _comparisons(rows: list[_Row]) -> Iterator[Comparison]:
    for (target, which), (ours, theirs) in _TARGETED.items():
        for row in rows:
            if row.which == which:
                label = f"{row.keys_each} {'key' if row.keys_each == 1 else 'keys'}, {which}"
                yield Comparison(target, label, row.ratios(ours, theirs))


TRANSACTIONS = Part(
    "interactive transactions",
    lambda effort: effort.rounds * len(_KEYS) * len(KEYS_EACH) * len(SIDES),
    _run,
)
