"""Commands a second: workloads, and the figures of each server that had them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from benches.load import Result
from benches.targets import ratios

__all__ = ["Row", "Workload"]


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

    def cpu_us(self, server: str) -> float | None:
        """The server's processor time for a command, in microseconds; None for one that was not there."""
        return median(self.server_us[server]) if server in self.server_us else None

    def ratios(self, server: str, other: str) -> list[float]:
        """How many commands the one does for each of the other's, round by round."""
        return ratios(self.per_second.get(server, []), self.per_second.get(other, []))

    def ratio(self, server: str, other: str) -> float | None:
        """The median of these; None if one of them was not there."""
        return median(rounds) if (rounds := self.ratios(server, other)) else None

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
