"""Runs of the machine: CI's, which is the same every time, and those of a seed."""

from __future__ import annotations

import time

import hypothesis
from hypothesis import Phase
from hypothesis.stateful import run_state_machine_as_test

from ..servers import Place
from .machine import Twins

__all__ = ["Meeting"]

_SETTINGS = hypothesis.settings(
    database=None,
    deadline=None,
    max_examples=90,
    stateful_step_count=40,
    suppress_health_check=list(hypothesis.HealthCheck),
    print_blob=True,
)


class Meeting:
    """Redis and ours, to be told the same. Its text says how much that was."""

    def __init__(self, redis: Place, ours: Place) -> None:
        class Both(Twins):
            places = (redis, ours)

        self._twins = Both
        self.took_s = 0.0

    def go(self, seed: int | None = None, *, is_shrunk: bool = True) -> None:
        """Raises `AssertionError` at a difference, shrunk to the fewest commands unless that isn't wanted."""
        phases = [Phase.generate, Phase.shrink] if is_shrunk else [Phase.generate]
        settings = hypothesis.settings(_SETTINGS, phases=phases, derandomize=seed is None)
        machine = self._twins if seed is None else hypothesis.seed(seed)(self._twins)
        began_s = time.monotonic()
        try:
            run_state_machine_as_test(machine, settings=settings)
        finally:
            self.took_s += time.monotonic() - began_s

    @property
    def said(self) -> int:
        """How many commands, beside those that compare what both hold."""
        return self._twins.said

    def __str__(self) -> str:
        examples = self._twins.examples
        return (
            f"{examples} examples, {self.said} commands in {self.took_s:.1f} s: "
            f"{self.said / max(examples, 1):.0f} an example, {self.said / max(self.took_s, 0.001):.0f} a second"
        )
