"""Commands a second over loopback, as redis-benchmark counts them: mvcc-kv in memory, beside redis-server that keeps
nothing.

    redis-benchmark -c 1,50 -P 1,16,64 -d 32 -r 10000 -t set,get,incr

The servers take turns, workload by workload and round by round, so that whatever else the machine does falls on both of
them alike. A figure is the median of its rounds, a ratio that of the rounds' ratios. Where the generator is busy all of
the time (`busy`: the most that it was), it is the bottleneck, and the server could do more.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import product

from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.rates import Row, Workload
from benches.redis_benchmark import VERBS, RedisBenchmark, fill
from benches.servers import RunningServer, mvcc_kv_server, redis_server
from benches.tables import Table
from benches.targets import Comparison

__all__ = ["COMMANDS", "CONNECTIONS", "DEPTHS", "SIDES", "label_of", "measure_rows", "redis_table", "workloads"]

DEPTHS = (1, 16, 64)
CONNECTIONS = (1, 50)
SIDES = ("mvcc-kv", "redis-server")


def workloads() -> list[Workload]:
    """What redis-benchmark is asked for."""
    return [Workload(verb, depth, number) for number, verb, depth in product(CONNECTIONS, VERBS, DEPTHS)]


def measure_rows(
    benchmark: RedisBenchmark, rows: list[Row], servers: Sequence[RunningServer], rounds: int, on_step: OnStep
) -> None:
    """All rounds of all rows."""
    for server in servers:
        fill(server)
    for _ in range(rounds):
        for row in rows:
            benchmark.measure(row, servers)
            on_step()


def redis_table(title: str, rows: list[Row]) -> Table:
    """The figures of both sides."""
    columns = ("clients", "command", "depth", "mvcc-kv", "redis", "to redis", "mvcc-kv us", "redis us", "busy")
    made = table(title, *columns, left=("command",))
    made.caption = "us: the server's processor time for a command; busy: the generator's share of its core"
    for row in rows:
        it = row.workload
        made.add_row(
            f"{it.connections:,}",
            it.verb,
            f"{it.depth}",
            *(count(row.commands_per_second(side)) for side in SIDES),
            ratio(row.ratio(*SIDES)),
            *(count(row.cpu_us(side), 2) for side in SIDES),
            f"{max(share for shares in row.generator_busy.values() for share in shares):.0%}",
            end_section=it.depth == DEPTHS[-1],
        )
    return made


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows = [Row(workload) for workload in workloads()]
    with ExitStack() as stack:
        started = [stack.enter_context(server()) for server in (mvcc_kv_server, redis_server)]
        servers = [server for server in started if server is not None]
        measure_rows(RedisBenchmark(effort.seconds), rows, servers, effort.rounds, on_step)
    made = redis_table("Commands a second over loopback", rows)
    return Report(made, [row.to_json() for row in rows], [_comparison(row) for row in rows])


def _comparison(row: Row) -> Comparison:
    it = row.workload
    return Comparison("depth-1" if it.depth == 1 else "pipelined", label_of(it), row.ratios(*SIDES))


def label_of(it: Workload) -> str:
    """A workload as redis-benchmark's options have it."""
    return f"{it.verb} -c {it.connections} -P {it.depth}"


COMMANDS = Part(
    "SET, GET and INCR over loopback",
    lambda effort: effort.rounds * len(workloads()),
    _run,
    needs=("redis-benchmark",),
)
