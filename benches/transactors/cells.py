"""Counters of ZODB: persistent objects, each stored by itself."""

from __future__ import annotations

from persistent import Persistent

__all__ = ["Cell", "Counter"]


class Cell(Persistent):  # type: ignore[misc]
    """A counter whose value is text, as the servers' are."""

    def __init__(self, value: bytes) -> None:
        self.value = value


class Counter(Persistent):  # type: ignore[misc]
    """A counter whose value is a number, as the libraries' are."""

    def __init__(self) -> None:
        self.value = 0
