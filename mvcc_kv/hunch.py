r"""What the runs of a function remember of each other: the key that they keep losing.

A retry asks for its turn on the key that it lost (`TransactionOptions.turn`). Where a key is hot, the next run would
lose its first attempt too, so it asks at once. But turns cost: begun one after the other, transactions don't overlap,
and each waits for the one before it to be told. Threads that share an interpreter's lock lose few attempts, and count
more than twice as fast without. So only losses justify it, and they have to do so again and again:

    heat 48 |           ____________              a first attempt that lost the key           +16
            |          /            |             one that committed without a turn           - 1
         32 |---------/-------------|---/-----    one whose turn nobody else was after        - 4
            |        /              |__/          one that didn't write the key at all        -16
         16 |    /\_/                             at 32 and above first attempts ask for their turn,
          0 |___/     |<-- stay --->|trial        for so many turns; then it is tried without

The first loss ends the trial, and the next stay is twice as long. Without one, some thirty commits end the hunch.

While a retry is under way, others ask as well, whatever the heat: who commits faster than the retry can read would beat
it for ever, and never learn of it.

The loss of another key cools it, and at nought that key takes over (the idea is that of Boyer and Moore's majority
vote, 1981): a function that loses now this key and now that is better off without a guess.

Threads may share it. They can lose each other's changes of the heat, which harms nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary

__all__ = ["Hunch", "hunch_of"]

LOSS = 16
HOT = 32
HEAT_MAX = 48
NEEDLESS = 4
STAY_MIN = 32
STAY_MAX = 4096
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

    __slots__ = ("_heat", "_key", "_left", "_retrying", "_stay")

    def __init__(self) -> None:
        self._key: bytes | None = None
        self._heat = 0
        self._stay = STAY_MIN  # how many turns are taken before it is tried without
        self._left = 0
        self._retrying: set[object] = set()

    @property
    def turn(self) -> bytes | None:
        """The key whose turn a first attempt should ask for; None if it should just begin."""
        return self._key if self._heat >= HOT or (self._retrying and self._heat) else None

    def lost(self, key: bytes) -> None:
        """A first attempt lost this key."""
        if key == self._key:
            self._warm()
        elif self._heat:
            self._cool(LOSS)
        else:
            self._key, self._heat, self._stay = key, LOSS, STAY_MIN

    def won(self) -> None:
        """A first attempt committed without a turn."""
        if self._heat and not self._retrying:
            self._cool(1)

    def took_turn(self, *, wrote_key: bool, is_contended: bool) -> None:
        """A first attempt had asked for its turn, and committed."""
        if not wrote_key:
            self._cool(LOSS)
        elif not is_contended and not self._retrying:
            self._cool(NEEDLESS)
        elif self._heat >= HOT:
            self._left -= 1
            if self._left <= 0:
                self._heat = HOT - 1

    def retries(self, run: object, key: bytes) -> None:
        """This run, which lost the key, is about to try again."""
        if key == self._key:
            self._retrying.add(run)

    def is_over(self, run: object) -> None:
        """The run tries no more. Any time, any often."""
        self._retrying.discard(run)

    def _warm(self) -> None:
        was_hot = self._heat >= HOT
        self._heat = min(self._heat + LOSS, HEAT_MAX)
        if not was_hot and self._heat >= HOT:
            self._left, self._stay = self._stay, min(2 * self._stay, STAY_MAX)

    def _cool(self, degrees: int) -> None:
        self._heat = max(self._heat - degrees, 0)
        if not self._heat:
            self._stay = STAY_MIN


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
