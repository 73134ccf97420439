"""Commands a second with 1 to 5,000 connections, each with one GET under way, as redis-benchmark counts them."""

from __future__ import annotations

import resource
from contextlib import ExitStack

from benches.commands import measure_rows, redis_table
from benches.parts import Effort, OnStep, Part, Report
from benches.rates import Row, Workload
from benches.redis_benchmark import RedisBenchmark
from benches.servers import mvcc_kv_server, redis_server

__all__ = ["CONNECTIONS_MANY", "NUMBERS"]

NUMBERS = (1, 100, 1_000, 5_000)
_SPARE_FILES = 200
_LEAST = 20  # of each connection, so that making it is a small part


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows = [Row(Workload("GET", 1, number)) for number in _numbers()]
    with ExitStack() as stack:
        started = [stack.enter_context(server()) for server in (mvcc_kv_server, redis_server)]
        servers = [server for server in started if server is not None]
        measure_rows(RedisBenchmark(effort.seconds, _LEAST), rows, servers, effort.rounds, on_step)
    made = redis_table("GETs a second, by connections", rows)
    made.ends.clear()
    return Report(made, [row.to_json() for row in rows])


def _numbers() -> list[int]:
    """As many connections as files may be open, here and in what is started from here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return [number for number in NUMBERS if most == resource.RLIM_INFINITY or number + _SPARE_FILES <= most]


CONNECTIONS_MANY = Part(
    "commands by connections",
    lambda effort: effort.rounds * len(_numbers()),
    _run,
    needs=("redis-benchmark",),
)
