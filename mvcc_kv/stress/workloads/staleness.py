"""What registers whose values are all different tell without a graph: where a value came from, and whether it was old.

    write v1   |--ok--|
    write v2             |--ok--|
    read                           |--- v1: stale ---|     v2 began after v1 was acknowledged, and was acknowledged
                                                           before the read began

So a key has a *floor* at each moment: the latest beginning of a write that is acknowledged by then. A read that begins
at that moment must not return a value that was acknowledged before the floor, nor none at all. Sound at both levels,
as a store with real-time order is asked for; linear in the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mvcc_kv.stress.plan import Checked, Operation

__all__ = ["check_registers"]


@dataclass(frozen=True, slots=True)
class _Write:
    op: Operation
    is_last: bool  # of its transaction, to this key


def check_registers(ops: Sequence[Operation], final: Mapping[str, Any], checked: Checked) -> None:
    """Values from nowhere, from failed or unfinished steps, and stale ones; the final state is one more read."""
    writes = _writes(ops)
    floors = _Floors(ops)
    for op in ops:
        if op.type == "ok":
            own: dict[str, Any] = {}
            for f, key, value in op.value:
                if f == "w":
                    own[key] = value
                elif key in own:
                    _check_own(op, key, value, own[key], checked)
                else:
                    checked.count("registers read")
                    _check_value(key, value, writes, floors.at(op.invoked, key), f"event {op.completed}", checked)
    for key in final.keys() | floors.keys:
        _check_value(key, final.get(key), writes, floors.at(1 << 62, key), "the end", checked)


def _check_own(op: Operation, key: str, value: Any, written: Any, checked: Checked) -> None:
    if value != written:
        checked.violated(
            "internal", f"{key} was read as {value!r} ({op.completed}) after {written!r} was written to it"
        )


def _check_value(
    key: str, value: Any, writes: Mapping[tuple[str, Any], _Write], floor: int, where: str, checked: Checked
) -> None:
    if value is None:
        if floor >= 0:
            checked.violated("lost write", f"{where}: {key} was read as absent, after a write to it was acknowledged")
        return
    write = writes.get((key, value))
    if write is None:
        checked.violated("garbage", f"{where}: {key} was read as {value!r}, which nobody wrote")
    elif write.op.type == "fail":
        checked.violated("aborted read", f"{where}: {key} was read as {value!r}, whose write failed")
    elif not write.is_last:
        checked.violated("intermediate read", f"{where}: {key} was read as {value!r}, which was overwritten at once")
    elif write.op.completed < floor:
        newer = f"one that began after it was acknowledged ({write.op.completed}) was acknowledged too"
        checked.violated("stale read", f"{where}: {key} was read as {value!r}; {newer}")


def _writes(ops: Sequence[Operation]) -> dict[tuple[str, Any], _Write]:
    """Who wrote each value."""
    found: dict[tuple[str, Any], _Write] = {}
    for op in ops:
        last = {key: value for f, key, value in op.value if f == "w"}
        for f, key, value in op.value:
            if f == "w":
                found[key, value] = _Write(op, last[key] == value)
    return found


class _Floors:
    """Each key's floor over time: as it was when each step began. -1 where nothing was acknowledged yet."""

    def __init__(self, ops: Sequence[Operation]) -> None:
        self._steps: dict[str, list[tuple[int, int]]] = {}
        self._next: dict[str, int] = {}
        acknowledged = sorted((op for op in ops if op.type == "ok"), key=lambda op: op.completed)
        for op in acknowledged:
            for key in {key for f, key, _ in op.value if f == "w"}:
                steps = self._steps.setdefault(key, [])
                floor = max(op.invoked, steps[-1][1] if steps else -1)
                steps.append((op.completed, floor))

    @property
    def keys(self) -> set[str]:
        """The keys of which a write was acknowledged."""
        return set(self._steps)

    def at(self, moment: int, key: str) -> int:
        """The key's floor at that moment. Asked in the order of moments, for each key."""
        steps = self._steps.get(key, [])
        at = self._next.get(key, 0)
        while at < len(steps) and steps[at][0] < moment:
            at += 1
        self._next[key] = at
        return steps[at - 1][1] if at else -1
