"""Each workload: steps come from the seed alone, what really happens passes the check, and what must not, fails it."""

from __future__ import annotations

from typing import Any

import pytest

import mvcc_kv
from mvcc_kv.api import Isolation
from mvcc_kv.stress.history import EventType, Micro
from mvcc_kv.stress.mixture import Mixture
from mvcc_kv.stress.plan import Checked, Operation, Plan, Workload
from mvcc_kv.stress.workloads import WORKLOADS, Bank, Counters, ListAppend, Pairs, Predicate, Queue, Register, WriteSkew

from .told import Teller

SEED = 20261123
NAMES = list(WORKLOADS)


def kinds(checked: Checked) -> set[str]:
    """The kinds of violations that were found."""
    return {violation.partition(":")[0] for violation in checked.violations}


def taken_alone(work: Workload, steps: int) -> tuple[list[Operation], dict[str, Any]]:
    """What one client alone is told, and what is there in the end."""
    teller = Teller()
    with mvcc_kv.open(":memory:") as db:
        work.prepare(db)
        for ticket in range(steps):
            plan = work.plan(ticket)
            value, event_type = _take(db, work, plan)
            teller.step(plan.f, plan.micros, value, event_type)
        return teller.ops, dict(db.scan(prefix=work.prefix))


def _take(db: Any, work: Workload, plan: Plan) -> tuple[list[Micro], EventType]:
    if plan.mode == "auto":
        return work.perform(db, plan, lambda: None), "ok"
    tx = db.transaction(read_only=plan.mode == "read_only")
    value = work.perform(tx, plan, lambda: None)
    if plan.rolls_back:
        tx.rollback()
        return value, "fail"
    tx.commit()
    return value, "ok"


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_a_function_of_seed_and_ticket(name: str) -> None:
    one, same, other = WORKLOADS[name](seed=SEED), WORKLOADS[name](seed=SEED), WORKLOADS[name](seed=SEED + 1)
    plans = [one.plan(ticket) for ticket in range(200)]
    assert [same.plan(ticket) for ticket in reversed(range(200))] == plans[::-1]
    assert [other.plan(ticket) for ticket in range(200)] != plans


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_below_the_prefix(name: str) -> None:
    work = WORKLOADS[name](seed=SEED, prefix="here/")
    keys = {key for ticket in range(300) for _, key, _ in work.plan(ticket).micros}
    assert all(key.startswith("here/") for key in keys)
    _, final = taken_alone(work, 300)
    assert final and all(key.startswith("here/") for key in final)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("isolation", ["snapshot", "serializable"])
def test_one_client_alone_violates_nothing(name: str, isolation: Isolation) -> None:
    work = WORKLOADS[name](seed=SEED)
    ops, final = taken_alone(work, 1000)
    checked = work.check(ops, final, isolation)
    assert checked.violations == []
    assert sum(checked.counts.values()) > 100, "it looked at something"


@pytest.mark.parametrize("name", ["list-append", "register"])
def test_no_value_is_written_twice(name: str) -> None:
    work = WORKLOADS[name](seed=SEED)
    written = [value for t in range(2000) for f, _, value in work.plan(t).micros if f in ("append", "w")]
    assert len(set(written)) == len(written) > 1000


@pytest.mark.parametrize("name", ["list-append", "register"])
def test_a_key_is_given_up_after_some_writes(name: str) -> None:
    work = WORKLOADS[name](seed=SEED, keys=4, skew=0.0)
    writes: dict[str, int] = {}
    for ticket in range(3000):
        for f, key, _ in work.plan(ticket).micros:
            writes[key] = writes.get(key, 0) + (f != "r")
    assert 5 < len(writes) < 200
    assert max(writes.values()) < 2 * work.writes_per_key  # type: ignore[attr-defined]


