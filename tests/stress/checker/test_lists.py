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
