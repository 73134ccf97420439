"""What a server counts for INFO; each count is a field, so that it costs a command next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Lookups", "Rate", "Tally"]

_RATE_OVER_S = 1.0


@dataclass(slots=True)
class Tally:
    """What became of one command: how often it was executed, refused before that, answered by an error.

    `seconds` is what `timed` of the calls took. `untimed`: which of them are not timed, by the bits of their number.
    """

    calls: int = 0
    rejected: int = 0
    failed: int = 0
    seconds: float = 0.0
    timed: int = 0
    untimed: int = 0

    @property
    def took_us(self) -> int:
        """What all calls took, as far as the timed ones tell."""
        return int(self.seconds * self.calls / self.timed * 1_000_000) if self.timed else 0


@dataclass(slots=True)
class Lookups:
    """How often a reading command found its key, or didn't."""

    hits: int = 0
    misses: int = 0


class Rate:
    """How fast a count grows, between two looks at it that are at least a second apart."""

    def __init__(self) -> None:
        self._total, self._at, self._rate = 0, float("-inf"), 0.0

    def per_second(self, total: int, now: float) -> int:
        """By the clock; `total` is the count now.

        >>> rate = Rate()
        >>> rate.per_second(100, now=5.0), rate.per_second(160, now=7.0), rate.per_second(170, now=7.5)
        (0, 30, 30)
        """
        since_s = now - self._at
        if since_s >= _RATE_OVER_S:
            self._rate = max(total - self._total, 0) / since_s
            self._total, self._at = total, now
        return round(self._rate)