def test_skew_makes_some_keys_popular() -> None:
    even, skewed = (
        ListAppend(seed=SEED, skew=0.0, writes_per_key=10**6),
        ListAppend(seed=SEED, skew=1.5, writes_per_key=10**6),
    )

    def busiest(work: Workload) -> float:
        keys = [key for ticket in range(1000) for _, key, _ in work.plan(ticket).micros]
        return max(keys.count(key) for key in set(keys)) / len(keys)

    assert busiest(even) < 0.2 < 0.4 < busiest(skewed)


def test_a_mixture_takes_steps_of_every_part_by_their_weights() -> None:
    work = Mixture((Bank(seed=SEED), Queue(seed=SEED)), (3.0, 1.0), SEED)
    parts = [work.plan(ticket).micros[0][1].partition("/")[0] for ticket in range(2000)]
    assert 0.7 < parts.count("bank") / len(parts) < 0.8
    ops, final = taken_alone(work, 1000)
    checked = work.check(ops, final, "serializable")
    assert checked.violations == []
    assert checked.counts["looks"] and checked.counts["elements taken"]


def test_a_mixture_finds_what_its_parts_find() -> None:
    work = Mixture((Bank(seed=SEED), Queue(seed=SEED)), (1.0, 1.0), SEED)
    ops, final = taken_alone(work, 300)
    assert kinds(work.check(ops, final | {"bank/000": 1000}, "snapshot")) >= {"wrong total"}
    assert kinds(work.check(ops, final | {"queue/0/nobody": 1}, "snapshot")) == {"garbage"}


def check_lists(teller: Teller, final: dict[str, Any]) -> set[str]:
    return kinds(ListAppend().check(teller.ops, final, "snapshot"))


class TestListAppend:
    def test_an_acknowledged_append_that_is_not_there_is_lost(self) -> None:
        told = Teller()
        told.step("txn", [("append", "x", 1)])
        assert check_lists(told, {"x": [1]}) == set()
        assert check_lists(told, {"x": []}) == {"lost write"}
        assert check_lists(told, {}) == {"lost write"}

    def test_an_unknown_append_may_be_there_or_not(self) -> None:
        told = Teller()
        told.step("txn", [("append", "x", 1)], event_type="info")
        assert check_lists(told, {"x": [1]}) == check_lists(told, {}) == set()

    def test_a_failed_append_must_not_be_there(self) -> None:
        told = Teller()
        told.step("txn", [("append", "x", 1)], event_type="fail")
        assert check_lists(told, {"x": [1]}) == {"aborted write"}

    def test_nothing_is_there_twice(self) -> None:
        told = Teller()
        told.step("txn", [("append", "x", 1)])
        assert check_lists(told, {"x": [1, 1]}) == {"duplicate"}

    def test_a_read_list_is_the_beginning_of_the_last_one(self) -> None:
        told = Teller()
        told.step("txn", [("r", "x", None)], [("r", "x", [2])], overlaps=0)
        assert check_lists(told, {"x": [2, 1]}) == set()
        assert check_lists(told, {"x": [1, 2]}) == {"incompatible order"}

    def test_a_read_sees_what_was_acknowledged_before_it_began(self) -> None:
        told = Teller()
        told.step("txn", [("append", "x", 1)])
        told.step("txn", [("append", "x", 2)])
        told.step("txn", [("r", "x", None)], [("r", "x", [1])], overlaps=1)
        assert check_lists(told, {"x": [1, 2]}) == set(), "it began before 2 was acknowledged"
        told.step("txn", [("r", "x", None)], [("r", "x", [1])])
        assert check_lists(told, {"x": [1, 2]}) == {"stale read"}

    def test_a_transaction_sees_its_own_appends(self) -> None:
        told = Teller()
        told.step("txn", [("append", "x", 1), ("r", "x", None)], [("append", "x", 1), ("r", "x", [])])
        assert check_lists(told, {"x": [1]}) == {"internal"}


def check_registers(teller: Teller, final: dict[str, Any]) -> set[str]:
    return kinds(Register().check(teller.ops, final, "snapshot"))


