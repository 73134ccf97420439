"""The units, how many tests of each pass at least, and which are skipped for what reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["PASSED", "SKIPPED", "Skip"]

PASSED = {
    "multi": 23,
    "type/string": 67,
    "type/incr": 21,
    "expire": 55,
    "keyspace": 33,
    "protocol": 15,
    "scan": 5,
    "quit": 3,
    "info-command": 3,
    "other": 10,
}
_FILE = Path(__file__).with_name("skipped.txt")


@dataclass(frozen=True, slots=True)
class Skip:
    unit: str
    test: str
    reason: str


def _skipped(text: str) -> tuple[Skip, ...]:
    """One a line: unit | the test's name | reason."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(Skip(*line.split(" | ", 2)) for line in lines)


SKIPPED = _skipped(_FILE.read_text())
