"""Busy polling: who has just been asked something waits for the next question awake.

    asleep    recv run send | epoll_wait: sleep ......... wake up | recv run send | ...        the core falls asleep too
    awake     recv run send | epoll_wait, epoll_wait, epoll_wait, | recv run send | ...        the next is heard at once

To fall asleep and wake up takes longer than to execute a command, and all of that is time in which one who waits for
each answer before the next question gets none. So the loop stays awake for a spell, where the last question came so
soon; this is what kernels do for virtual processors and network queues (halt polling, SO_BUSY_POLL). A spell in which
nothing came was in vain: the next ones are passed over, the more the more often that happens. Whoever else wants the
core has it at once, since it is offered at each look; and while a worker has something for the disk in hand, whose end
isn't to be delayed, nobody polls.
"""

from __future__ import annotations

__all__ = ["BusyPolling"]

_PASSED_OVER_MAX = 1023


class BusyPolling:
    """Decides how long to stay awake, which is `most_s` or not at all. `spell_s`: from now on."""

    __slots__ = ("_most_s", "_passed_over", "_to_pass_over", "spell_s")

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._to_pass_over = 0
        self._passed_over = 0  # after the last that was in vain
        self.spell_s = 0.0

    def heard(self, took_s: float, *, was_awake: bool) -> None:
        """It took so long until something was heard."""
        if took_s <= self._most_s:
            if was_awake:
                self._passed_over //= 2
            elif self._to_pass_over:
                self._to_pass_over -= 1
            else:
                self.spell_s = self._most_s
        elif was_awake:
            self._passed_over = self._to_pass_over = min(2 * self._passed_over + 1, _PASSED_OVER_MAX)
            self.spell_s = 0.0
