"""Commands a second: workloads, servers that take turns at them, and the figures of each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benches.load import Load, Result
from benches.servers import GENERATOR_CORES, RunningServer, pinned

__all__ = ["Row", "Workload", "measure"]


@dataclass(frozen=True, slots=True)
class Workload:
    """What the connections do: each has `depth` commands under way at a time."""

    verb: str
    depth: int
    connections: int


@dataclass(slots=True)
class Row:
    """A workload's figures, by server, one of each round."""

    workload: Workload
    per_second: dict[str, list[float]] = field(default_factory=dict)
    server_us: dict[str, list[float]] = field(default_factory=dict)
    generator_busy: dict[str, list[float]] = field(default_factory=dict)

    def add(self, server: str, result: Result, server_cpu_s: float) -> None:
        self.per_second.setdefault(server, []).append(result.commands / result.seconds)
        self.server_us.setdefault(server, []).append(server_cpu_s / max(result.commands, 1) * 1e6)
        self.generator_busy.setdefault(server, []).append(result.cpu_s / result.seconds)

    def commands_per_second(self, server: str) -> float | None:
        """The median of the rounds; None for a server that was not there."""
        return median(self.per_second[server]) if server in self.per_second else None

    def ratio(self, server: str, other: str) -> float | None:
        """How many commands the one does for each of the other's."""
        ours, theirs = self.commands_per_second(server), self.commands_per_second(other)
        return ours / theirs if ours and theirs else None

    def to_json(self) -> dict[str, Any]:
        others = [server for server in self.per_second if server != "mvcc-kv"]
        return {
            **asdict(self.workload),
            "commands_per_second": {server: self.commands_per_second(server) for server in self.per_second},
            **{f"ratio_to_{it.removesuffix('-server')}": self.ratio("mvcc-kv", it) for it in others},
            "server_cpu_us_per_command": {server: median(times) for server, times in self.server_us.items()},
            "generator_busy": {server: median(shares) for server, shares in self.generator_busy.items()},
            "rounds": self.per_second,
        }


def measure(row: Row, servers: Sequence[RunningServer], seconds: float) -> None:
    """One round: each server in turn has the row's workload for so many seconds."""
    for server in servers:
        before_s = server.cpu_s()
        result = _generate(Load(server.port, server.dialect, **asdict(row.workload), seconds=seconds))
        row.add(server.name, result, server.cpu_s() - before_s)


def _generate(load: Load) -> Result:
    with pinned(GENERATOR_CORES):
        process = subprocess.run(
            [sys.executable, "-m", "benches.load", json.dumps(asdict(load))], capture_output=True, text=True
        )
    if process.returncode:
        raise RuntimeError(f"the load generator failed for {load}: {process.stderr}")
    return Result(**json.loads(process.stdout))
