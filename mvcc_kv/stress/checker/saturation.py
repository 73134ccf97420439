"""Saturation: steps that must come before others, whichever order is found in the end.

Of a version v of x, read by R, and any other step W that writes x:

    W must come before R        then W comes before whoever wrote v       (or R had read W's)
    v was there before W        then R comes before W                     (or R had read W's)

and where a transaction locks x from its reads on until it writes:

    its reads come before W     then its write comes before W's transaction reads, or before W if that locks nothing

What so follows may have more follow, until nothing does or it goes in a circle. This decides most histories that no
order explains, and leaves a search (placing.py) little to try in the others. Sets of steps are the bits of an integer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from mvcc_kv.stress.checker.forced import bits, closed, sorted_topologically
from mvcc_kv.stress.checker.placing import Step

__all__ = ["saturate"]


def saturate(steps: Sequence[Step], initial: Sequence[int]) -> bool:
    """Add to each step who must wait for it; False if that goes in a circle, and there is no order.

    Cost: a few times the square of the number of steps, in bits.
    """
    rules = _Rules(steps, initial)
    while True:
        edges = [(at, other) for at, step in enumerate(steps) for other in step.then]
        in_order = sorted_topologically(len(steps), edges)
        if in_order is None:
            return False
        before = closed(len(steps), len(steps), edges, in_order)
        found = {(one, other) for one, other in rules.follow(before) if not before[other] >> one & 1}
        if any(one == other for one, other in found):
            return False
        if not found:
            return True
        for one, other in found:
            steps[one].then.append(other)


class _Rules:
    def __init__(self, steps: Sequence[Step], initial: Sequence[int]) -> None:
        self._steps = steps
        self._first = set(initial)
        self._writers: dict[int, int] = defaultdict(int)
        self._writer_of: dict[int, int] = {}
        self._key_of = {version: key for key, version in enumerate(initial)}
        self._locking: dict[int, int] = {}  # by the step that frees
        for at, step in enumerate(steps):
            for key, version in step.writes:
                self._writers[key] |= 1 << at
                self._writer_of[version] = at
                self._key_of[version] = key
            if step.locks:
                self._locking[at + 1] = at

    def follow(self, before: list[int]) -> Iterator[tuple[int, int]]:
        """What comes before what, where `before` are the sets of steps before each. A pair of one step is a circle."""
        for reader, step in enumerate(self._steps):
            for version in step.reads:
                yield from self._of_a_read(before, reader, version)
        for freeing, locking in self._locking.items():
            yield from self._of_a_lock(before, locking, freeing)

    def _of_a_read(self, before: list[int], reader: int, version: int) -> Iterator[tuple[int, int]]:
        others = self._writers[self._key_of[version]] & ~(1 << reader)
        if version in self._first:
            yield from ((reader, other) for other in bits(others))
            return
        writer = self._writer_of[version]
        for other in bits(others & ~(1 << writer)):
            if before[reader] >> other & 1:
                yield other, writer
            if before[other] >> writer & 1:
                yield reader, other

    def _of_a_lock(self, before: list[int], locking: int, freeing: int) -> Iterator[tuple[int, int]]:
        for key in self._steps[locking].locks:
            for other in bits(self._writers[key] & ~(1 << freeing)):
                begun = self._locking.get(other, other)
                if before[other] >> locking & 1:
                    yield freeing, begun
                if before[freeing] >> begun & 1:
                    yield other, locking
