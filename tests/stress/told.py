"""Histories written by hand: steps as they were told, one after the other unless they say otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from mvcc_kv.stress.history import EventType, Micro
from mvcc_kv.stress.plan import Operation

__all__ = ["Teller"]


class Teller:
    """Steps of a history, in the order of their beginnings. `begin` and `end` let them overlap."""

    def __init__(self) -> None:
        self._moment = 0
        self.ops: list[Operation] = []

    def step(
        self,
        f: str,
        asked: Sequence[Micro],
        value: Sequence[Micro] | None = None,
        event_type: EventType = "ok",
        *,
        overlaps: int = 0,
    ) -> Operation:
        """A step after all others; or one that began before the last `overlaps` of them did."""
        invoked = self._moment - 2 * overlaps - 1 if overlaps else self._next()
        completed = self._next() if event_type != "info" else 1 << 62
        told = list(asked if value is None or event_type != "ok" else value)
        op = Operation(0, f, event_type, invoked, completed, list(asked), told)
        self.ops.append(op)
        self.ops.sort(key=lambda it: it.invoked)
        return op

    def _next(self) -> int:
        self._moment += 2
        return self._moment
