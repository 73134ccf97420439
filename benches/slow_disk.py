"""How long readers wait while writers commit, on a disk whose syncs take 20 ms longer.

Readers and writers are closed loops: each has one command under way. Every SET is durable before its reply, in both
servers. strace makes the disk slow. A server whose readers don't notice has the same figures in both rows.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median
from typing import Any

from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.probe import Seen, probing
from benches.servers import RunningServer, durable_mvcc_kv_server, durable_redis_server

__all__ = ["FSYNC_MS", "READERS", "SLOW_DISK", "WRITERS"]

FSYNC_MS = 20
READERS = 4
WRITERS = (0, 16)
_SERVERS = ("mvcc-kv", "redis-server")
_STRETCH = 3  # a second has some 50 syncs: too few for a 99th percentile


def _run(effort: Effort, on_step: OnStep) -> Report:
    seen: dict[tuple[int, str], list[Seen]] = {}
    (effort.scratch / "slow-redis").mkdir()
    with ExitStack() as stack:
        started = [
            stack.enter_context(durable_mvcc_kv_server(effort.scratch / "slow-mvcc-kv", fsync_ms=FSYNC_MS)),
            stack.enter_context(durable_redis_server(effort.scratch / "slow-redis", fsync_ms=FSYNC_MS)),
        ]
        servers = [server for server in started if server is not None]
        for _ in range(effort.rounds):
            for writers in WRITERS:
                for server in servers:
                    it = _watch(server, writers, effort.seconds * _STRETCH)
                    seen.setdefault((writers, server.name), []).append(it)
                on_step()
    return _report(seen)


def _watch(server: RunningServer, writers: int, seconds: float) -> Seen:
    with probing(server, readers=READERS, writers=writers) as seen:
        time.sleep(seconds)
    return seen


def _report(seen: dict[tuple[int, str], list[Seen]]) -> Report:
    rows = [_row(writers, {name: seen.get((writers, name), []) for name in _SERVERS}) for writers in WRITERS]
    made = table(
        f"Milliseconds that {READERS} readers wait, syncs taking {FSYNC_MS} ms",
        *("writers", "server", "reads/s", "p50", "p99", "max", "p99 to redis", "SETs/s"),
        left=("server",),
    )
    for row in rows:
        for name in _SERVERS:
            it = row["servers"].get(name, {})
            made.add_row(
                f"{row['writers']}",
                name,
                count(it.get("reads_per_second")),
                *(count(it.get(f"{figure}_ms"), 2) for figure in ("p50", "p99", "max")),
                ratio(row["p99_ratio_to_redis"] if name == "mvcc-kv" else None),
                count(it.get("writes_per_second")),
                end_section=name == _SERVERS[-1],
            )
    return Report(made, rows)


def _row(writers: int, seen: dict[str, list[Seen]]) -> dict[str, Any]:
    servers = {name: _figures(rounds) for name, rounds in seen.items() if rounds}
    both = len(servers) == len(_SERVERS)
    return {
        "readers": READERS,
        "writers": writers,
        "fsync_ms": FSYNC_MS,
        "servers": servers,
        "p99_ratio_to_redis": servers["mvcc-kv"]["p99_ms"] / servers["redis-server"]["p99_ms"] if both else None,
        "rounds": {name: [asdict(it) for it in rounds] for name, rounds in seen.items()},
    }


def _figures(rounds: list[Seen]) -> dict[str, float]:
    """Medians of the rounds; of the longest wait too, which is each round's own."""
    return {
        "reads_per_second": median(it.reads / it.seconds for it in rounds),
        "writes_per_second": median(it.writes / it.seconds for it in rounds),
        "p50_ms": median(it.p50_ms for it in rounds),
        "p99_ms": median(it.p99_ms for it in rounds),
        "max_ms": median(it.max_ms for it in rounds),
    }


SLOW_DISK = Part("readers beside writers, on a slow disk", lambda effort: effort.rounds * len(WRITERS), _run)
