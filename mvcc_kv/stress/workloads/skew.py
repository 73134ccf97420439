"""Write skew: two doctors are on call, and one may go home if the other stays.

    leave    reads both; if both are there, takes itself off            the two of a pair write different keys
    come     puts both back on
    look     reads both

Who leaves writes a 0 or deletes its key: what others have read is changed by a deletion as much as by a write.

SNAPSHOT lets both leave at once, each having seen the other: that is write skew, it is counted, and nothing is wrong.
SERIALIZABLE must not: there, whoever looks finds at least one (Berenson et al., "A Critique of ANSI SQL Isolation
Levels", 1995).
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

__all__ = ["WriteSkew"]


@dataclass(frozen=True)
class WriteSkew:
    """`keys` pairs of doctors."""

    prefix: str = "write-skew/"
    seed: int = 0
    keys: int = 4
    skew: float = 0.0
    read_share: float = 0.3
    name: str = "write-skew"

    def prepare(self, cells: Cells) -> None:
        """All are on call."""
        for pair in range(self.keys):
            for key in self._pair(pair):
                cells.put(key, 1)

    def plan(self, ticket: int) -> Plan:
        """Leave, come, or look."""
        rng = step_random(self.seed, ticket)
        pair = self._pair(self._choice.pick(rng))
        read = [("r", key, None) for key in rng.sample(pair, 2)]
        chance = rng.random()
        if chance < self.read_share:
            return Plan("look", tuple(read), "read_only" if rng.random() < 0.5 else "transaction")
        if chance < self.read_share + (1 - self.read_share) * 0.3:
            return Plan("come", tuple(("w", key, 1) for key in pair))
        doctor = rng.choice(pair)
        return Plan("leave", (*read, ("del", doctor, None) if rng.random() < 0.5 else ("w", doctor, 0)))

    def perform(self, cells: Cells, plan: Plan, pause: Callable[[], None]) -> list[Micro]:
        """Whoever would be the last to leave stays."""
        if plan.f != "leave":
            return perform(cells, plan.micros, pause)
        done = perform(cells, plan.micros[:2], pause)
        if sum(value or 0 for _, _, value in done) < 2:
            return done
        pause()
        return done + perform(cells, plan.micros[2:], pause)

    def check(self, ops: Sequence[Operation], final: Mapping[str, Any], isolation: Isolation) -> Checked:
        """Whether somebody is always on call; at SNAPSHOT, how often nobody was."""
        checked = Checked()
        for op in ops:
            read = {key: value for f, key, value in op.value if f == "r"}
            if op.type == "ok" and read:
                checked.count("looks at who is on call")
                self._check_pair(read, f"event {op.completed}", isolation, checked)
        for pair in range(self.keys):
            self._check_pair({key: final.get(key) for key in self._pair(pair)}, "the end", isolation, checked)
        return checked

    def _check_pair(self, read: Mapping[str, Any], where: str, isolation: Isolation, checked: Checked) -> None:
        if any(read.values()):
            return
        if isolation == "serializable":
            checked.violated("write skew", f"{where}: nobody of {sorted(read)} is on call")
        else:
            checked.count("write skews (allowed)")

    def _pair(self, number: int) -> list[str]:
        return [f"{self.prefix}{number}/a", f"{self.prefix}{number}/b"]

    @cached_property
    def _choice(self) -> KeyChoice:
        return KeyChoice(self.keys, self.skew)
