"""List-append: transactions of a few reads of lists and appends to them.

A list tells its whole past: who reads [4, 5, 9] has seen that 4 came before 5 and 5 before 9. So the order of versions
is known from the outside, and with it every dependency between transactions: Kingsbury and Alvaro, "Elle: Inferring
Isolation Anomalies from Experimental Observations", VLDB 2021. The checker makes a graph of it. What is looked at here
needs no graph:

    every list read is the beginning of the last one            no lost update, no fork
    what was acknowledged is in the last one, once              nothing is lost
    what failed is in none                                      nothing comes from nowhere
    a read that begins after an acknowledgement sees it         real time
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

__all__ = ["ListAppend"]


@dataclass(frozen=True)
class ListAppend:
    """`keys` lists at a time, each given up for a new one after some `writes_per_key` appends."""

    prefix: str = "list/"
    seed: int = 0
    keys: int = 8
    skew: float = 0.6
    operations_max: int = 5
    writes_per_key: int = 64
    read_share: float = 0.5
    rollback_share: float = 0.03
    name: str = "list-append"

    def prepare(self, cells: Cells) -> None:
        """Nothing: a list that isn't there is empty."""

    def plan(self, ticket: int) -> Plan:
        """One to `operations_max` reads and appends."""
        rng = step_random(self.seed, ticket)
        micros: list[Micro] = []
        for at in range(rng.randint(1, self.operations_max)):
            key = self._key(self._choice.pick(rng), ticket)
            if rng.random() < self.read_share:
                micros.append(("r", key, None))
            else:
                micros.append(("append", key, ticket * VALUES_A_STEP + at))
        mode: Mode = "transaction"
        if all(f == "r" for f, _, _ in micros) and rng.random() < 0.8:
            mode = "auto" if len(micros) == 1 else "read_only"
        return Plan("txn", tuple(micros), mode, rolls_back=mode != "auto" and rng.random() < self.rollback_share)

    def perform(self, cells: Cells, plan: Plan, pause: Callable[[], None]) -> list[Micro]:
        """Read and append."""
        return perform(cells, plan.micros, pause)

    def check(self, ops: Sequence[Operation], final: Mapping[str, Any], isolation: Isolation) -> Checked:
        """What needs no graph; see above."""
        checked = Checked()
        for key, values in final.items():
            if len(set(values)) != len(values):
                checked.violated("duplicate", f"{key} ends as {values}")
        _check_appends(ops, final, checked)
        _check_reads(ops, final, checked)
        return checked

    def _key(self, slot: int, ticket: int) -> str:
        """The list that is in this slot now. Slots change theirs one after the other."""
        period = self._period
        return f"{self.prefix}{slot}.{(ticket + slot * period // self.keys) // period}"

    @cached_property
    def _choice(self) -> KeyChoice:
        return KeyChoice(self.keys, self.skew)

    @cached_property
    def _period(self) -> int:
        appends_a_step = (1 + self.operations_max) / 2 * (1 - self.read_share)
        return max(1, int(self.writes_per_key * self.keys / max(appends_a_step, 0.01)))


def _check_appends(ops: Sequence[Operation], final: Mapping[str, Any], checked: Checked) -> None:
    there = {key: set(values) for key, values in final.items()}
    for op in ops:
        for f, key, value in op.value:
            if f != "append" or op.type == "info":
                continue
            checked.count(f"appends {op.type}")
            if op.type == "ok" and value not in there.get(key, ()):
                checked.violated("lost write", f"{value} was appended to {key} and acknowledged (event {op.completed})")
            elif op.type == "fail" and value in there.get(key, ()):
                checked.violated("aborted write", f"{value} is in {key}, though its append failed ({op.completed})")


def _check_reads(ops: Sequence[Operation], final: Mapping[str, Any], checked: Checked) -> None:
    """Each list read is the beginning of the last one, and holds what was acknowledged before the read began."""
    places = {key: {value: at for at, value in enumerate(values)} for key, values in final.items()}
    acknowledged: dict[str, int] = {}  # how long each list must be by now
    needed: dict[int, dict[str, int]] = {}
    for is_end, op in _moments(ops):
        if not is_end:
            keys = {key for f, key, _ in op.asked if f == "r"}
            needed[op.invoked] = {key: acknowledged[key] for key in keys if key in acknowledged}
            continue
        before = needed.pop(op.invoked)
        if op.type != "ok":
            continue
        _check_lists(op, final, before, checked)
        for f, key, value in op.value:
            if f == "append" and value in places.get(key, ()):
                acknowledged[key] = max(acknowledged.get(key, 0), places[key][value] + 1)


def _check_lists(op: Operation, final: Mapping[str, Any], needed: Mapping[str, int], checked: Checked) -> None:
    own: dict[str, list[Any]] = {}
    for f, key, value in op.value:
        if f == "append":
            own.setdefault(key, []).append(value)
            continue
        seen, last = value or [], final.get(key) or []
        checked.count("lists read")
        if seen != last[: len(seen)]:
            checked.violated("incompatible order", f"{key} was read as {seen} ({op.completed}) and ends as {last}")
        elif len(seen) < needed.get(key, 0):
            missed = last[len(seen) : needed[key]]
            checked.violated("stale read", f"{key} was read as {seen} ({op.completed}) after {missed} was acknowledged")
        elif own.get(key) and seen[-len(own[key]) :] != own[key]:
            checked.violated("internal", f"{key} was read as {seen} ({op.completed}) after {own[key]} was appended")


def _moments(ops: Sequence[Operation]) -> list[tuple[bool, Operation]]:
    """Beginnings and ends in their order; those without an end are left out."""
    ended = [op for op in ops if op.type != "info"]
    moments = [(op.invoked, False, op) for op in ended] + [(op.completed, True, op) for op in ended]
    return [(is_end, op) for _, is_end, op in sorted(moments, key=lambda moment: moment[0])]
