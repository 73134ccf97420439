"""What the parts of the benchmarks have in common: how much they do, what they bring back, and how figures look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from rich.table import Table

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
    """A part's figures: for people, and for programs."""

    table: Table
    rows: list[dict[str, Any]]


class Part(NamedTuple):
    """A part: `run` calls its second argument `steps(effort)` times. `needs`: programs that it can't do without."""

    title: str
    steps: Callable[[Effort], int]
    run: Callable[[Effort, OnStep], Report]
    needs: tuple[str, ...] = ()


def table(title: str, *columns: str, left: tuple[str, ...] = ()) -> Table:
    """An empty table: figures to the right, the columns in `left` to the left."""
    made = Table(title=title)
    for name in columns:
        made.add_column(name, justify="left" if name in left else "right")
    return made


def count(value: float | None, digits: int = 0) -> str:
    """A figure; `absent` if what it is of was not there."""
    return "absent" if value is None else f"{value:,.{digits}f}"


def ratio(value: float | None) -> str:
    """A ratio; a dash if one side was not there."""
    return "-" if value is None else f"{value:.2f}"
