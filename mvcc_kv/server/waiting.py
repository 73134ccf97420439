"""A START that waits for its turn: time passes for its ticket by a timer."""

from __future__ import annotations

from collections.abc import Callable

from mvcc_kv.engine.turns import TURN_S, Ticket
from mvcc_kv.server.deadlines import Deadlines

__all__ = ["Wait"]


class Wait:
    """Ticks a ticket until `stop` or `withdraw`."""

    __slots__ = ("_clock", "_deadlines", "_ticket", "_timer")

    def __init__(self, ticket: Ticket, deadlines: Deadlines, clock: Callable[[], float]) -> None:
        self._ticket = ticket
        self._deadlines = deadlines
        self._clock = clock
        self._timer = deadlines.add(clock() + TURN_S, self._tick)

    def stop(self) -> None:
        """The wait is over."""
        self._deadlines.cancel(self._timer)

    def withdraw(self) -> None:
        """Nobody waits any more: the turn goes to others."""
        self.stop()
        self._ticket.end()

    def _tick(self, _: float) -> None:
        self._ticket.tick()
        if self._ticket.is_waiting:
            self._timer = self._deadlines.add(self._clock() + TURN_S, self._tick)
