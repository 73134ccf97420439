"""Lists: each level's verdict against its definition, where the order of all versions was seen."""

from __future__ import annotations

from random import Random

import pytest

from mvcc_kv.stress.checker import check, level_of, pair
from mvcc_kv.stress.checker.histories import NEVER, Transaction
from mvcc_kv.stress.history import Micro
from tests.stress.checker.oracle import BASES, Oracle
from tests.stress.checker.told import events, holds, judged


def scrambled(random: Random) -> tuple[list[Transaction], list[Transaction], dict[str, list[int]]]:
    """A few transactions that read any beginning of each list: as lists, as registers, and the lists' orders."""
    count = random.randint(2, 4)
    plans = [[(random.choice("rw"), key) for key in random.sample("xy", random.randint(1, 2))] for _ in range(count)]
    for plan in plans:
        if random.random() < 0.4 and len(plan) == 1:
            plan[:] = [("r", plan[0][1]), ("w", plan[0][1])]
    versions = {key: [at for at, plan in enumerate(plans) if ("w", key) in plan] for key in "xy"}
    for writers in versions.values():
        random.shuffle(writers)
    lists, registers = [], []
    for at, plan in enumerate(plans):
        here: list[Micro] = []
        there: list[Micro] = []
        for f, key in plan:
            if f == "w":
                here.append(("append", key, at))
                there.append(("w", key, at + 1))
                continue
            longest = versions[key].index(at) if ("w", key) in plan and random.random() < 0.7 else len(versions[key])
            seen = versions[key][: random.randint(0, longest)]
            if at in seen:
                seen = seen[: seen.index(at)]
            here.append(("r", key, seen))
            there.append(("r", key, seen[-1] + 1 if seen else None))
        begun, process = random.choice([(at * 20, 0), (at * 20, 1), (at * 20 - 15, at + 2)])
        lists.append(Transaction(f"T{at}", process, "ok", begun, at * 20 + 11, here))
        registers.append(lists[-1]._replace(micros=there))
    for key, writers in versions.items():  # who saw all, without a place in the history
        lists.append(Transaction(f"T{key}", 99 + ord(key), "ok", 0, NEVER - 1, [("r", key, writers)]))
    return lists, registers, versions


@pytest.mark.parametrize("order", ["", "session", "realtime"])
def test_verdicts_are_those_of_the_definitions(order: str) -> None:
    prefix = {"": "", "session": "strong-session-", "realtime": "strong-"}[order]
    allowed = 0
    for seed in range(600):
        lists, registers, versions = scrambled(Random(seed))
        verdict, oracle = check(lists), Oracle(registers, order, versions)
        for base in BASES:
            expected = oracle.holds(base)
            assert verdict.holds(level_of(prefix + base)) is expected, (seed, base, lists)
            allowed += expected
    assert 600 < allowed < 3500, "there are both"


def test_what_was_appended_and_never_read_comes_after_what_was() -> None:
    verdict = judged("0= ax1\n1= ax2 ay1\n2= rx1 ry1")
    assert holds(verdict, "strict-serializable") is False, "2 came before 1's append to x, and saw its append to y"


def test_many_appends_that_nobody_read_cost_few_edges() -> None:
    lines = ["0= rx:"] * 300 + [f"{at + 1}= ax{at}" for at in range(300)]
    verdict = check(pair(events("\n".join(lines))))
    assert holds(verdict, "strict-serializable") is True


SWAPPED = {
    "in the middle": "0= ax1 ax2\n1= ax3\n2= rx2,1,3",
    "at the end": "0= ax1 ax2\n1= rx2,1",
    "with another between": "0= ax1 ax2\n1= ax3\n2= rx2,3,1",
    "of a transaction that failed": "0< ax1 ax2\n0! ax1 ax2\n1= rx2,1",
    "in a list that another list contradicts": "0= ax1 ax2\n1= ax3\n2= rx2,1\n2= rx1,2,3",
}


@pytest.mark.parametrize("what", SWAPPED)
def test_appends_of_one_transaction_in_another_order_are_impossible(what: str) -> None:
    verdict = judged(SWAPPED[what])
    found = verdict.anomalies["incompatible-order"]
    assert any("with 2 before 1, and T1 appended 1 before 2" in it.words for it in found)
    assert holds(verdict, "read-uncommitted") is False


MISSING = {
    "the first": "0= ax1 ax2\n1= rx2",
    "the one between": "0= ax1 ax2 ax3\n1= rx1,3",
    "below what others appended": "0= ax1 ax2\n1= ax3\n2= rx2,3",
    "with its own writer as the first to read it": "0= ax1 ax2 rx2\n1= rx2",
}


@pytest.mark.parametrize("what", MISSING)
def test_a_later_append_without_the_earlier_one_is_an_intermediate_read(what: str) -> None:
    verdict = judged(MISSING[what])
    assert any("which T1 had appended before it: it never left x so" in it.words for it in verdict.anomalies["G1b"])
    assert holds(verdict, "read-committed") is False and "incompatible-order" not in verdict.anomalies


OWN_NEAR_MISSES = {
    "all, in order, with others between them and behind": "0< ax1 ax2\n1< ay9\n0: ax1 ax2\n1: ay9\n2= rx1,2",
    "by keys of their own": "0= ax1 ay2 ax3\n1= rx1,3 ry2",
    "none of them seen": "0< ax1 ax2\n1= rx:\n0: ax1 ax2",
    "of an unknown transaction": "0< ax1 ax2\n0? ax1 ax2\n1= rx1,2\n1= ax3\n2= rx1,2,3",
}


@pytest.mark.parametrize("what", OWN_NEAR_MISSES)
def test_a_transaction_s_appends_in_their_order_raise_no_alarm(what: str) -> None:
    verdict = judged(OWN_NEAR_MISSES[what])
    assert (dict(verdict.anomalies), holds(verdict, "strict-serializable")) == ({}, True)


def test_many_appends_of_one_transaction_to_one_key_cost_little() -> None:
    micros: list[Micro] = [("append", "x", at) for at in range(20_000)]
    read: list[Micro] = [("r", "x", [*range(20_000)])]
    verdict = check([Transaction("T0", 0, "ok", 0, 1, micros), Transaction("T1", 1, "ok", 2, 3, read)])
    assert not verdict.anomalies


def test_cycles_of_many_are_told_by_their_ends() -> None:
    count = 100
    ring: list[Transaction] = [
        Transaction(f"T{at}", at, "ok", 0, NEVER - 1, [("append", at, 1), ("r", (at - 1) % count, [1])])
        for at in range(count)
    ]
    [found] = check(ring).anomalies["G1c"]
    told = check(ring).to_json()["anomalies"]["G1c"][0]
    assert len(found.words.splitlines()) == 20 and "... and so on, 82 steps more ..." in found.words
    assert len(told["cycle"]) == len(told["transactions"]) == count
