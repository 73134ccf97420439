"""Registers: transactions of a few reads and writes, where no value is written twice.

Less is known from the outside than with lists, because a write hides what it overwrote; but they are what most programs
do, and blind writes are among them. The checker makes a graph of what can be known; staleness.py looks at the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mvcc_kv.api import Isolation
from mvcc_kv.stress.history import Micro
from mvcc_kv.stress.plan import VALUES_A_STEP, Cells, Checked, KeyChoice, Mode, Operation, Plan, step_random
from mvcc_kv.stress.workloads.micro import perform
from mvcc_kv.stress.workloads.staleness import check_registers

__all__ = ["Register"]


@dataclass(frozen=True)
class Register:
    """`keys` registers at a time; each slot gets a new one after some `writes_per_key` writes."""

    prefix: str = "register/"
    seed: int = 0
    keys: int = 8
    skew: float = 0.6
    operations_max: int = 5
    writes_per_key: int = 200
    read_share: float = 0.6
    rollback_share: float = 0.03
    name: str = "register"

    def prepare(self, cells: Cells) -> None:
        """Nothing: at first no register is there."""

    def plan(self, ticket: int) -> Plan:
        """One to `operations_max` reads and writes; some read a register and then write it."""
        rng = step_random(self.seed, ticket)
        micros: list[Micro] = []
        for at in range(rng.randint(1, self.operations_max)):
            key = self._key(self._choice.pick(rng), ticket)
            if rng.random() < self.read_share:
                micros.append(("r", key, None))
            else:
                if rng.random() < 0.4:
                    micros.append(("r", key, None))
                micros.append(("w", key, ticket * VALUES_A_STEP + at))
        mode = self._mode(micros, rng.random())
        return Plan("txn", tuple(micros), mode, rolls_back=mode != "auto" and rng.random() < self.rollback_share)

    def _mode(self, micros: Sequence[Micro], chance: float) -> Mode:
        if len(micros) == 1 and chance < 0.5:
            return "auto"
        return "read_only" if all(f == "r" for f, _, _ in micros) and chance < 0.9 else "transaction"

    def perform(self, cells: Cells, plan: Plan, pause: Callable[[], None]) -> list[Micro]:
        """Read and write."""
        return perform(cells, plan.micros, pause)

    def check(self, ops: Sequence[Operation], final: Mapping[str, Any], isolation: Isolation) -> Checked:
        """What needs no graph."""
        checked = Checked()
        check_registers(ops, final, checked)
        return checked

    def _key(self, slot: int, ticket: int) -> str:
        period = self._period
        return f"{self.prefix}{slot}.{(ticket + slot * period // self.keys) // period}"

    @cached_property
    def _choice(self) -> KeyChoice:
        return KeyChoice(self.keys, self.skew)

    @cached_property
    def _period(self) -> int:
        writes_a_step = (1 + self.operations_max) / 2 * (1 - self.read_share)
        return max(1, int(self.writes_per_key * self.keys / max(writes_a_step, 0.01)))
