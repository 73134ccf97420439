"""Rounds: what many plain connections have sent is executed in one go, in the quick lane.

    turn     ready: A B C D E ...
    round      receive from all   A "GET a"   B "SET b 1"   C "HGETALL h"   D "GET d" (inside a transaction)
               the lane           A $1 x      B +OK         C -             not plain: its session
               send to all        A, and B if its commit is on disk; else that reply is held
                                                            C: its session goes on where the lane stopped

A connection is *plain* if its next command is nothing but a command: no state of its own, or of the server, changes
what it does. Nearly all are, nearly always. See `quick.py` for what the lane executes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

from mvcc_kv.server.connection import Connection
from mvcc_kv.server.redis import quick
from mvcc_kv.server.redis.transactions import EXEC_LABEL
from mvcc_kv.server.served import Services

__all__ = ["Round", "Rounds", "may_begin"]

_OUT_BYTES_MAX = 256 * 1024  # of one connection; where it is more, its session goes on


_LENGTHS = frozenset((b"$3", b"$4"))
_NAMES = tuple(b"$5\r\n" + letter for letter in (b"W", b"w", b"M", b"m"))  # WATCH, MULTI; not START


def may_begin(data: bytes) -> bool:
    """Whether the lane may know the first command, by a glance: by how long its name is.

    >>> may_begin(b"*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\na\\r\\n"), may_begin(b"*1\\r\\n$5\\r\\nSTART\\r\\n")
    (True, False)
    """
    return data[4:6] in _LENGTHS or data.startswith(_NAMES, 4)


class Round(NamedTuple):
    """What was done, in `took_s`.

    The lists have places: of who has replies that are held, and of who has sent something that its session executes.
    """

    outcome: quick.Outcome
    held: list[int]
    unfinished: list[int]
    took_s: float

    @property
    def replies(self) -> list[bytes]:
        """What each may be told at once."""
        return self.outcome.replies


class Rounds:
    """Executes what plain connections have sent."""

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._house = services.redis
        self._clock = services.clock

    @property
    def are_held(self) -> bool:
        """Whether there may be any now: not while clients are paused, or every command is to be timed."""
        return self._house.pause is None and self._house.wants_no_times

    def run(self, connections: Sequence[Connection], received: Sequence[bytes]) -> Round:
        """Execute what each has sent; the connection has what remains to be done."""
        began_s = perf_counter()
        now = self._clock()
        bursts = [it.session.burst(data, now) for it, data in zip(connections, received, strict=True)]
        outcome = self._store.run_lane(partial(quick.run, bursts, _OUT_BYTES_MAX), EXEC_LABEL)
        held: list[int] = []
        unfinished: list[int] = []
        for at, used_bytes, free_bytes, commit_ts in outcome.rest:
            if commit_ts:
                said = outcome.replies[at]
                connections[at].hold(said[free_bytes:], commit_ts)
                outcome.replies[at] = said[:free_bytes]
                held.append(at)
            if used_bytes < len(received[at]):
                connections[at].go_on(received[at][used_bytes:])
                unfinished.append(at)
        return Round(outcome, held, unfinished, perf_counter() - began_s)

    def count(self, done: Round) -> None:
        """Count what was done; when the replies are gone, since nobody waits for this."""
        self._house.count_lane(done.outcome, done.took_s)
