"""The units, how many tests of each pass at least, and which are skipped for what reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["PASSED", "SKIPPED", "Skip"]

PASSED = {
    "multi": 0,
    "type/string": 0,
    "type/incr": 0,
    "expire": 0,
    "keyspace": 0,
    "protocol": 0,
    "scan": 0,
    "quit": 0,
    "info-command": 0,
    "other": 0,
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
