"""Identities: which keys and values of a history are the same, and which only look so.

    1    True    1.0    "1"         four values, of which Python takes three to be equal
    :x   "x"                        a keyword and a string
    [1]  "[1]"                      a list, and the text that it is shown as

Numbers and strings, which nearly all are, stand for themselves. Everything else is put into an `Odd`, which is equal to
those of the same kind only, and is shown as what it holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mvcc_kv.errors import BadRequestError

__all__ = ["Keyword", "Odd", "Symbol", "identities", "identity"]

_PLAIN = frozenset({int, str})


class Keyword(str):
    """A keyword of EDN: its name, which is shown with a colon."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f":{self}"


class Symbol(str):
    """A symbol or character of EDN, as it was written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Odd:
    """A key or value that is neither a number nor a string."""

    __slots__ = ("_hash", "_identity", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        try:
            self._identity = _identity(value)
        except RecursionError:
            raise BadRequestError("a key or value is nested too deeply; write simpler ones") from None
        self._hash = hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and self._identity == other._identity

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return repr(self.value)


def identity(value: Any) -> Any:
    """What is equal for the same values only, and can be looked up.

    >>> identity(1) == identity(True), identity([1]) == identity([1]), identity(5)
    (False, True, 5)
    """
    return value if type(value) in _PLAIN else Odd(value)


def identities(values: list[Any]) -> list[Any]:
    """The same of each; the list itself where nothing in it is odd."""
    return values if _PLAIN.issuperset(map(type, values)) else list(map(identity, values))


def _identity(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return "list", tuple(map(_identity, value))
    if isinstance(value, dict):
        return "map", _of_pairs(value.items())
    return type(value).__name__, repr(value)


def _of_pairs(pairs: Iterable[tuple[Any, Any]]) -> frozenset[Any]:
    return frozenset((_identity(key), _identity(value)) for key, value in pairs)
