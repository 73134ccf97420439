"""Every anomaly, told by hand, and beside it what is nearly one and is none."""

from __future__ import annotations

import pytest

from tests.stress.checker.told import holds, judged, strongest

ANOMALIES = {
    "G0": (
        """
        0< ax1 ay1
        1< ax2 ay2
        0: ax1 ay1
        1: ax2 ay2
        2= rx1,2 ry2,1
        """,
        [],
    ),
    "G1a": (
        """
        0< ax1
        0! ax1
        1= rx1
        """,
        ["strong-read-uncommitted"],
    ),
    "G1b": (
        """
        0< ax1 ax2
        1= rx1
        0: ax1 ax2
        """,
        ["strong-read-uncommitted"],
    ),
    "G1c": (
        """
        0< ax1 ry
        1< ay1 rx
        0: ax1 ry1
        1: ay1 rx1
        """,
        ["strong-read-uncommitted"],
    ),
    "G1c-realtime": (
        """
        0< rx
        0: rx1
        1= ax1
        """,
        ["strong-read-uncommitted", "strong-session-serializable"],
    ),
    "G-single-item": (
        """
        0< rx ry
        1= ax1 ay1
        0: rx ry1
        """,
        ["strong-monotonic-atomic-view"],
    ),
    "G-single-item-realtime": (
        """
        0= ax1
        1= rx
        2= rx1
        """,
        ["strong-monotonic-atomic-view", "strong-session-serializable"],
    ),
    "G-single-item-process": (
        """
        0= ax1
        0= rx
        """,
        ["strong-monotonic-atomic-view", "serializable"],
    ),
    "long-fork": (
        """
        0< ax1
        1< ay1
        2< rx ry
        3< rx ry
        0: ax1
        1: ay1
        2: rx1 ry:
        3: rx: ry1
        """,
        ["strong-parallel-snapshot-isolation"],
    ),
    "G-nonadjacent-item": (
        """
        0< ax1
        1< ay1
        2< az1
        3< rx ry
        4< ry rz
        5< rz rx
        0: ax1
        1: ay1
        2: az1
        3: rx1 ry:
        4: ry1 rz:
        5: rz1 rx:
        """,
        ["strong-parallel-snapshot-isolation"],
    ),
    "G2-item": (
        """
        0< rx ay1
        1< ry ax1
        0: rx: ay1
        1: ry: ax1
        """,
        ["strong-snapshot-isolation"],
    ),
    "internal": (
        """
        0= ax1 rx
        """,
        ["strong-repeatable-read"],
    ),
    "future-read": (
        """
        0= rx1 ax1
        """,
        ["strong-read-uncommitted"],
    ),
    "lost-update": (
        """
        0= ax1
        1< rx ax2
        2< rx ax3
        1: rx1 ax2
        2: rx1 ax3
        """,
        ["strong-prefix"],
    ),
    "dirty-update": (
        """
        0< ax1
        0! ax1
        1= ax2
        2= rx1,2
        """,
        ["strong-read-uncommitted"],
    ),
    "duplicate-elements": (
        """
        0= ax1
        1= rx1,1
        """,
        [],
    ),
    "incompatible-order": (
        """
        0= ax1
        1= ax2
        2= rx1
        3= rx2
        """,
        ["strong-read-uncommitted"],
    ),
    "garbage-read": (
        """
        0= ax1
        1= rx1,7
        """,
        ["strong-read-uncommitted"],
    ),
    "fractured-read": (
        """
        0< rx ry
        1= ax1 ay1
        0: rx1 ry:
        """,
        ["strong-read-committed"],
    ),
}


@pytest.mark.parametrize("name", ANOMALIES)
def test_the_anomaly_is_named(name: str) -> None:
    text, _ = ANOMALIES[name]
    assert name in judged(text).anomalies


@pytest.mark.parametrize("name", ANOMALIES)
def test_what_an_anomaly_leaves_possible(name: str) -> None:
    text, left = ANOMALIES[name]
    assert strongest(judged(text)) == left
    assert holds(judged(text), "strict-serializable") is False


