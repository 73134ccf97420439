"""Predicates: scans, and what is inserted and deleted under them. There are groups, with members and a count beside.

    enrol    scans a group, inserts a new member or, if it is full, deletes one; writes the count; scans again
    look     scans a group twice, and reads its count: all three agree, at either level
    seat     scans the group's seats; takes a new one only if there are fewer than the limit, else clears them
    peek     scans the seats

Who enrols writes the count too, so the first committer wins. Who takes a seat writes a key that nobody else does: at
SNAPSHOT two of them may pass the limit together (a phantom), which is counted; at SERIALIZABLE nobody ever does.
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

__all__ = ["Predicate"]


@dataclass(frozen=True)
class Predicate:
    """`keys` groups of up to `members_max`, with up to `seats_max` seats."""

    prefix: str = "predicate/"
    seed: int = 0
    keys: int = 3
    skew: float = 0.0
    members_max: int = 8
    seats_max: int = 3
    read_share: float = 0.35
    rollback_share: float = 0.05
    name: str = "predicate"

    def prepare(self, cells: Cells) -> None:
        """Every group is empty, and says so."""
        for number in range(self.keys):
            cells.put(f"{self.prefix}{number}/count", 0)

    def plan(self, ticket: int) -> Plan:
        """Enrol, look, seat or peek."""
        rng = step_random(self.seed, ticket)
        group = f"{self.prefix}{self._choice.pick(rng)}/"
        members, seats, count = f"{group}member/", f"{group}seat/", f"{group}count"
        is_look, rolls_back = rng.random() < self.read_share, rng.random() < self.rollback_share
        if rng.random() < 0.6:
            if is_look:
                looks = (("scan", members, None), ("r", count, None), ("scan", members, None))
                return Plan("look", looks, "read_only" if rng.random() < 0.7 else "transaction")
            micros = (("scan", members, None), ("w", f"{members}{rng.randrange(1000):03}.{ticket}", ticket))
            return Plan("enrol", micros, rolls_back=rolls_back)
        if is_look:
            return Plan("peek", (("scan", seats, None),), "read_only")
        micros = (("scan", seats, None), ("w", f"{seats}{rng.randrange(1000):03}.{ticket}", ticket))
        return Plan("seat", micros, rolls_back=rolls_back)

    def perform(self, cells: Cells, plan: Plan, pause: Callable[[], None]) -> list[Micro]:
        """Do what the group's state asks for."""
        if plan.f in ("look", "peek"):
            return perform(cells, plan.micros, pause)
        (_, prefix, _), insert = plan.micros
        done = perform(cells, plan.micros[:1], pause)
        there = list(done[0][2])
        is_enrolment = plan.f == "enrol"
        if len(there) < (self.members_max if is_enrolment else self.seats_max):
            change: list[Micro] = [insert]
        else:
            change = [("del", key, None) for key in (there[-1:] if is_enrolment else there)]
        pause()
        done += perform(cells, change, pause)
        if is_enrolment:
            after = len(there) + (1 if change[0] is insert else -1)
            done += perform(cells, [("w", _count_of(prefix), after), ("scan", prefix, None)], pause)
        return done

    def check(self, ops: Sequence[Operation], final: Mapping[str, Any], isolation: Isolation) -> Checked:
        """Scans agree with each other, with the count, and with the transaction's own writes."""
        checked = Checked()
        failed = {key for op in ops if op.type == "fail" for f, key, _ in op.asked if f == "w"}
        for op in ops:
            if op.type == "ok":
                _check_step(op, failed, checked)
                if op.f in ("seat", "peek"):
                    self._check_seats(len(op.value[0][2]), f"event {op.completed}", isolation, checked)
        self._check_final(final, failed, isolation, checked)
        return checked

    def _check_final(self, final: Mapping[str, Any], failed: set[str], isolation: Isolation, checked: Checked) -> None:
        for number in range(self.keys):
            group = f"{self.prefix}{number}/"
            members = sum(key.startswith(f"{group}member/") for key in final)
            if final.get(f"{group}count") != members:
                text = f"{group} has {members} members, and counts {final.get(f'{group}count')}"
                checked.violated("torn group", f"the end: {text}")
            seats = sum(key.startswith(f"{group}seat/") for key in final)
            self._check_seats(seats, "the end", isolation, checked)
        for key in failed & final.keys():
            checked.violated("aborted write", f"the end: {key} is there, though its insertion failed")

    def _check_seats(self, taken: int, where: str, isolation: Isolation, checked: Checked) -> None:
        if taken <= self.seats_max:
            return
        if isolation == "serializable":
            checked.violated("phantom", f"{where}: {taken} seats are taken, of {self.seats_max}")
        else:
            checked.count("phantoms (allowed)")

    @cached_property
    def _choice(self) -> KeyChoice:
        return KeyChoice(self.keys, self.skew)


def _count_of(members: str) -> str:
    return members.removesuffix("member/") + "count"


def _check_step(op: Operation, failed: set[str], checked: Checked) -> None:
    """What a step saw: of itself, of failed ones, and whether it fits together."""
    expected: set[str] | None = None
    for f, key, value in op.value:
        if f == "scan":
            checked.count("scans")
            _check_scan(op, set(value), expected, failed, checked)
            expected = set(value)
        elif f == "r" and expected is not None and value != len(expected):
            checked.violated("torn group", f"event {op.completed}: {len(expected)} members, and a count of {value}")
        elif expected is not None and f == "del":
            if value is not True:
                checked.violated("internal", f"{key} was scanned (event {op.completed}), and not there to be deleted")
            expected.discard(key)
        elif expected is not None and f == "w" and not key.endswith("/count"):
            expected.add(key)


def _check_scan(op: Operation, seen: set[str], expected: set[str] | None, failed: set[str], checked: Checked) -> None:
    if expected is not None and seen != expected:
        different = sorted(seen ^ expected)[:3]
        checked.violated(
            "unstable scan", f"event {op.completed}: a second scan differs from what it should see: {different}"
        )
    if aborted := seen & failed:
        checked.violated(
            "aborted read", f"event {op.completed}: {sorted(aborted)[0]} was seen, though its insertion failed"
        )
