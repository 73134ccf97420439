"""A verdict: which anomalies a history holds, which levels that excludes, and what it was told of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mvcc_kv.stress.checker.anomalies import EXCLUDED_BY, Anomaly
from mvcc_kv.stress.checker.graph import LABELS
from mvcc_kv.stress.checker.models import ALL_LEVELS, Level, stronger, strongest

__all__ = ["Counts", "Verdict", "levels_from"]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there was to judge. `unknown` are those whose outcome nobody saw, and whose writes neither."""

    transactions: int = 0
    committed: int = 0
    failed: int = 0
    unknown: int = 0
    reads: int = 0
    writes: int = 0
    keys: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of a history. In `levels` a level is True if it holds as far as anybody can know from what the
    clients saw, False if it doesn't for sure, and None where to find out would have taken too long.
    """

    mode: str
    counts: Counts
    levels: Mapping[Level, bool | None]
    anomalies: Mapping[str, list[Anomaly]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def holds(self, level: Level) -> bool | None:
        """Whether the level holds."""
        return self.levels[level]

    @property
    def strongest(self) -> list[Level]:
        """The strongest levels that hold."""
        return strongest(frozenset(level for level, holds in self.levels.items() if holds))

    def to_json(self) -> dict[str, Any]:
        """The verdict for programs."""
        return {
            "mode": self.mode,
            "counts": {name: getattr(self.counts, name) for name in Counts.__dataclass_fields__},
            "levels": {level.name: holds for level, holds in self.levels.items()},
            "strongest": [level.name for level in self.strongest],
            "anomalies": {
                name: [self._anomaly(one) for one in found] for name, found in sorted(self.anomalies.items())
            },
        }

    def _anomaly(self, it: Anomaly) -> dict[str, Any]:
        told: dict[str, Any] = {"transactions": [self.names[one] for one in it.transactions], "words": it.words}
        if it.cycle is not None:
            told["cycle"] = [[self.names[a], LABELS[label], self.names[b]] for a, label, b in it.cycle.steps]
        return told


def levels_from(
    anomalies: Iterable[str], broken: Iterable[Level], open_questions: Iterable[Level] = ()
) -> dict[Level, bool | None]:
    """Each level with whether it holds, where there are such anomalies and these levels are known not to hold."""
    excluded: set[Level] = set()
    for level in [*broken, *(level for name in anomalies for level in EXCLUDED_BY.get(name, ()))]:
        excluded |= stronger(level)
    unsure: set[Level] = set()
    for level in open_questions:
        unsure |= stronger(level)
    return {level: False if level in excluded else None if level in unsure else True for level in ALL_LEVELS}
