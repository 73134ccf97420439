"""Hot keys: which keys conflicts are about, in little memory however many keys there are.

Space-saving (Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams",
ICDT 2005): so many counters; a key that has none takes over the smallest, count and all. So a count is never too low,
too high by at most the smallest, and every key that has more than 1/COUNTERS of all conflicts is among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

__all__ = ["HotKeys"]

COUNTERS = 256
REPORTED = 10


class HotKeys:
    """Counts conflicts by key.

    >>> hot = HotKeys()
    >>> hot.count([b"a", b"b", b"a"])
    >>> hot.top()
    [(b'a', 2), (b'b', 1)]
    """

    def __init__(self, counters: int = COUNTERS) -> None:
        self._counters = counters
        self._counts: dict[bytes, int] = {}

    def count(self, keys: Iterable[bytes]) -> None:
        """One more conflict about each of the keys; of a conflict about very many, the first count for all."""
        counts = self._counts
        for key in islice(keys, REPORTED):
            if key in counts or len(counts) < self._counters:
                counts[key] = counts.get(key, 0) + 1
            else:
                coldest = min(counts, key=counts.__getitem__)
                counts[key] = counts.pop(coldest) + 1

    def top(self, limit: int = REPORTED) -> list[tuple[bytes, int]]:
        """The keys with the most conflicts, and how many, or a few too many, they were about."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