NEAR_MISSES = {
    "overwriting each other in one order": "0< ax1 ay1\n1< ax2 ay2\n0: ax1 ay1\n1: ax2 ay2\n2= rx1,2 ry1,2",
    "a failed write that nobody saw": "0< ax1\n0! ax1\n1= rx:",
    "an unknown write that somebody saw": "0< ax1\n0? ax1\n1= rx1",
    "an unknown write that nobody saw": "0< ax1\n0? ax1\n1= rx:",
    "a process that goes on after an unknown write": "0< ax1\n0? ax1\n0= ay1\n1= ry1 rx:\n1= rx1",
    "a register's process that goes on so": "0< wx1\n0? wx1\n0= wy1\n1= ry1 rx:\n1= rx1",
    "a write without a reply that somebody saw": "0< ax1\n1= rx1",
    "an unknown write that is seen late": "0< ax1\n0? ax1\n1= rx:\n1= ax2\n2= rx2\n3= rx2,1",
    "a transaction's own write for a moment": "0= ax1 rx1 ax2 rx1,2",
    "its own write after what was there": "0= ax1\n1= ax2 rx1,2",
    "both writes seen": "0< rx ry\n1= ax1 ay1\n0: rx1 ry1",
    "neither write seen": "0< rx ry\n1= ax1 ay1\n0: rx: ry:",
    "an older state in an overlap": "0< rx\n1= ax1\n0: rx:",
    "one reader of two behind": "0< ax1\n1< ay1\n2< rx ry\n3< rx ry\n0: ax1\n1: ay1\n2: rx1 ry:\n3: rx1 ry1",
    "two readers of two, in one order": "0< ax1\n1< ay1\n2< rx ry\n3< ry rx\n0: ax1\n1: ay1\n2: rx1 ry:\n3: ry: rx:",
    "two readers of one of two registers": "0< wx1\n1< wy1\n2< rx ry\n3< rx ry\n0: wx1\n1: wy1\n2: rx1 ry:\n3: rx1 ry1",
    "no skew, as one saw the other": "0< rx ay1\n1< ry ax1\n0: rx: ay1\n1: ry1 ax1",
    "updates one after the other": "0= ax1\n1< rx ax2\n2< rx ax3\n1: rx1 ax2\n2: rx1,2 ax3",
    "blind appends, in whatever order": "0< ax1\n1< ax2\n0: ax1\n1: ax2\n2= rx2,1",
    "appends that nobody read": "0= ax1\n1= ax2\n2= ax3 ay1\n0= ry1",
    "two who only read": "0= rx: ry:\n1= ry: rx:",
    "registers in overlap": "0< wx1\n1< wx2\n0: wx1\n1: wx2\n2= rx1",
    "a register's unknown write, never seen": "0= wx1\n1< wx2\n1? wx2\n2= rx1\n3= rx1",
    "a register's unknown write, seen late": "0= wx1\n1< wx2\n1? wx2\n2= rx1\n3= rx2",
    "a register's own write": "0= rx: wx1 rx1 wx2 rx2",
}


@pytest.mark.parametrize("what", NEAR_MISSES)
def test_what_is_no_anomaly_raises_no_alarm(what: str) -> None:
    verdict = judged(NEAR_MISSES[what])
    assert (dict(verdict.anomalies), strongest(verdict)) == ({}, ["strict-serializable"])


REGISTERS = {
    "lost update": ("0= wx1\n1< rx wx2\n2< rx wx3\n1: rx1 wx2\n2: rx1 wx3", ["strong-prefix"]),
    "write skew": ("0< rx wy1\n1< ry wx1\n0: rx: wy1\n1: ry: wx1", ["strong-snapshot-isolation"]),
    "fractured read": ("0= wx1 wy1\n1< rx ry\n2= wx2 wy2\n1: rx1 ry2", ["strong-monotonic-atomic-view"]),
    "long fork": (
        "0= wx1 wy1\n0< wx2\n1< wy2\n2< rx ry\n3< rx ry\n0: wx2\n1: wy2\n2: rx2 ry1\n3: rx1 ry2",
        ["strong-parallel-snapshot-isolation"],
    ),
    "aborted read": ("0< wx1\n0! wx1\n1= rx1", ["strong-read-uncommitted"]),
    "intermediate read": ("0< wx1 wx2\n1= rx1\n0: wx1 wx2", ["strong-read-uncommitted"]),
    "stale session": ("0= wx1\n0= wx2\n0= rx1", ["strong-monotonic-atomic-view", "serializable"]),
    "stale in real time": ("0= wx1\n1= wx2\n2= rx1", ["strong-monotonic-atomic-view", "strong-session-serializable"]),
    "garbage": ("0= wx1\n1= rx5", ["strong-read-uncommitted"]),
}


@pytest.mark.parametrize("what", REGISTERS)
def test_what_registers_show_is_excluded_and_no_more(what: str) -> None:
    text, left = REGISTERS[what]
    verdict = judged(text)
    assert strongest(verdict) == left
    assert verdict.anomalies


def test_a_cycle_is_told_step_by_step() -> None:
    [found] = judged(ANOMALIES["G2-item"][0]).anomalies["G2-item"]
    assert found.words.splitlines() == [
        "no order of the transactions explains it (write skew)",
        "T2 came before T3: T2 saw x without a value, before T3 appended 1 (rw)",
        "T3 came before T2: T3 saw y without a value, before T2 appended 1 (rw)",
    ]


@pytest.mark.parametrize("write", ["a", "w"])
def test_a_long_fork_is_called_one(write: str) -> None:
    text = ANOMALIES["long-fork"][0].replace(" a", f" {write}")
    verdict = judged(text)
    [found] = verdict.anomalies["long-fork"]
    assert "G-nonadjacent-item" not in verdict.anomalies and "opposite orders" in found.words
    assert [line.split(":")[0] for line in found.words.splitlines()[1:]] == [
        "T6 came before T5",
        "T5 came before T7",
        "T7 came before T4",
        "T4 came before T6",
    ]


def test_the_shortest_cycle_is_the_one_told() -> None:
    text = """
        0< rx ay1
        1< ry az1
        2< rz ax1
        3< rx az2
        0: rx: ay1
        1: ry: az1
        2: rz: ax1
        3: rx: az2
        4= rz2,1
    """
    [found] = judged(text).anomalies["G2-item"]
    assert len(found.transactions) == 2