class TestRegister:
    def test_a_stale_value_is_found(self) -> None:
        told = Teller()
        told.step("txn", [("w", "x", 1)])
        told.step("txn", [("w", "x", 2)])
        told.step("txn", [("r", "x", None)], [("r", "x", 2)])
        assert check_registers(told, {"x": 2}) == set()
        told.step("txn", [("r", "x", None)], [("r", "x", 1)])
        assert check_registers(told, {"x": 2}) == {"stale read"}

    def test_of_writes_at_the_same_time_either_may_be_the_last(self) -> None:
        told = Teller()
        told.step("txn", [("w", "x", 1)])
        told.step("txn", [("w", "x", 2)], overlaps=1)
        assert check_registers(told, {"x": 1}) == check_registers(told, {"x": 2}) == set()

    def test_a_write_that_began_before_may_come_after(self) -> None:
        told = Teller()
        told.step("txn", [("w", "x", 1)], event_type="info")
        told.step("txn", [("w", "x", 2)])
        assert check_registers(told, {"x": 1}) == set(), "nobody knows when it was applied"

    def test_an_acknowledged_write_is_there_in_the_end(self) -> None:
        told = Teller()
        told.step("txn", [("w", "x", 1)])
        assert check_registers(told, {}) == {"lost write"}

    def test_values_from_nowhere_and_from_failed_steps_are_found(self) -> None:
        told = Teller()
        told.step("txn", [("w", "x", 1)], event_type="fail")
        told.step("txn", [("r", "x", None)], [("r", "x", 1)])
        told.step("txn", [("r", "x", None)], [("r", "x", 7)])
        assert check_registers(told, {}) == {"aborted read", "garbage"}

    def test_what_was_overwritten_in_its_own_transaction_is_seen_by_nobody_else(self) -> None:
        told = Teller()
        told.step(
            "txn", [("w", "x", 1), ("r", "x", None), ("w", "x", 2)], [("w", "x", 1), ("r", "x", 1), ("w", "x", 2)]
        )
        assert check_registers(told, {"x": 2}) == set()
        told.step("txn", [("r", "x", None)], [("r", "x", 1)])
        assert check_registers(told, {"x": 2}) == {"intermediate read"}

    def test_a_transaction_sees_its_own_write(self) -> None:
        told = Teller()
        told.step("txn", [("w", "x", 1), ("r", "x", None)], [("w", "x", 1), ("r", "x", None)])
        assert check_registers(told, {"x": 1}) == {"internal"}


class TestBank:
    bank = Bank(keys=2, balance=10)
    final = {"bank/000": 7, "bank/001": 13}  # noqa: RUF012 (nobody changes it)

    def told(self) -> Teller:
        told = Teller()
        a, b = "bank/000", "bank/001"
        moved: list[Micro] = [("r", a, 10), ("r", b, 10), ("w", a, 7), ("w", b, 13)]
        told.step("transfer", [("r", a, None), ("move", b, 3)], moved)
        return told

    def check(self, told: Teller, final: dict[str, Any]) -> set[str]:
        return kinds(self.bank.check(told.ops, final, "snapshot"))

    def test_a_transfer_that_was_acknowledged_is_there_in_the_end(self) -> None:
        assert self.check(self.told(), self.final) == set()
        assert self.check(self.told(), {"bank/000": 10, "bank/001": 10}) == {"lost write"}

    def test_an_unknown_transfer_may_be_there_or_not(self) -> None:
        told = self.told()
        told.step("transfer", [("r", "bank/001", None), ("move", "bank/000", 2)], event_type="info")
        assert self.check(told, self.final) == self.check(told, {"bank/000": 9, "bank/001": 11}) == set()

    def test_an_observer_who_sees_half_a_transfer_is_believed(self) -> None:
        told = self.told()
        told.step("look", [("scan", "bank/", None)], [("scan", "bank/", {"bank/000": 7, "bank/001": 10})])
        assert self.check(told, self.final) == {"wrong total"}

    def test_a_balance_below_nought_is_found_though_the_total_is_right(self) -> None:
        told = self.told()
        told.step("look", [("r", "bank/000", None)], [("r", "bank/000", -1), ("r", "bank/001", 21)])
        assert self.check(told, self.final) == {"negative balance"}

    def test_an_account_that_is_not_there_is_found(self) -> None:
        assert "missing account" in self.check(self.told(), {"bank/000": 20})


