"""Expiry with nobody asking: the loop wakes when the next key is due, and takes away a part of what is, turn by turn.

    put(a, for 5 s)     the turn's end    a timer in 5 s
    put(b, for 1 s)     the turn's end    a timer in 1 s instead
    1 s later           the next turn     b goes, in a commit of its own, to the log with the rest of the turn

The timer does nothing but end the loop's sleep: whether something is due is looked up every turn, if any key expires at
all. Its clock is the store's, which may be set anew at any time, while timers go by another; so no timer is later than
`LOOK_UP_S`, and one that was too early is set again.
"""

from __future__ import annotations

from mvcc_kv.server.deadlines import Deadlines, Timer
from mvcc_kv.server.served import ServedStore

__all__ = ["LOOK_UP_S", "RETRY_S", "ExpiryTimer"]

LOOK_UP_S = 60.0
RETRY_S = 1.0
_NEAR_S = 0.001


class ExpiryTimer:
    """What is due, for a loop. `has_more`: the next turn has work, so don't sleep."""

    def __init__(self, store: ServedStore, deadlines: Deadlines) -> None:
        self.has_more = False
        self._store = store
        self._deadlines = deadlines
        self._timer: Timer | None = None
        self._at = 0.0

    def sweep(self, now: float) -> None:
        """Take away what is due, at most what one commit may; and see to it that the loop wakes for the next."""
        left_s = self._left_s()
        if left_s is not None and left_s <= 0:
            self.has_more = self._store.expire_due()
            left_s = self._left_s()
        else:
            self.has_more = False
        if left_s is not None and not self.has_more:
            self._wake_at(now + (min(left_s, LOOK_UP_S) if left_s > 0 else RETRY_S))  # due still: the log refuses it

    def _left_s(self) -> float | None:
        next_us = self._store.next_expiry_us
        return None if next_us is None else (next_us - self._store.now_us()) / 1_000_000

    def _wake_at(self, at: float) -> None:
        if self._timer is not None:
            if at > self._at - _NEAR_S:
                return
            self._deadlines.cancel(self._timer)
        self._at = at
        self._timer = self._deadlines.add(at, self._woken)

    def _woken(self, _: float) -> None:
        self._timer = None
