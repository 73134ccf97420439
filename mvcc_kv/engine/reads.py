"""What a transaction has read: keys, and ranges as they were asked for.

    get(b)            b, whether it was there or not
    scan(d .. h)      all of [d, h): a key that appears in it later would have been in the answer
    scan(k .., 2)     [k, next): as far as the page went, and no further

    ranges   [a ... d)        [k ... m)          disjoint and in order; those that touch become one, so that a scan
             [c ..... g)                         page by page is one range in the end
    merged   [a ..... g)      [k ... m)

Tracking the keys that a scan yielded, and not the range that it asked for, is how phantoms get in.

Every transaction that may write keeps one: a SERIALIZABLE one must find it unchanged when it commits; any other only
asks whether it has read a key that it adds to.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

__all__ = ["ReadSet"]

KEY_BYTES = 100
RANGE_BYTES = 200

_NO_EDGES: list[bytes] = []  # of all who have read no range yet; never changed

END = b"\xff"  # above every key, because no UTF-8 has this byte


class ReadSet:
    """Keys and ranges; `used_bytes` is what remembering them takes, with what Python takes beside them."""

    __slots__ = ("_highs", "_is_everything", "_lows", "keys", "used_bytes")

    def __init__(self, key: bytes | None = None) -> None:
        self.keys: dict[bytes, None] = {} if key is None else {key: None}  # in the order of reading
        self.used_bytes = 0 if key is None else KEY_BYTES + len(key)
        self._lows = self._highs = _NO_EDGES
        self._is_everything = False

    @property
    def ranges(self) -> Iterator[tuple[bytes, bytes]]:
        """The ranges, `low <= key < high`, in order."""
        return zip(self._lows, self._highs, strict=True)

    @property
    def has_ranges(self) -> bool:
        return bool(self._lows)

    def __contains__(self, key: bytes) -> bool:
        return key in self.keys or self._is_everything or self.in_a_range(key)

    def in_a_range(self, key: bytes) -> bool:
        """Whether a range that was asked for has this key."""
        at = bisect_right(self._lows, key)
        return at > 0 and key < self._highs[at - 1]

    def add_key(self, key: bytes) -> None:
        if key not in self.keys and not self._is_everything:
            self.keys[key] = None
            self.used_bytes += KEY_BYTES + len(key)

    def add_range(self, low: bytes, high: bytes | None) -> None:
        """All keys with `low <= key < high`; no `high`: no end."""
        high = END if high is None else high
        if low >= high or self._is_everything:
            return
        if self._lows is _NO_EDGES:
            self._lows, self._highs = [], []
        first = bisect_left(self._highs, low)  # the first that touches it, or lies behind it
        behind = bisect_right(self._lows, high)  # the first that lies behind it for sure
        if first < behind:
            low, high = min(low, self._lows[first]), max(high, self._highs[behind - 1])
        self.used_bytes -= sum(map(_range_bytes, self._lows[first:behind], self._highs[first:behind]))
        self._lows[first:behind], self._highs[first:behind] = [low], [high]
        self.used_bytes += _range_bytes(low, high)

    def become_everything(self) -> None:
        """Forget what was read in particular: from now on it counts as all there is."""
        self.keys.clear()
        self._lows, self._highs = [b""], [END]
        self._is_everything = True
        self.used_bytes = 0

    def check(self) -> None:
        """Verify that the book-keeping agrees with itself."""
        edges = [edge for pair in self.ranges for edge in pair]
        assert edges == sorted(set(edges)), "ranges are disjoint, in order, and none is empty or touches the next"
        if not self._is_everything:
            ranges = sum(_range_bytes(low, high) for low, high in self.ranges)
            assert self.used_bytes == ranges + sum(KEY_BYTES + len(key) for key in self.keys)


def _range_bytes(low: bytes, high: bytes) -> int:
    return RANGE_BYTES + len(low) + len(high)
