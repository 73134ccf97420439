"""The checker as judge: each level forbids what it promises to prevent, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from mvcc_kv.stress.history import Event
from mvcc_kv.stress.judging import judge


def history(*steps: list[tuple[str, str, Any]], together: bool = True) -> list[Event]:
    """Each step by a process of its own: all begin before any ends, or one after the other."""
    asked = [(at, "invoke", [(f, k, None if f == "r" else v) for f, k, v in step]) for at, step in enumerate(steps)]
    told = [(at, "ok", step) for at, step in enumerate(steps)]
    moments = [*asked, *told] if together else [it for both in zip(asked, told, strict=True) for it in both]
    return [
        Event(index=at, time=at, process=process, type=kind, value=value)  # type: ignore[arg-type]
        for at, (process, kind, value) in enumerate(moments)
    ]


SKEW = history(
    [("r", "x", None), ("append", "y", 1)],
    [("r", "y", None), ("append", "x", 2)],
    [("r", "x", [2]), ("r", "y", [1])],
)
STALE = history([("append", "x", 1)], [("r", "x", None)], [("r", "x", [1])], together=False)


@pytest.mark.parametrize(("isolation", "is_violated"), [("snapshot", False), ("serializable", True)])
def test_write_skew_is_a_violation_of_serializable_only(isolation: str, is_violated: bool) -> None:
    judged = judge("list-append", SKEW, isolation)
    assert judged is not None and bool(judged.violations) is is_violated, judged


@pytest.mark.parametrize("isolation", ["snapshot", "serializable"])
def test_a_stale_read_is_a_violation_of_both(isolation: str) -> None:
    judged = judge("list-append", STALE, isolation)
    assert judged is not None and judged.violations, judged
    assert "does not hold" in judged.facts.values()


def test_a_history_of_another_kind_is_left_to_its_workload() -> None:
    assert judge("bank", STALE, "snapshot") is None
