"""Registers: each level's verdict against its definition, by trying every order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import msgspec
import pytest

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker import check, level_of, pair
from mvcc_kv.stress.checker.cycles import base_name
from mvcc_kv.stress.checker.histories import NEVER, Transaction
from mvcc_kv.stress.checker.placing import Step, can_be_placed
from mvcc_kv.stress.checker.saturation import saturate
from mvcc_kv.stress.history import Event, Micro
from tests.stress.checker.oracle import BASES, Oracle
from tests.stress.checker.simulated import simulate
from tests.stress.checker.told import judged, strongest


def scrambled(random: Random) -> list[Transaction]:
    """A few transactions in which what was read is anybody's guess; nobody reads what is only for a moment."""
    count = random.randint(2, 5)
    written: dict[str, list[int]] = {"x": [], "y": []}
    plans: list[list[Micro]] = []
    for at in range(count):
        kinds = [(random.choice("rw"), key) for key in random.sample("xy", random.randint(1, 2))]
        if random.random() < 0.4 and len(kinds) == 1:
            kinds = [("r", kinds[0][1]), ("w", kinds[0][1])]
        plans.append([(f, key, at + 1 if f == "w" else None) for f, key in kinds])
        for f, key in kinds:
            if f == "w":
                written[key].append(at + 1)
    transactions = []
    clock = sorted(random.sample(range(100), 2 * count))
    for at, plan in enumerate(plans):
        micros: list[Micro] = []
        for f, key, value in plan:
            seen = random.choice([None, *(it for it in written[key] if it != at + 1)])
            micros.append((f, key, value if f == "w" else seen))
        overlap = random.random() < 0.5
        begun = clock[2 * at] if not overlap else clock[max(2 * at - 2, 0)]
        transactions.append(
            Transaction(
                f"T{at}", random.randint(0, 1) if not overlap else at + 2, "ok", begun, clock[2 * at + 1], micros
            )
        )
    return transactions


@pytest.mark.parametrize("order", ["", "session", "realtime"])
def test_verdicts_are_those_of_the_definitions(order: str) -> None:
    prefix = {"": "", "session": "strong-session-", "realtime": "strong-"}[order]
    allowed = 0
    for seed in range(500):
        transactions = scrambled(Random(seed))
        verdict, oracle = check(transactions), Oracle(transactions, order)
        for base in BASES:
            expected = oracle.holds(base)
            assert verdict.holds(level_of(prefix + base)) is expected, (seed, base, transactions)
            allowed += expected
    assert 500 < allowed < 2900, "there are both"


def steps_of(random: Random) -> tuple[list[Step], list[int]]:
    """Transactions on two keys as steps, as for snapshot isolation; versions are numbered from 2 on."""
    steps: list[Step] = []
    for at in range(random.randint(2, 5)):
        keys = random.sample([0, 1], random.randint(1, 2))
        reads = [random.choice([key, *(2 + 2 * it + key for it in range(5) if it != at)]) for key in keys]
        here = len(steps)
        steps.append(Step(here, reads, locks=keys, then=[here + 1]))
        steps.append(Step(here + 1, writes=[(key, 2 + 2 * at + key) for key in keys], frees=keys))
    written = {version for step in steps for _, version in step.writes} | {0, 1}
    for step in steps:
        step.reads = [version for version in step.reads if version in written]
    for at, step in enumerate(steps):
        for writer, other in enumerate(steps):
            if {version for _, version in other.writes} & set(step.reads):
                steps[writer].then.append(at)
    return steps, [0, 1]


def test_saturation_takes_no_order_away() -> None:
    decided = 0
    for seed in range(400):
        steps, initial = steps_of(Random(seed))
        expected = can_be_placed(steps, initial)
        again, initial = steps_of(Random(seed))
        is_possible = saturate(again, initial)
        decided += not is_possible
        assert (is_possible and can_be_placed(again, initial)) is expected, f"seed {seed}"
    assert decided > 50


