"""Durable SETs a second: every one is on disk before its reply. mvcc-kv beside redis-server, on the same disk.

    mvcc-kv   serve --fsync always
    redis     appendonly yes, appendfsync always
    disk      no server at all: 4 KiB written into space set aside and forced to disk, one after the other

What a single client can get at depth 1 the disk bounds; with more of them, how many commits share a sync.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.rates import Row, Workload, measure
from benches.servers import durable_mvcc_kv_server, durable_redis_server

__all__ = ["CONNECTIONS", "DEPTHS", "DURABILITY"]

DEPTHS = (1, 16)
CONNECTIONS = (1, 50)
_BLOCK = bytes(4096)
_BLOCKS = 1024


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows = [Row(Workload("PUT", depth, number)) for number in CONNECTIONS for depth in DEPTHS]
    syncs: list[float] = []
    peer = effort.scratch / "redis"
    peer.mkdir()
    with ExitStack() as stack:
        started = [
            stack.enter_context(durable_mvcc_kv_server(effort.scratch / "mvcc-kv")),
            stack.enter_context(durable_redis_server(peer)),
        ]
        servers = [server for server in started if server is not None]
        for _ in range(effort.rounds):
            for row in rows:
                measure(row, servers, effort.seconds)
                on_step()
            syncs.append(_syncs_per_second(effort.scratch / "disk", effort.seconds))
            on_step()
    return _report(rows, syncs)


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


def _report(rows: list[Row], syncs: list[float]) -> Report:
    made = table("Durable SETs a second", "clients", "depth", "mvcc-kv", "redis", "to redis", "to disk")
    disk = median(syncs)
    made.caption = f"the disk alone: {count(disk)} syncs a second"
    for row in rows:
        ours = row.commands_per_second("mvcc-kv")
        made.add_row(
            f"{row.workload.connections}",
            f"{row.workload.depth}",
            count(ours),
            count(row.commands_per_second("redis-server")),
            ratio(row.ratio("mvcc-kv", "redis-server")),
            ratio(ours / disk if ours else None),
            end_section=row.workload.depth == DEPTHS[-1],
        )
    return Report(made, [{**row.to_json(), "disk_syncs_per_second": disk} for row in rows])


DURABILITY = Part(
    "durable SETs",
    lambda effort: effort.rounds * (len(CONNECTIONS) * len(DEPTHS) + 1),
    _run,
)
