"""Timers: what is to happen when, for a loop that asks.

A timer is not moved: what it calls looks whether it is wanted now, and sets another if it was too early. So a
busy connection touches no timer, and has one of each kind at the most. Cancelling one forgets its action at once
and its place in the heap by and by, so that connections that come and go leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import TypeAlias

__all__ = ["Deadlines", "Timer"]

_Action: TypeAlias = "Callable[[float], None]"
_CANCELLED_MIN = 64


_WAIT_S_MAX = 3600.0  # select() refuses to wait for months


class Timer:
    """An action that is set."""

    __slots__ = ("action",)

    def __init__(self, action: _Action) -> None:
        self.action: _Action | None = action  # None once it is cancelled, or given out by `due`


class Deadlines:
    """Actions by the time they are due; each is called with the time it is.

    >>> deadlines = Deadlines()
    >>> timer = deadlines.add(2.0, lambda now: print("tea at", now))
    >>> deadlines.wait_s(now=0.5)
    1.5
    >>> for action in deadlines.due(now=2.5):
    ...     action(2.5)
    tea at 2.5
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._cancelled = 0

    def __len__(self) -> int:
        """How many are set."""
        return len(self._heap) - self._cancelled

    def add(self, at: float, action: _Action) -> Timer:
        timer = Timer(action)
        heappush(self._heap, (at, next(self._order), timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        """Forget a timer; one that was due already, or is cancelled, is left alone."""
        if timer.action is None:
            return
        timer.action = None
        self._cancelled += 1
        if self._cancelled > max(len(self._heap) // 2, _CANCELLED_MIN):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapify(self._heap)
            self._cancelled = 0

    def wait_s(self, now: float) -> float | None:
        """How long nothing will be due, an hour at most; None if nothing is set."""
        return min(max(self._heap[0][0] - now, 0.0), _WAIT_S_MAX) if self._heap else None

    @property
    def next_at(self) -> float:
        """When the next is due, at the earliest; infinity if nothing is set."""
        return self._heap[0][0] if self._heap else inf

    def due(self, now: float) -> Iterator[_Action]:
        """The actions whose time has come, earliest first; each is given once."""
        while self._heap and self._heap[0][0] <= now:
            timer = heappop(self._heap)[2]
            action, timer.action = timer.action, None
            if action is None:
                self._cancelled -= 1
            else:
                yield action
