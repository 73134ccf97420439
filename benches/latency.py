"""How long a command waits at a fixed rate: half of them GETs, half SETs, over 50 connections, both servers in memory.

Commands are due at regular times, whether the ones before them were answered or not, and a wait begins when its
command is due: who is late for one is late for those behind it too (the pacer doesn't omit what it should have sent
meanwhile). A rate that a server can't keep up with shows as waits without end; `kept` is the share that was answered.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median
from typing import Any

from benches.pacer import Pace, Waits
from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.servers import GENERATOR_CORES, RunningServer, mvcc_kv_server, pinned, redis_server
from benches.targets import ratios

__all__ = ["CONNECTIONS", "LATENCY", "RATES"]

CONNECTIONS = 50
RATES = (1_000, 5_000, 15_000)
_SERVERS = ("mvcc-kv", "redis-server")
_FIGURES = ("p50_ms", "p99_ms", "p999_ms")
_STRETCH = 3  # a 99.9th percentile needs some thousand commands


def _run(effort: Effort, on_step: OnStep) -> Report:
    waits: dict[tuple[int, str], list[Waits]] = {}
    with ExitStack() as stack:
        started = [stack.enter_context(server()) for server in (mvcc_kv_server, redis_server)]
        for _ in range(effort.rounds):
            for rate in RATES:
                for server in started:
                    if server is not None:
                        waits.setdefault((rate, server.name), []).append(_pace(server, rate, effort.seconds * _STRETCH))
                on_step()
    return _report(waits)


def _pace(server: RunningServer, rate: int, seconds: float) -> Waits:
    pace = Pace(server.port, CONNECTIONS, rate, seconds)
    with pinned(GENERATOR_CORES):
        command = [sys.executable, "-m", "benches.pacer", json.dumps(asdict(pace))]
        process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(f"the pacer failed for {pace} on {server.name}: {process.stderr}")
    return Waits(**json.loads(process.stdout))


def _report(waits: dict[tuple[int, str], list[Waits]]) -> Report:
    columns = ("commands/s", "server", "p50", "p99", "p99.9", "longest", "p99 to redis", "kept")
    made = table(f"Milliseconds that a command waits, {CONNECTIONS} connections", *columns, left=("server",))
    rows = [_row(rate, waits) for rate in RATES]
    for row in rows:
        for name, it in row["servers"].items():
            made.add_row(
                f"{row['rate']:,}",
                name,
                *(count(it[figure], 3) for figure in (*_FIGURES, "max_ms")),
                ratio(row["p99_ratio_to_redis"] if name == "mvcc-kv" else None),
                f"{it['kept']:.1%}",
                end_section=name == _SERVERS[-1],
            )
    return Report(made, rows)


def _row(rate: int, waits: dict[tuple[int, str], list[Waits]]) -> dict[str, Any]:
    p99s = [[it.p99_ms for it in waits.get((rate, name), [])] for name in _SERVERS]
    p99 = ratios(*p99s)
    servers = {name: _figures(waits[rate, name]) for name in _SERVERS if (rate, name) in waits}
    return {
        "rate": rate,
        "connections": CONNECTIONS,
        "servers": servers,
        "p99_ratio_to_redis": median(p99) if p99 else None,
        "rounds": {name: [asdict(it) for it in waits.get((rate, name), [])] for name in _SERVERS},
    }


def _figures(rounds: list[Waits]) -> dict[str, float]:
    def middle(figure: Callable[[Waits], float]) -> float:
        return median(map(figure, rounds))

    return {
        "p50_ms": middle(lambda it: it.p50_ms),
        "p99_ms": middle(lambda it: it.p99_ms),
        "p999_ms": middle(lambda it: it.p999_ms),
        "max_ms": middle(lambda it: it.max_ms),
        "kept": middle(lambda it: it.answered / it.due),
    }


LATENCY = Part("waits at a fixed rate", lambda effort: effort.rounds * len(RATES), _run)
