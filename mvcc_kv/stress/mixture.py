"""Several workloads at once, on one store: each ticket is of one of them, by their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from mvcc_kv.api import Isolation
from mvcc_kv.stress.history import Micro
from mvcc_kv.stress.plan import Cells, Checked, Operation, Plan, Workload, step_random

__all__ = ["Mixture"]


@dataclass(frozen=True)
class Mixture:
    """Workloads with other prefixes each, as often as their weights say. Satisfies `Workload`."""

    parts: tuple[Workload, ...]
    weights: tuple[float, ...]
    seed: int = 0
    prefix: str = ""

    @property
    def name(self) -> str:
        """The names of its parts."""
        return "+".join(part.name for part in self.parts)

    def prepare(self, cells: Cells) -> None:
        """Prepare each part."""
        for part in self.parts:
            part.prepare(cells)

    def plan(self, ticket: int) -> Plan:
        """The step of that number, of whichever part's turn it is."""
        [part] = step_random(~self.seed, ticket).choices(self.parts, cum_weights=list(accumulate(self.weights)))
        return part.plan(ticket)

    def perform(self, cells: Cells, plan: Plan, pause: Callable[[], None]) -> list[Micro]:
        """Take the step as its part does."""
        return self._part_of(plan.micros).perform(cells, plan, pause)

    def check(self, ops: Sequence[Operation], final: Mapping[str, Any], isolation: Isolation) -> Checked:
        """What each part finds in what concerns it."""
        checked = Checked()
        for part in self.parts:
            theirs = [op for op in ops if op.asked[0][1].startswith(part.prefix)]
            checked.include(part.check(theirs, _under(final, part.prefix), isolation))
        return checked

    def _part_of(self, micros: Sequence[Micro]) -> Workload:
        key = micros[0][1]
        return next(part for part in self.parts if key.startswith(part.prefix))


def _under(final: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {key: value for key, value in final.items() if key.startswith(prefix)}
