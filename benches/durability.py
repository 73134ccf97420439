"""Durable commands a second, as redis-benchmark counts them: every SET and INCR is on disk before its reply.

    mvcc-kv   serve --fsync always
    redis     appendonly yes, appendfsync always
    disk      no server at all: 4 KiB written into space set aside and forced to disk, one after the other

What a single client can get at depth 1 the disk bounds; with more of them, how many commits share a sync. Both servers
have their directories on the same disk.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benches.commands import SIDES, label_of, measure_rows, redis_table, workloads
from benches.parts import Effort, OnStep, Part, Report, count
from benches.rates import Row
from benches.redis_benchmark import RedisBenchmark
from benches.servers import durable_mvcc_kv_server, durable_redis_server
from benches.targets import Comparison

__all__ = ["DURABILITY"]

_BLOCK = bytes(4096)
_BLOCKS = 1024
_TARGETED = {("SET", 50, 1), ("SET", 50, 16)}


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows = [Row(workload) for workload in workloads()]
    peer = effort.scratch / "redis"
    peer.mkdir()
    with ExitStack() as stack:
        started = [
            stack.enter_context(durable_mvcc_kv_server(effort.scratch / "mvcc-kv")),
            stack.enter_context(durable_redis_server(peer)),
        ]
        servers = [server for server in started if server is not None]
        measure_rows(RedisBenchmark(effort.seconds), rows, servers, effort.rounds, on_step)
    syncs = [_syncs_per_second(effort.scratch / "disk", effort.seconds) for _ in range(effort.rounds)]
    return _report(rows, median(syncs))


def _syncs_per_second(path: Path, seconds: float) -> float:
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.posix_fallocate(file, 0, len(_BLOCK) * _BLOCKS)
        os.fsync(file)
        syncs, began_at = 0, time.perf_counter()
        while (now := time.perf_counter()) < began_at + seconds:
            os.pwrite(file, _BLOCK, syncs % _BLOCKS * len(_BLOCK))
            os.fdatasync(file)
            syncs += 1
        return syncs / (now - began_at)
    finally:
        os.close(file)
        path.unlink()


def _report(rows: list[Row], disk: float) -> Report:
    made = redis_table("Durable commands a second over loopback", rows)
    made.caption += f"; the disk alone: {count(disk)} syncs a second"
    comparisons = [it for row in rows if (it := _comparison(row)) is not None]
    return Report(made, [{**row.to_json(), "disk_syncs_per_second": disk} for row in rows], comparisons)


def _comparison(row: Row) -> Comparison | None:
    it = row.workload
    if (it.verb, it.connections, it.depth) not in _TARGETED:
        return None
    return Comparison("durable-sets", label_of(it), row.ratios(*SIDES))


DURABILITY = Part(
    "durable SET, GET and INCR",
    lambda effort: effort.rounds * len(workloads()),
    _run,
    needs=("redis-benchmark",),
)
