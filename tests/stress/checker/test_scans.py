"""Scans: what they saw, and what they saw not to be there."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker import Verdict, check
from mvcc_kv.stress.checker.histories import Transaction
from mvcc_kv.stress.history import Micro
from tests.stress.checker.told import holds, strongest

TOGETHER = 100


def scan(prefix: str, **items: Any) -> Micro:
    return ("scan", prefix, items)


def judged(*steps: list[Micro], at_once: bool = True) -> Verdict:
    """Each by a process of its own, all at once or one after the other."""
    return check(
        Transaction(f"T{at}", at, "ok", 2 * at - TOGETHER * at_once, 2 * at + 1 + TOGETHER * at_once, micros)
        for at, micros in enumerate(steps)
    )


@pytest.mark.parametrize("write", ["w", "append"])
def test_write_skew_by_a_predicate_is_g2_and_no_g2_item(write: str) -> None:
    verdict = judged([scan("a"), (write, "a1", 1)], [scan("a"), (write, "a2", 2)])
    assert set(verdict.anomalies) == {"G2"}
    assert strongest(verdict) == ["strong-snapshot-isolation", "strong-repeatable-read"]
    [found] = verdict.anomalies["G2"]
    assert "T0 saw a2 without a value, before T1" in found.words


def test_write_skew_by_a_key_beside_a_scan_is_g2() -> None:
    verdict = judged([scan("a"), ("w", "b", 1)], [("r", "b", None), ("w", "a2", 2)])
    assert set(verdict.anomalies) == {"G2"} and holds(verdict, "repeatable-read") is True


def test_what_a_scan_returned_and_another_overwrote_is_an_item() -> None:
    verdict = judged(
        [("w", "a1", 1), ("w", "b1", 1)],
        [scan("a", a1=1), ("r", "b1", 1), ("w", "b1", 2)],
        [scan("b", b1=1), ("r", "a1", 1), ("w", "a1", 2)],
    )
    assert set(verdict.anomalies) == {"G2-item"} and holds(verdict, "repeatable-read") is False


def test_a_key_that_was_read_as_absent_too_is_an_item() -> None:
    verdict = judged([scan("a"), ("r", "a2", None), ("w", "a1", 1)], [scan("a"), ("r", "a1", None), ("w", "a2", 2)])
    assert set(verdict.anomalies) == {"G2-item"} and holds(verdict, "repeatable-read") is False


def test_where_both_kinds_are_both_are_told() -> None:
    verdict = judged(
        [scan("a"), ("r", "x", None), ("w", "a1", 1), ("w", "y", 1)],
        [scan("a"), ("w", "a2", 2)],
        [("r", "y", None), ("w", "x", 3)],
    )
    assert set(verdict.anomalies) == {"G2", "G2-item"} and holds(verdict, "repeatable-read") is False


def test_a_phantom_between_two_scans_is_no_snapshot() -> None:
    verdict = judged([scan("a"), ("r", "b", 1)], [("w", "a1", 1), ("w", "b", 1)])
    assert "G-single" in verdict.anomalies and "G-single-item" not in verdict.anomalies
    assert holds(verdict, "snapshot") is False


def test_a_scan_that_changes_within_a_transaction_is_internal() -> None:
    assert "internal" in judged([scan("a"), scan("a", a1=1)], [("w", "a1", 1)]).anomalies


def test_a_scan_without_its_own_insertion_is_internal() -> None:
    assert "internal" in judged([("w", "a1", 1), scan("a")]).anomalies


def test_a_scan_that_misses_what_was_acknowledged_is_stale() -> None:
    verdict = judged([("w", "a1", 1)], [scan("a")], at_once=False)
    assert holds(verdict, "serializable") is True and holds(verdict, "strict-serializable") is False


NEAR_MISSES: dict[str, list[list[Micro]]] = {
    "one saw the other": [[scan("a"), ("w", "a1", 1)], [scan("a", a1=1), ("w", "a2", 2)]],
    "other prefixes": [[scan("a"), ("w", "b1", 1)], [scan("c"), ("w", "a2", 2)]],
    "one scans only": [[scan("a"), scan("b")], [scan("a"), ("w", "a2", 2)]],
    "keys that no prefix has": [[scan("a1"), ("w", "a1x", 1)], [scan("a2"), ("w", "a2x", 2)]],
    "its own insertion": [[scan("a"), ("w", "a1", 1), scan("a", a1=1)]],
    "lists": [[("append", "a1", 1)], [scan("a", a1=[1]), ("append", "a1", 2)], [scan("a", a1=[1, 2])]],
    "a key that comes up before any scan": [[("w", "a1", 1)], [("r", "a1", 1)], [scan("a", a1=1)]],
}


@pytest.mark.parametrize("what", NEAR_MISSES)
def test_what_is_no_phantom_raises_no_alarm(what: str) -> None:
    verdict = judged(*NEAR_MISSES[what])
    assert (dict(verdict.anomalies), strongest(verdict)) == ({}, ["strict-serializable"])


def simulated(random: Random, isolation: str) -> list[Transaction]:
    """Scans, reads and writes of a store that is right; up to four transactions overlap."""
    done: list[Transaction] = []
    versions: list[tuple[int, str, int]] = []  # when, key, value
    open_by: dict[int, tuple[int, int]] = {}
    for now in range(160):
        process = random.randrange(4)
        if process not in open_by:
            open_by[process] = (now, now)
            continue
        begun, start = open_by.pop(process)
        start = now if isolation == "serial" else start
        state = {key: value for at, key, value in versions if at < start}
        micros: list[Micro] = []
        for place in range(random.randint(1, 3)):
            key = random.choice("ab") + str(random.randrange(6))
            match random.randrange(3):
                case 0:
                    micros.append(("scan", key[0], {k: v for k, v in state.items() if k.startswith(key[0])}))
                case 1:
                    micros.append(("r", key, state.get(key)))
                case _:
                    state[key] = 4 * now + place
                    micros.append(("w", key, state[key]))
        written = {key: value for f, key, value in micros if f == "w"}
        has_lost = any(key in written and at >= start for at, key, _ in versions)
        if not has_lost:
            versions += [(now, key, value) for key, value in written.items()]
        done.append(Transaction(f"T{now}", process, "fail" if has_lost else "ok", begun, now, micros))
    return done


@pytest.mark.parametrize(
    ("isolation", "level"), [("serial", "strict-serializable"), ("snapshot", "strong-snapshot-isolation")]
)
def test_a_correct_history_with_scans_raises_no_alarm(isolation: str, level: str) -> None:
    named: set[str] = set()
    for seed in range(60):
        verdict = check(simulated(Random(seed), isolation))
        assert holds(verdict, level) is True, f"seed {seed}"
        named |= set(verdict.anomalies)
    assert ("G2" in named) is (isolation == "snapshot")


@pytest.mark.parametrize("outcome", ["fail", "info"])
def test_nobody_saw_what_a_scan_without_a_commit_would_have(outcome: Any) -> None:
    lost = Transaction("T0", 0, outcome, 0, TOGETHER, [("scan", "a", None), ("w", "a1", 1)])
    told = Transaction("T1", 1, "ok", 1, TOGETHER, [scan("a"), ("w", "a2", 2)])
    assert not check([lost, told]).anomalies


@pytest.mark.parametrize("value", [None, 5, {"b1": 1}, ["a1"], {5: 1}])
def test_what_no_scan_returns_is_refused(value: Any) -> None:
    with pytest.raises(BadRequestError, match="a scan is such as"):
        judged([("w", "a1", 1)], [("scan", "a", value)])
