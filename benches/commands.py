"""Commands a second over loopback: mvcc-kv beside a bare echo server, and beside redis-server where it is installed.

The servers take turns, workload by workload and round by round, so that whatever else the machine does
falls on all of them alike; a figure is the median of its rounds. The echo server bounds what any server
of one Python thread could do; redis-server shows what C does.
"""

from __future__ import annotations

from contextlib import ExitStack

from benches.dialects import VERBS
from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.rates import Row, Workload, measure
from benches.servers import echo_server, mvcc_kv_server, redis_server

__all__ = ["COMMANDS", "CONNECTIONS", "DEPTHS"]

DEPTHS = (1, 16, 64)
CONNECTIONS = (1, 50)


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows = [Row(Workload(verb, depth, number)) for number in CONNECTIONS for verb in VERBS for depth in DEPTHS]
    with ExitStack() as stack:
        started = [stack.enter_context(server()) for server in (mvcc_kv_server, echo_server, redis_server)]
        servers = [server for server in started if server is not None]
        for _ in range(effort.rounds):
            for row in rows:
                measure(row, servers, effort.seconds)
                on_step()
    return _report(rows)


def _report(rows: list[Row]) -> Report:
    columns = ("clients", "command", "depth", "mvcc-kv", "echo", "to echo", "redis", "to redis")
    made = table("Commands a second over loopback", *columns, left=("command",))
    for row in rows:
        it = row.workload
        made.add_row(
            f"{it.connections}",
            it.verb,
            f"{it.depth}",
            count(row.commands_per_second("mvcc-kv")),
            count(row.commands_per_second("echo")),
            ratio(row.ratio("mvcc-kv", "echo")),
            count(row.commands_per_second("redis-server")),
            ratio(row.ratio("mvcc-kv", "redis-server")),
            end_section=it.depth == DEPTHS[-1],
        )
    return Report(made, [row.to_json() for row in rows])


COMMANDS = Part(
    "GET and PUT over loopback",
    lambda effort: effort.rounds * len(CONNECTIONS) * len(VERBS) * len(DEPTHS),
    _run,
)
