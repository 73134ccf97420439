"""A queue: elements are put at one end, and taken from the other by whoever scans first.

    put      one to three new keys, each above all before it
    take     scans for the first key and deletes it

Two that scan at once see the same first key, and one of them must lose. So an element that was put is taken once, or is
left in the end; one that was acknowledged to a taker is taken by nobody else, and what failed to be put by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mvcc_kv.api import Isolation
from mvcc_kv.stress.history import Micro
from mvcc_kv.stress.plan import VALUES_A_STEP, Cells, Checked, Operation, Plan, step_random
from mvcc_kv.stress.workloads.micro import perform

__all__ = ["Queue"]


@dataclass(frozen=True)
class Queue:
    """`keys` queues; `read_share` of the steps take."""

    prefix: str = "queue/"
    seed: int = 0
    keys: int = 2
    skew: float = 0.0
    read_share: float = 0.6
    rollback_share: float = 0.05
    name: str = "queue"

    def prepare(self, cells: Cells) -> None:
        """Nothing: a queue is empty at first."""

    def plan(self, ticket: int) -> Plan:
        """Put some, or take one."""
        rng = step_random(self.seed, ticket)
        queue = f"{self.prefix}{rng.randrange(self.keys)}/"
        rolls_back = rng.random() < self.rollback_share
        if rng.random() < self.read_share:
            return Plan("take", (("scan", queue, 1), ("del", queue, None)), rolls_back=rolls_back)
        first = ticket * VALUES_A_STEP
        micros = tuple(("w", f"{queue}{first + at:015}", first + at) for at in range(rng.choice([1, 1, 2, 3])))
        if len(micros) == 1 and rng.random() < 0.5:
            return Plan("put", micros, "auto")
        return Plan("put", micros, rolls_back=rolls_back)

    def perform(self, cells: Cells, plan: Plan, pause: Callable[[], None]) -> list[Micro]:
        """Put, or find the first and delete it."""
        if plan.f == "put":
            return perform(cells, plan.micros, pause)
        done = perform(cells, plan.micros[:1], pause)
        for key in done[0][2]:
            pause()
            done += perform(cells, [("del", key, None)], pause)
        return done

    def check(self, ops: Sequence[Operation], final: Mapping[str, Any], isolation: Isolation) -> Checked:
        """Each element is taken once, or left."""
        checked = Checked()
        put = {key: op for op in ops if op.f == "put" for _, key, _ in op.value}
        taken: dict[str, Operation] = {}
        for op in ops:
            if op.f == "take" and op.type == "ok":
                self._check_taking(op, put, taken, checked)
        is_any_unknown = any(op.f == "take" and op.type == "info" for op in ops)
        for key in final:
            self._check_origin(key, put, "the end", checked)
            if key in taken:
                checked.violated(
                    "lost write", f"{key} was taken (event {taken[key].completed}), and is there in the end"
                )
        gone = [key for key, op in put.items() if op.type == "ok" and key not in taken and key not in final]
        unknown = sum(op.f == "take" and op.type == "info" for op in ops)
        if len(gone) > unknown:
            text = (
                f"{len(gone)} elements are gone, such as {gone[0]}, and at most {unknown} were taken without an answer"
            )
            checked.violated("lost write", text)
        checked.count("takings unknown", unknown if is_any_unknown else 0)
        return checked

    def _check_taking(
        self, op: Operation, put: Mapping[str, Operation], taken: dict[str, Operation], checked: Checked
    ) -> None:
        for f, key, value in op.value:
            if f != "del":
                continue
            checked.count("elements taken")
            self._check_origin(key, put, f"event {op.completed}", checked)
            if value is not True:
                checked.violated("internal", f"{key} was scanned (event {op.completed}), and not there to be deleted")
            if key in taken:
                first = taken[key].completed
                checked.violated("taken twice", f"{key} was taken by two (events {first} and {op.completed})")
            taken[key] = op

    def _check_origin(self, key: str, put: Mapping[str, Operation], where: str, checked: Checked) -> None:
        if key not in put:
            checked.violated("garbage", f"{where}: {key} is there, and nobody put it")
        elif put[key].type == "fail":
            checked.violated("aborted read", f"{where}: {key} is there, though putting it failed")
