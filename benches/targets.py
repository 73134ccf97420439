"""The targets: how fast the server is to be, as ratios to its peers in the same run, and which of them are reached.

A ratio is ours to theirs: of commands a second, where more is better, or of seconds and bytes, where less is. What is
compared with a target is the median of the rounds' ratios, row by row: a target is reached if every row of it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benches.tables import Table, ratio, table

__all__ = ["TARGETS", "Comparison", "Target", "ratios", "targets_table"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached. `less_is_better`: then `least` and `wished` are at most, not at least."""

    work: str
    against: str
    least: float
    wished: float
    less_is_better: bool = False

    def verdict(self, value: float | None) -> str:
        """What a row that came out at this ratio has reached."""
        if value is None:
            return "not measured"
        if self._reaches(value, self.wished):
            return "reached, and the wish too"
        return "reached" if self._reaches(value, self.least) else "NOT REACHED"

    def _reaches(self, value: float, bound: float) -> bool:
        return value <= bound if self.less_is_better else value >= bound

    def bounds(self) -> tuple[str, str]:
        """The least and the wished, in words."""
        sign = "≤" if self.less_is_better else "≥"
        return f"{sign} {self.least:g}", f"{sign} {self.wished:g}"


_REDIS = "redis-server, no persistence"

TARGETS = {
    "depth-1": Target("GET, SET, INCR, depth 1", _REDIS, 0.85, 1.0),
    "pipelined": Target("GET, SET, INCR, depths 16 and 64", _REDIS, 0.9, 1.5),
    "durable-sets": Target("SET, fsync always, 50 connections", "redis-server, appendfsync always", 1.0, 1.5),
    "transactions-uniform": Target("interactive transactions, uniform keys", "Redis WATCH, same client", 1.0, 1.5),
    "transactions-hot": Target("interactive transactions, hot keys", "Redis WATCH", 1.0, 2.0),
    "transactions-postgresql": Target("interactive transactions, durable", "PostgreSQL, synchronous_commit=on", 4, 8),
    "transactions-etcd": Target("interactive transactions, durable", "etcd on the same disk", 20, 40),
    "embedded": Target("embedded transactions", "ZODB MappingStorage", 5, 10),
    "memory": Target("memory per key", "redis-server", 2.5, 1.5, less_is_better=True),
    "load": Target("time to load the keys", "redis-server, from RDB", 3, 1, less_is_better=True),
    "checkpoint-p99": Target("GET p99 beside a checkpoint", "itself at rest", 3, 1, less_is_better=True),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row that has a target: the name of that, what was done, and the ratio of each round."""

    target: str
    row: str
    rounds: Sequence[float]

    @property
    def ratio(self) -> float | None:
        """The median of the rounds; None if there were none."""
        return median(self.rounds) if self.rounds else None

    @property
    def verdict(self) -> str:
        """What it has reached."""
        return TARGETS[self.target].verdict(self.ratio)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "verdict": self.verdict}

    @classmethod
    def from_json(cls, figures: dict[str, Any]) -> Comparison:
        """The comparison that `to_json` described, judged by the targets of today."""
        return cls(figures["target"], figures["row"], figures["rounds"])


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Each round's ratio: the two of a round had the same neighbours. None of a side that was not there."""
    return [our / their for our, their in zip(ours, theirs, strict=False) if their]


def targets_table(comparisons: Sequence[Comparison]) -> Table:
    """The rows that have targets, in the targets' order."""
    columns = ("work", "against", "row", "ratio", "rounds", "at least", "wished", "")
    made = table("Targets: ours to theirs", *columns, left=("work", "against", "row", ""))
    for name, target in TARGETS.items():
        rows = [it for it in comparisons if it.target == name]
        for number, it in enumerate(rows):
            head = ("", "") if number else (target.work, target.against)
            spread = f"{min(it.rounds):.2f} to {max(it.rounds):.2f}" if it.rounds else "-"
            made.add_row(
                *head, it.row, ratio(it.ratio), spread, *target.bounds(), it.verdict, end_section=it is rows[-1]
            )
    made.caption = _summary(comparisons)
    return made


def _summary(comparisons: Sequence[Comparison]) -> str:
    measured = [it for it in comparisons if it.rounds]
    reached = sum(it.verdict.startswith("reached") for it in measured)
    whole = {name: [it for it in measured if it.target == name] for name in TARGETS}
    targets = [all(it.verdict.startswith("reached") for it in rows) for rows in whole.values() if rows]
    return f"Reached: {reached} of {len(measured)} rows; {sum(targets)} of {len(targets)} targets in all of their rows."