def test_a_search_without_a_budget_says_that_it_is_not_known() -> None:
    two_writers_and_readers = [Step(0, writes=[(0, 1)]), Step(1, writes=[(0, 2)]), Step(2, [1]), Step(3, [2])]
    two_writers_and_readers[0].then, two_writers_and_readers[1].then = [2], [3]
    assert can_be_placed(two_writers_and_readers, [0], budget=0) is None
    assert can_be_placed(two_writers_and_readers, [0]) is True


def test_thousands_of_transactions_are_placed() -> None:
    verdict = check(pair(simulate(1, "snapshot", "register", transactions=3000, processes=10)))
    assert [level.name for level in verdict.strongest] == ["strong-snapshot-isolation"]


def test_a_long_history_of_many_who_overlap_is_decided_with_unknown_outcomes_in_it() -> None:
    verdict = check(pair(simulate(5, "serial", "register", transactions=10_000, processes=100)))
    assert verdict.counts.unknown > 100
    assert [level.name for level in verdict.strongest] == ["strict-serializable"]


def test_a_search_through_a_window_never_says_no() -> None:
    for seed in range(200):
        steps, initial = steps_of(Random(seed))
        found = can_be_placed(steps, initial, window=1)
        assert found is None or (found and can_be_placed(steps, initial)), f"seed {seed}"


def broken(events: Iterable[Event], random: Random, what: str) -> Iterator[Event]:
    """The events with one commit in five told to have failed, or one read in fifty answered with an old value."""
    old: dict[Any, Any] = {}
    for event in events:
        if event.type == "ok" and what == "told to have failed" and random.random() < 0.2:
            asked: list[Micro] = [(f, key, None if f == "r" else value) for f, key, value in event.value]
            yield msgspec.structs.replace(event, type="fail", value=asked)
            continue
        micros = list(event.value)
        for at, (f, key, value) in enumerate(micros):
            is_alone = [it for _, it, _ in micros].count(key) == 1
            if event.type == "ok" and f == "r" and is_alone and key in old and random.random() < 0.02:
                if what == "old values":
                    micros[at] = (f, key, old[key])
            elif event.type == "ok" and is_alone and value is not None and random.random() < 0.2:
                old[key] = value
        yield msgspec.structs.replace(event, value=micros)


@pytest.mark.parametrize(
    ("what", "anomaly", "left"),
    [
        ("told to have failed", "G1a", ["strong-read-uncommitted"]),
        ("old values", "G-single-item", ["strong-read-committed", "monotonic-atomic-view"]),
    ],
)
def test_what_long_broken_histories_are_is_known_without_a_search(what: str, anomaly: str, left: list[str]) -> None:
    events = broken(simulate(3, "serial", "register", transactions=15_000), Random(3), what)
    verdict = check(pair(events))
    assert anomaly in verdict.anomalies
    assert (strongest(verdict), None in verdict.levels.values()) == (left, False)


def test_a_labelled_transaction_overlaps_all_but_its_session() -> None:
    def of(process: int, at: int, *micros: Micro) -> Transaction:
        return Transaction(f"T{at}", process, "ok", at, NEVER - 1, list(micros))

    verdict = check([of(0, 0, ("w", "x", 1)), of(1, 1, ("r", "x", None)), of(0, 2, ("r", "x", 1))])
    assert verdict.strongest[0].name == "strict-serializable"


def test_those_to_blame_are_told_and_nobody_else() -> None:
    text = """
        0= wx1 wy1
        5= wz1
        0< wx2
        1< wy2
        2< rx ry
        3< rx ry
        0: wx2
        1: wy2
        2: rx2 ry1
        3: rx1 ry2
        5= rz1
        5= wz2
    """
    [told] = judged(text).anomalies["no-order"]
    assert {line.split(":")[0] for line in told.words.splitlines()[1:]} == {
        "T1 (process 0)",
        "T8 (process 0)",
        "T9 (process 1)",
        "T10 (process 2)",
        "T11 (process 3)",
    }
    assert "T10 (process 2): r x 2, r y 1" in told.words


