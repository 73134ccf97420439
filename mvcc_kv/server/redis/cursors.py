"""Where SCANs stand: numbers for clients, keys for us.

Keys are in order here, so a scan stands at the key where it goes on, whatever came and went meanwhile: each key that
is there all the time is told, and exactly once. Redis's clients take a cursor to be a number, so the keys are kept
under numbers; the oldest are forgotten when there are too many of them, and a scan that asks for one is told so.
"""

from __future__ import annotations

__all__ = ["CURSORS_MAX", "Cursors"]

CURSORS_MAX = 65_536


class Cursors:
    """Numbers for places in the order of keys; 0 is the beginning, and the end."""

    def __init__(self, cursors_max: int = CURSORS_MAX) -> None:
        self._keys: dict[int, bytes] = {}
        self._last = 0
        self._cursors_max = cursors_max

    def keep(self, key: bytes) -> int:
        """A number for the place."""
        self._last += 1
        self._keys[self._last] = key
        if len(self._keys) > self._cursors_max:
            del self._keys[next(iter(self._keys))]
        return self._last

    def find(self, cursor: int) -> bytes | None:
        """The place; None if it is known no more, or never was. It may be asked for again."""
        return self._keys.get(cursor)
