r"""What the runs of a function remember of each other: the key that they keep losing.

A retry asks for its turn on the key that it lost (`TransactionOptions.turn`). Where a key is hot, the next run would
lose its first attempt too, so it asks at once. But turns cost: begun one after the other, transactions don't overlap,
and each waits for the one before it to be told. So it takes more than a chance loss to begin that, and little to end it:

    heat  8 |               ______
          6 |            __/      \           a first attempt that lost this key        +2
          4 |---------__/----------\-------   one that won, or took a needless turn     -1
          2 |   __/\_/              \__        one that didn't even write the key       -2
          0 |__/                        \__   at 4 and above first attempts ask for their turn

Losses of other keys cool it too, and at nought the latest one takes over (the idea is that of Boyer and Moore's majority
vote, 1981): a function that loses now this key and now that is better off without a guess.

Threads may share it. They can lose each other's changes of the heat, which harms nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary

__all__ = ["Hunch", "hunch_of"]

HOT = 4
HEAT_MAX = 8
FUNCTIONS_MAX = 1000


class Hunch:
    """Which key the next first attempt is likely to lose, if there is one.

    >>> hunch = Hunch()
    >>> hunch.lost(b"hits")
    >>> hunch.turn
    >>> hunch.lost(b"hits")
    >>> hunch.turn
    b'hits'
    """

    __slots__ = ("_heat", "_key")

    def __init__(self) -> None:
        self._key: bytes | None = None
        self._heat = 0

    @property
    def turn(self) -> bytes | None:
        """The key whose turn a first attempt should ask for; None if it should just begin."""
        return self._key if self._heat >= HOT else None

    def lost(self, key: bytes) -> None:
        """A first attempt lost this key."""
        if key == self._key:
            self._heat = min(self._heat + 2, HEAT_MAX)
        elif self._heat > 0:
            self._heat -= 1
        else:
            self._key, self._heat = key, 2

    def won(self) -> None:
        """A first attempt committed without a turn."""
        if self._heat > 0:
            self._heat -= 1

    def took_turn(self, *, wrote_key: bool, is_contended: bool) -> None:
        """A first attempt had asked for its turn, and committed."""
        if not wrote_key:
            self._heat = max(self._heat - 2, 0)
        elif not is_contended:
            self._heat = max(self._heat - 1, 0)


_by_database: WeakKeyDictionary[object, dict[object, Hunch]] = WeakKeyDictionary()


def hunch_of(db: object, what: Callable[..., object] | str | None) -> Hunch:
    """What is remembered for this function, or for the blocks of this label, on this database."""
    known = _by_database.get(db)
    if known is None:
        known = _by_database.setdefault(db, {})
    of = _identity(what)
    found = known.get(of)
    if found is None:
        if len(known) >= FUNCTIONS_MAX:
            known.clear()
        found = known.setdefault(of, Hunch())
    return found


def _identity(what: Callable[..., object] | str | None) -> object:
    """A function's code, which is the same for a lambda that is made anew with each call."""
    while isinstance(what, partial):
        what = what.func
    return getattr(what, "__code__", None) or (type(what) if callable(what) else what)