class TestPairs:
    def test_both_of_a_pair_are_seen_together(self) -> None:
        told = Teller()
        told.step("write", [("w", "pairs/0/a", 1), ("w", "pairs/0/b", 1)])
        told.step("write", [("w", "pairs/0/a", 2), ("w", "pairs/0/b", 2)])
        final = {"pairs/0/a": 2, "pairs/0/b": 2}
        assert kinds(Pairs().check(told.ops, final, "snapshot")) == set()
        both: list[Micro] = [("r", "pairs/0/a", 2), ("r", "pairs/0/b", 1)]
        told.step("look", [("scan", "pairs/0/", None)], both)
        assert "torn pair" in kinds(Pairs().check(told.ops, final, "snapshot"))
        told.step("look back", [("scan", "pairs/0/", None)], both)
        assert kinds(Pairs().check([*told.ops[:2], told.ops[3]], final, "snapshot")) == {"torn pair"}
        assert "torn pair" in kinds(Pairs().check(told.ops[:2], final | {"pairs/0/b": 1}, "snapshot"))

    def test_what_is_seen_of_the_past_is_not_stale(self) -> None:
        told = Teller()
        told.step("write", [("w", "pairs/0/a", 1), ("w", "pairs/0/b", 1)])
        nothing: list[Micro] = [("r", "pairs/0/a", None), ("r", "pairs/0/b", None)]
        final = {"pairs/0/a": 1, "pairs/0/b": 1}
        told.step("look back", nothing, nothing)
        assert kinds(Pairs().check(told.ops, final, "snapshot")) == set()
        told.step("look", nothing, nothing)
        assert kinds(Pairs().check(told.ops, final, "snapshot")) == {"lost write"}


class TestWriteSkew:
    def check(self, isolation: Isolation, left: int | None = 0) -> Checked:
        told = Teller()
        a, b = "write-skew/0/a", "write-skew/0/b"
        told.step("look", [("r", a, None), ("r", b, None)], [("r", a, 0), ("r", b, left)])
        return WriteSkew(keys=1).check(told.ops, {a: 1, b: 0}, isolation)

    def test_nobody_on_call_is_skew_that_only_snapshot_allows(self) -> None:
        assert kinds(self.check("serializable")) == {"write skew"}
        assert kinds(self.check("serializable", left=None)) == {"write skew"}, "whose key is gone isn't on call"
        assert kinds(self.check("serializable", left=1)) == set()
        assert kinds(self.check("snapshot")) == set()
        assert self.check("snapshot").counts["write skews (allowed)"] == 1


class TestCounters:
    key = "counters/0/alone"

    def check(self, told: Teller, final: int) -> set[str]:
        return kinds(Counters().check(told.ops, {self.key: final}, "snapshot"))

    def test_the_sum_of_what_was_acknowledged_is_there_and_of_what_is_unknown_at_most_all(self) -> None:
        told = Teller()
        told.step("add", [("add", self.key, 3)])
        told.step("add", [("add", self.key, 2)], event_type="info")
        told.step("add", [("add", self.key, 9)], event_type="fail")
        assert [self.check(told, final) for final in (3, 4, 5)] == [set()] * 3
        assert self.check(told, 2) == {"lost write"}
        assert self.check(told, 6) == {"applied twice"}

    def test_a_look_lies_between_what_was_acknowledged_and_what_was_begun(self) -> None:
        told = Teller()
        told.step("add", [("add", self.key, 3)])
        told.step("look", [("r", self.key, None)], [("r", self.key, 3)])
        told.step("add", [("add", self.key, 1)])
        assert self.check(told, 4) == set()
        told.step("look", [("r", self.key, None)], [("r", self.key, 3)])
        assert self.check(told, 4) == {"lost write"}

    def test_two_that_read_a_sum_and_added_to_it_have_not_read_the_same(self) -> None:
        told = Teller()
        asked: list[Micro] = [("r", self.key, None), ("add", self.key, 3)]
        told.step("bump", asked, [("r", self.key, None), ("add", self.key, 3)])
        told.step("bump", asked, [("r", self.key, 3), ("add", self.key, 3)])
        assert self.check(told, 6) == set()
        told.step("bump", asked, [("r", self.key, 3), ("add", self.key, 3)], overlaps=1)
        assert self.check(told, 9) == {"lost update"}

    def test_a_command_that_tells_too_high_a_sum_was_applied_twice(self) -> None:
        told = Teller()
        told.step("add", [("add", self.key, 3)], [("add", self.key, 3), ("sum", self.key, 6)])
        assert self.check(told, 3) == {"applied twice"}


