"""Timers: what is to happen when, for a loop that asks.

A timer that is set is not taken back: what it calls looks whether it is still wanted, and sets it anew
if it was too early. So a busy connection touches no timer, and has one of each kind at the most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count
from typing import TypeAlias

__all__ = ["Deadlines"]

_Action: TypeAlias = "Callable[[float], None]"


class Deadlines:
    """Actions by the time they are due; each is called with the time it is.

    >>> deadlines = Deadlines()
    >>> deadlines.add(2.0, lambda now: print("tea at", now))
    >>> deadlines.wait_s(now=0.5)
    1.5
    >>> for action in deadlines.due(now=2.5):
    ...     action(2.5)
    tea at 2.5
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Action]] = []
        self._order = count()

    def add(self, at: float, action: _Action) -> None:
        heappush(self._heap, (at, next(self._order), action))

    def wait_s(self, now: float) -> float | None:
        """How long nothing will be due; None if nothing is set."""
        return max(self._heap[0][0] - now, 0.0) if self._heap else None

    def due(self, now: float) -> Iterator[_Action]:
        """The actions whose time has come, earliest first; each is given once."""
        while self._heap and self._heap[0][0] <= now:
            yield heappop(self._heap)[2]
