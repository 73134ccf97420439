"""Calls a second within this process: what the engine does with no server around it.

Sides that are compared take turns, round by round. What counts is this thread's processor time, so that others who want
the core make nobody slower; the caches that they empty still do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import TypeAlias

__all__ = ["Run", "Side", "repeated"]

Run: TypeAlias = Callable[[], int]
"""Does something a number of times, which takes a millisecond or so, and says how often."""


@dataclass(slots=True, eq=False)
class Side:
    """Something to measure, and its figures, one of each round."""

    run: Run
    rounds: list[float] = field(default_factory=list)

    def measure(self, seconds: float) -> None:
        """One round more."""
        clock = time.thread_time
        self.run()
        done, began_at = 0, clock()
        until = began_at + seconds
        while (now := clock()) < until:
            done += self.run()
        self.rounds.append(done / (now - began_at))

    @property
    def per_second(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    def ratio_to(self, other: Side) -> float:
        """The median of the rounds' ratios: the two of a round had the same neighbours."""
        return median(ours / theirs for ours, theirs in zip(self.rounds, other.rounds, strict=True))


def repeated(call: Callable[[], object], times: int = 1000) -> Run:
    """The call, so many times over."""

    def run() -> int:
        for _ in range(times):
            call()
        return times

    return run
