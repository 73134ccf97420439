"""What the parts of the benchmarks have in common: how much they do, and what they bring back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from benches.tables import Table, count, ratio, table
from benches.targets import Comparison

__all__ = ["Effort", "OnStep", "Part", "Report", "count", "ratio", "table"]

OnStep: TypeAlias = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: the length of a measurement, how often it is made, and the keys of a large store."""

    seconds: float
    rounds: int
    keys: int
    scratch: Path


class Report(NamedTuple):
    """A part's figures: for people, for programs, and those that have targets."""

    table: Table
    rows: list[dict[str, Any]]
    comparisons: list[Comparison] = []  # noqa: RUF012  (nobody adds to it)


class Part(NamedTuple):
    """A part: `run` calls its second argument `steps(effort)` times. `needs`: programs that it can't do without."""

    title: str
    steps: Callable[[Effort], int]
    run: Callable[[Effort, OnStep], Report]
    needs: tuple[str, ...] = ()
