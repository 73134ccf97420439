"""Memory for a key: how much the server's resident memory grows with 1,000,000 keys of 16 bytes with values of 32.

    written    SETs over Redis's protocol, a thousand at a time, to a server that keeps nothing on disk
    loaded     a start from a checkpoint, or from an RDB file, of the same; to a start from nothing

Resident memory is what the system counts (`/proc/<pid>/statm`): with the spare room of tables and allocators, and what
a collector has not given back. Each figure is of a process of its own.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from benches.dataset import expect, make_checkpoint, make_redis, resp
from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.servers import (
    RunningServer,
    durable_mvcc_kv_server,
    durable_redis_server,
    mvcc_kv_server,
    redis_server,
)
from benches.targets import Comparison, ratios
from benches.transactors.attempts import key_name

__all__ = ["MEMORY", "WAYS"]

WAYS = ("written", "loaded")
_ROUNDS_MAX = 3
_BATCH = 1000
_Start: TypeAlias = Callable[[], AbstractContextManager[RunningServer | None]]


def _run(effort: Effort, on_step: OnStep) -> Report:
    sides: dict[tuple[str, str], Callable[[], float | None]] = {
        ("written", "mvcc-kv"): lambda: _written(mvcc_kv_server, effort.keys),
        ("written", "redis-server"): lambda: _written(redis_server, effort.keys),
        **_loading(effort.scratch, effort.keys),
    }
    bytes_each: dict[tuple[str, str], list[float]] = {which: [] for which in sides}
    for _ in range(_rounds(effort)):
        for which, measure in sides.items():
            if (grown := measure()) is not None:
                bytes_each[which].append(grown / effort.keys)
            on_step()
    return _report(effort.keys, bytes_each)


def _rounds(effort: Effort) -> int:
    return min(effort.rounds, _ROUNDS_MAX)


def _loading(scratch: Path, keys: int) -> dict[tuple[str, str], Callable[[], float | None]]:
    checkpoint, redis = make_checkpoint(scratch, keys), make_redis(scratch, keys)
    fresh = (scratch / f"nothing-{number}" for number in itertools.count())

    def nothing() -> Path:
        path = next(fresh)
        path.mkdir()
        return path

    return {
        ("loaded", "mvcc-kv"): lambda: _grown(
            lambda: durable_mvcc_kv_server(nothing()), lambda: durable_mvcc_kv_server(checkpoint)
        ),
        ("loaded", "redis-server"): lambda: (
            None
            if redis is None
            else _grown(
                lambda: durable_redis_server(nothing(), aof="off"), lambda: durable_redis_server(redis, aof="off")
            )
        ),
    }


def _grown(empty: _Start, full: _Start) -> float | None:
    with empty() as server:
        before = None if server is None else server.resident_bytes()
    with full() as server:
        return None if server is None or before is None else server.resident_bytes() - before


def _written(start: _Start, keys: int) -> float | None:
    with start() as server:
        if server is None:
            return None
        before = server.resident_bytes()
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            for first in range(0, keys, _BATCH):
                numbers = range(first, min(first + _BATCH, keys))
                sock.sendall(b"".join(resp(b"SET", key_name(number), b"%032x" % number) for number in numbers))
                expect(sock, b"+OK\r\n" * len(numbers))
        return server.resident_bytes() - before


def _report(keys: int, bytes_each: dict[tuple[str, str], list[float]]) -> Report:
    made = table(
        f"Memory for each of {keys:,} keys, in bytes", "keys are", "mvcc-kv", "redis", "to redis", left=("keys are",)
    )
    rows: list[dict[str, Any]] = []
    comparisons = []
    for way in WAYS:
        ours, theirs = bytes_each[way, "mvcc-kv"], bytes_each[way, "redis-server"]
        comparison = Comparison("memory", way, ratios(ours, theirs))
        middle = [median(it) if it else None for it in (ours, theirs)]
        made.add_row(way, *map(count, middle), ratio(comparison.ratio))
        rows.append(
            {
                "keys": keys,
                "way": way,
                "bytes_per_key": dict(zip(("mvcc-kv", "redis-server"), middle, strict=True)),
                "ratio_to_redis": comparison.ratio,
                "rounds": {"mvcc-kv": ours, "redis-server": theirs},
            }
        )
        comparisons.append(comparison)
    return Report(made, rows, comparisons)


MEMORY = Part("memory for a key", lambda effort: _rounds(effort) * len(WAYS) * 2, _run)
