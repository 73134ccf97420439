"""Isolation levels: which there are, what they are called, and which holds where another does.

                          serializable
                         /            \\
           snapshot-isolation      repeatable-read
              /          \\             |
    parallel-snapshot-    prefix        |
       isolation         /              |
              \\         /               |
               causal                   |
                 |                      |
            read-atomic                 |
                  \\                     |
                   monotonic-atomic-view
                            |
                      read-committed
                            |
                     read-uncommitted

Each comes in three strengths. Alone, it only speaks of what the transactions did, and a client may be shown a state
older than its own last transaction. A *strong session* level keeps the order of each client too, and a *strong*
level that of real time: what was answered before another was asked is before it. strong-serializable is what
everybody calls strict-serializable.

Definitions: read-uncommitted, read-committed and repeatable-read from Adya, "Weak Consistency" (1999);
monotonic-atomic-view from Bailis et al., "Highly Available Transactions" (VLDB 2013); the others from Cerone, Bernardi
and Gotsman, "A Framework for Transactional Consistency Models with Atomic Visibility" (CONCUR 2015).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from mvcc_kv.errors import BadRequestError

__all__ = ["ALL_LEVELS", "BASES", "ORDERS", "Dialect", "Level", "level_of", "stronger", "strongest", "weaker"]

Dialect: TypeAlias = Literal["elle", "dbcop"]
"""Whose words are meant. To dbcop the order of the sessions always counts, real time never, and what must have come
before is taken to have been seen: its causal, and with it prefix, is somewhat stronger than in the papers."""

BASES = (
    "read-uncommitted",
    "read-committed",
    "monotonic-atomic-view",
    "read-atomic",
    "causal",
    "prefix",
    "parallel-snapshot-isolation",
    "snapshot-isolation",
    "repeatable-read",
    "serializable",
)
ORDERS = ("", "session", "realtime")

_NEXT_WEAKER = {
    "read-uncommitted": (),
    "read-committed": ("read-uncommitted",),
    "monotonic-atomic-view": ("read-committed",),
    "read-atomic": ("monotonic-atomic-view",),
    "causal": ("read-atomic",),
    "prefix": ("causal",),
    "parallel-snapshot-isolation": ("causal",),
    "snapshot-isolation": ("prefix", "parallel-snapshot-isolation"),
    "repeatable-read": ("monotonic-atomic-view",),
    "serializable": ("snapshot-isolation", "repeatable-read"),
}
_ALIASES = {
    "snapshot": "snapshot-isolation",
    "si": "snapshot-isolation",
    "ser": "serializable",
    "rc": "read-committed",
    "ru": "read-uncommitted",
    "ra": "read-atomic",
    "cc": "causal",
    "pc": "prefix",
    "psi": "parallel-snapshot-isolation",
    "rr": "repeatable-read",
    "mav": "monotonic-atomic-view",
    "strict": "strict-serializable",
    "strong-serializable": "strict-serializable",
}


class Level(NamedTuple):
    """A level: what it asks of the data, and which order besides."""

    base: str
    order: str = ""

    @property
    def name(self) -> str:
        """What it is called.

        >>> Level("serializable", "realtime").name
        'strict-serializable'
        """
        if self.order == "realtime":
            return "strict-serializable" if self.base == "serializable" else f"strong-{self.base}"
        return f"strong-session-{self.base}" if self.order else self.base


ALL_LEVELS = tuple(Level(base, order) for base in BASES for order in ORDERS)
_LEVELS = {level.name: level for level in ALL_LEVELS}


def level_of(name: str) -> Level:
    """The level with that name, or its short one. Raises `BadRequestError` for any other.

    >>> level_of("snapshot")
    Level(base='snapshot-isolation', order='')
    """
    known = _LEVELS.get(_ALIASES.get(name.lower(), name.lower()))
    if known is None:
        raise BadRequestError(f"there is no level {name!r}; levels are {', '.join(_LEVELS)}")
    return known


def weaker(level: Level) -> frozenset[Level]:
    """The level, and all that hold where it does."""
    bases = {level.base}
    waiting = [level.base]
    while waiting:
        found = set(_NEXT_WEAKER[waiting.pop()]) - bases
        bases |= found
        waiting += found
    orders = ORDERS[: ORDERS.index(level.order) + 1]
    return frozenset(Level(base, order) for base in bases for order in orders)


_WEAKER = {level: weaker(level) for level in _LEVELS.values()}
_STRONGER = {level: frozenset(it for it in _WEAKER if level in _WEAKER[it]) for level in _WEAKER}


def stronger(level: Level) -> frozenset[Level]:
    """The level, and all that don't hold where it doesn't."""
    return _STRONGER[level]


def strongest(levels: frozenset[Level]) -> list[Level]:
    """Those of the levels that no other of them implies."""
    return [it for it in _LEVELS.values() if it in levels and not (_STRONGER[it] - {it}) & levels]