RECOVERED = {
    "two writes and the older one, in real time": (
        "0= wx1\n1= wx2\n2= rx1",
        "G-single-item-realtime",
        [
            "T5 came before T3: T5 saw x at 1, before T3 wrote 2, which was begun when that was there (rw)",
            "T3 came before T5: T3 was answered before T5 was begun (realtime)",
        ],
    ),
    "the same in a session": (
        "0= wx1\n0= wx2\n0= rx1",
        "G-single-item-process",
        [
            "T5 came before T3: T5 saw x at 1, before T3 wrote 2, by a process that had written or seen it before (rw)",
            "T3 came before T5: process 0 did T3 first (process)",
        ],
    ),
    "a read that goes back": (
        "0= wx1\n0= wx2\n1= rx2\n1= rx1",
        "G-single-item-process",
        ["T7 came before T3", "T3 came before T5: T5 saw x with 2, which T3 wrote (wr)", "T5 came before T7"],
    ),
    "a read that goes back, of an unknown write": (
        "0< wx1\n1= rx1\n1= wx2\n1= rx1",
        "G-single-item-process",
        ["T6 came before T4", "T4 came before T6: process 1 did T4 first (process)"],
    ),
    "a part of the older, in an overlap": (
        "0= wx1 wy1\n1< rx ry\n2= wx2 wy2\n1: rx1 ry2",
        "G-single-item-realtime",
        ["T5 came before T4: T5 saw x at 1", "T4 came before T5: T5 saw y with 2, which T4 wrote (wr)"],
    ),
    "skew of what was overwritten": (
        "0= wx1 wy1\n1< rx wy2\n2< ry wx2\n1: rx1 wy2\n2: ry1 wx2",
        "G2-item",
        [
            "T4 came before T5: T4 saw x at 1, before T5 wrote 2, having seen another write of the same transaction",
            "T5 came before T4: T5 saw y at 1, before T4 wrote 2, having seen another write of the same transaction",
        ],
    ),
}


@pytest.mark.parametrize("what", RECOVERED)
def test_where_the_order_of_versions_is_known_the_cycle_is_told(what: str) -> None:
    text, name, steps = RECOVERED[what]
    [found] = judged(text).anomalies[name]
    assert found.cycle is not None and "no-order" not in judged(text).anomalies
    lines = found.words.splitlines()[1:]
    assert len(lines) == len(steps)
    assert all(any(line.startswith(step) for line in lines) for step in steps), found.words


def test_what_the_initial_state_tells_is_told_of_lost_updates_too() -> None:
    [found] = judged("1< rx wx1\n2< rx wx2\n1: rx: wx1\n2: rx: wx2").anomalies["G2-item"]
    assert found.words.count("saw x without a value, before") == 2


FORBIDDEN_BY = {
    "G0": "read-committed",
    "G1c": "read-committed",
    "G-single-item": "parallel-snapshot-isolation",
    "G-nonadjacent-item": "snapshot-isolation",
    "long-fork": "snapshot-isolation",
    "G2-item": "serializable",
}


def test_every_cycle_told_is_of_a_level_that_does_not_hold_by_definition() -> None:
    told: set[str] = set()
    for seed in range(500):
        transactions = scrambled(Random(seed))
        for name, found in check(transactions).anomalies.items():
            if found[0].cycle is not None:
                base = base_name(name)
                order = "session" if "-process" in name else "realtime" if "-realtime" in name else ""
                assert not Oracle(transactions, order).holds(FORBIDDEN_BY[base]), (seed, name)
                assert "missed a write of" not in found[0].words, (seed, found[0].words)
                told.add(name)
    assert {"G-single-item", "G-single-item-process", "G-single-item-realtime", "G2-item"} <= told, told


@pytest.mark.parametrize("write", ["a", "w"])
def test_a_write_that_its_own_transaction_does_not_see_is_judged_the_same(write: str) -> None:
    verdict = judged(f"0= {write}x1 rx:")
    assert (set(verdict.anomalies), strongest(verdict)) == ({"internal"}, ["strong-repeatable-read"])


def test_a_register_that_null_is_written_to_is_refused() -> None:
    written = Transaction("T0", 0, "ok", 0, 1, [("w", "x", None)])
    with pytest.raises(BadRequestError, match="T0 writes null to 'x'; a read of that can't be told from one before"):
        check([written])