class TestQueue:
    element = "queue/0/000000000000016"

    def told(self, put: EventType = "ok", takers: int = 1) -> Teller:
        told = Teller()
        told.step("put", [("w", self.element, 16)], event_type=put)
        scan: list[Micro] = [("scan", "queue/0/", {self.element: 16}), ("del", self.element, True)]
        for _ in range(takers):
            told.step("take", [("scan", "queue/0/", 1), ("del", "queue/0/", None)], scan)
        return told

    def check(self, told: Teller, *left: str) -> set[str]:
        return kinds(Queue().check(told.ops, dict.fromkeys(left, 16), "snapshot"))

    def test_an_element_is_taken_once_or_left(self) -> None:
        assert self.check(self.told()) == self.check(self.told(takers=0), self.element) == set()
        assert self.check(self.told(takers=2)) == {"taken twice"}
        assert self.check(self.told(takers=0)) == {"lost write"}
        assert self.check(self.told(), self.element) == {"lost write"}

    def test_an_unknown_taker_may_have_taken_it(self) -> None:
        told = self.told(takers=0)
        told.step("take", [("scan", "queue/0/", 1), ("del", "queue/0/", None)], event_type="info")
        assert self.check(told) == self.check(told, self.element) == set()

    def test_what_was_not_put_is_not_taken(self) -> None:
        assert self.check(self.told(put="fail")) == {"aborted read"}
        assert self.check(self.told(put="info")) == set()


class TestPredicate:
    group = "predicate/0/"

    def check(self, isolation: Isolation, f: str, *value: Micro, **final: Any) -> set[str]:
        told = Teller()
        told.step(f, [("scan", self.group, None)], list(value))
        there = {"predicate/0/count": 0} | {f"{self.group}{key}": 1 for key in final}
        return kinds(Predicate(keys=1).check(told.ops, there, isolation))

    def test_two_scans_of_a_transaction_agree_but_for_its_own_writes(self) -> None:
        members, new = f"{self.group}member/", f"{self.group}member/1"
        before: Micro = ("scan", members, {})
        after: Micro = ("scan", members, {new: 1})
        assert self.check("snapshot", "enrol", before, ("w", new, 1), after) == set()
        assert self.check("snapshot", "enrol", before, ("w", new, 1), before) == {"unstable scan"}
        assert self.check("snapshot", "enrol", after, ("del", new, True), after) == {"unstable scan"}
        assert self.check("snapshot", "look", before, after) == {"unstable scan"}

    def test_members_and_their_count_agree(self) -> None:
        members: Micro = ("scan", f"{self.group}member/", {f"{self.group}member/1": 1})
        assert self.check("snapshot", "look", members, ("r", f"{self.group}count", 1)) == set()
        assert self.check("snapshot", "look", members, ("r", f"{self.group}count", 2)) == {"torn group"}

    def test_more_seats_than_there_are_is_a_phantom_that_only_snapshot_allows(self) -> None:
        seats: Micro = ("scan", f"{self.group}seat/", dict.fromkeys("abcd", 1))
        assert self.check("serializable", "peek", seats) == {"phantom"}
        assert self.check("snapshot", "peek", seats) == set()
