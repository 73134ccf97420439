"""Pairs: two keys that are always written together, without a look at them, and so must always be seen together.

A blind writer has read nothing that could protect it: what two of them wrote may only be told apart by whole commits.
Readers read one key, pause, and read the other, in either order; or scan both. Some read the past: the state some
commits ago, as far as it is kept, in which nothing can have come between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mvcc_kv.api import Isolation
from mvcc_kv.stress.history import Micro
from mvcc_kv.stress.plan import Cells, Checked, KeyChoice, Operation, Plan, step_random
from mvcc_kv.stress.workloads.micro import perform
from mvcc_kv.stress.workloads.staleness import check_registers

__all__ = ["Pairs"]


@dataclass(frozen=True)
class Pairs:
    """`keys` pairs."""

    prefix: str = "pairs/"
    seed: int = 0
    keys: int = 4
    skew: float = 0.0
    read_share: float = 0.5
    rollback_share: float = 0.05
    name: str = "pairs"

    def prepare(self, cells: Cells) -> None:
        """Nothing: at first neither of a pair is there."""

    def plan(self, ticket: int) -> Plan:
        """Write both, or read both, now or as they were."""
        rng = step_random(self.seed, ticket)
        pair = f"{self.prefix}{self._choice.pick(rng)}/"
        both = [f"{pair}a", f"{pair}b"]
        rng.shuffle(both)
        if rng.random() >= self.read_share:
            writes = tuple(("w", key, ticket) for key in both)
            return Plan("write", writes, rolls_back=rng.random() < self.rollback_share)
        micros: tuple[Micro, ...] = (
            (("scan", pair, None),) if rng.random() < 0.3 else tuple(("r", key, None) for key in both)
        )
        if rng.random() < 0.2:
            return Plan("look back", micros, "read_only", ago=rng.randint(1, 50))
        return Plan("look", micros, "transaction" if rng.random() < 0.3 else "read_only")

    def perform(self, cells: Cells, plan: Plan, pause: Callable[[], None]) -> list[Micro]:
        """Write or read both."""
        done = perform(cells, plan.micros, pause)
        if done[0][0] == "scan":
            _, pair, seen = done[0]
            return [("r", f"{pair}{which}", seen.get(f"{pair}{which}")) for which in "ab"]
        return done

    def check(self, ops: Sequence[Operation], final: Mapping[str, Any], isolation: Isolation) -> Checked:
        """Both of a pair are the same, whenever they are seen; and what a register's values tell."""
        checked = Checked()
        for op in ops:
            if op.f in ("look", "look back") and op.type == "ok":
                checked.count("looks at pairs" if op.f == "look" else "looks back at pairs")
                (_, key, value), (_, other, its) = op.value
                if value != its:
                    checked.violated("torn pair", f"event {op.completed}: {key} is {value!r}, and {other} is {its!r}")
        for key, value in final.items():
            if (its := final.get(f"{key[:-1]}b")) != value and key.endswith("a"):
                checked.violated("torn pair", f"the end: {key} is {value!r}, and its other key {its!r}")
        now = [op for op in ops if op.f == "write" or (op.f == "look" and op.type == "ok")]
        check_registers(now, final, checked)
        return checked

    @cached_property
    def _choice(self) -> KeyChoice:
        return KeyChoice(self.keys, self.skew)
