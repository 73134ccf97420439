"""What is forced: which writer must come before which, whatever the order.

    T1 wrote x, T3 read x from T2, and T3 must have seen T1          then T1 came before T2

Of all writers of x that T3 must have seen, in an order that counts, the last ones stand for those before them: of its
session the last, and of real time a *bead* on the key's string of completions, so that this is near-linear.

    T1 --> bead --> bead --> bead --> T2       the third writer of x ended before T3 began, which read x from T2
           T4 ---^  T5 ---^

Only what causal consistency wants seen has no such short form: there sets of transactions are the bits of an integer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import pairwise

from mvcc_kv.stress.checker.observations import NOBODY
from mvcc_kv.stress.checker.register_columns import Registers

__all__ = ["Forced", "bits", "closed", "sorted_topologically"]

_Edge = tuple[int, int]


class Forced:
    """What is forced where this order counts."""

    def __init__(self, registers: Registers, order: str) -> None:
        self._registers = registers
        self._order = order
        self._nodes = len(registers) + (len(registers.instants()) if order == "realtime" else 0)
        self._edges = [*registers.order_edges(order), *registers.read_from()]

    def holds(self, base: str) -> bool:
        """Whether the level holds: one of read-committed, monotonic-atomic-view, read-atomic and causal."""
        if self._sorted is None:
            return False
        forced = list(self._forced(base))
        if any(later == NOBODY for _, later in forced):  # nobody comes before the initial state
            return False
        nodes = 1 + max([self._nodes - 1, *(node for edge in forced for node in edge)])
        return sorted_topologically(nodes, [*self._edges, *forced]) is not None

    def _forced(self, base: str) -> Iterator[_Edge]:
        """Pairs of writers of one key, of which the first must come first."""
        match base:
            case "monotonic-atomic-view":
                yield from self._of_those_read_from(is_in_turn=True)
            case "read-atomic":
                yield from self._of_those_read_from(is_in_turn=False)
                if self._order:
                    yield from self._of_the_session()
                if self._order == "realtime":
                    yield from self._of_real_time()
            case "causal":
                yield from self._of_all_causes()

    def _of_those_read_from(self, *, is_in_turn: bool) -> Iterator[_Edge]:
        """Who reads from a transaction must see all of it; `is_in_turn`: only from then on."""
        registers = self._registers
        for reader, reads in enumerate(registers.reads):
            sources = [registers.writer(element) for _, element in reads]
            for at, (key, _) in enumerate(reads):
                for other in sources[:at] if is_in_turn else sources:
                    if other not in (NOBODY, reader, sources[at]) and key in registers.writes[other]:
                        yield other, sources[at]

    def _of_the_session(self) -> Iterator[_Edge]:
        registers, observations = self._registers, self._registers.observations
        newest: dict[tuple[int, int], int] = {}
        for it in sorted(range(len(registers)), key=registers.begun.__getitem__):
            process = observations.processes[registers.members[it]]
            for key, element in registers.reads[it]:
                other, source = newest.get((process, key)), registers.writer(element)
                if other is not None and other != source:
                    yield other, source
            if observations.outcomes[registers.members[it]] == "ok":
                newest |= {(process, key): it for key in registers.writes[it]}

    def _of_real_time(self) -> Iterator[_Edge]:
        registers = self._registers
        bead = self._nodes
        for key, reads in _reads_by_key(registers).items():
            writers = sorted(registers.writers_of(key), key=registers.ended.__getitem__)
            ended = [registers.ended[it] for it in writers]
            place = {writer: at for at, writer in enumerate(writers)}
            yield from ((writer, at) for at, writer in enumerate(writers, bead))
            yield from pairwise(range(bead, bead + len(writers)))
            for reader, source in reads:
                done = bisect_left(ended, registers.begun[reader])
                yield from self._later_than(source, writers, min(place.get(source, done), done), done, bead)
            bead += len(writers)

    def _later_than(self, source: int, writers: list[int], at: int, done: int, bead: int) -> Iterator[_Edge]:
        """The first `done` writers come before the source, which is `at` that place among them if it is one."""
        if at > 0:
            yield bead + at - 1, source
        for other in writers[at + 1 : done]:
            yield other, source
            if source == NOBODY or self._registers.begun[other] > self._registers.ended[source]:
                return  # this goes in a circle already; the others overlap, and can't be many

    def _of_all_causes(self) -> Iterator[_Edge]:
        registers = self._registers
        for reader, reads in enumerate(registers.reads):
            for key, element in reads:
                source = registers.writer(element)
                for other in bits(self._before[reader] & registers.writers[key]):
                    if other not in (source, reader):
                        yield other, source

    @cached_property
    def _sorted(self) -> list[int] | None:
        return sorted_topologically(self._nodes, self._edges)

    @cached_property
    def _before(self) -> list[int]:
        """For each node the transactions from which a way leads to it."""
        return closed(self._nodes, len(self._registers), self._edges, self._sorted or [])


def _reads_by_key(registers: Registers) -> dict[int, list[_Edge]]:
    """At each key who read there, and from whom."""
    found: dict[int, list[_Edge]] = {}
    for reader, reads in enumerate(registers.reads):
        for key, element in reads:
            found.setdefault(key, []).append((reader, registers.writer(element)))
    return found


def bits(them: int) -> Iterator[int]:
    """The numbers of the bits that are set.

    >>> list(bits(0b1010))
    [1, 3]
    """
    while them:
        lowest = them & -them
        yield lowest.bit_length() - 1
        them ^= lowest


def sorted_topologically(nodes: int, edges: Iterable[tuple[int, int]]) -> list[int] | None:
    """The nodes in an order in which every edge leads on; None if there is a cycle."""
    out: list[list[int]] = [[] for _ in range(nodes)]
    waiting_for = [0] * nodes
    for source, target in edges:
        out[source].append(target)
        waiting_for[target] += 1
    found = [node for node in range(nodes) if not waiting_for[node]]
    for node in found:
        for target in out[node]:
            waiting_for[target] -= 1
            if not waiting_for[target]:
                found.append(target)
    return found if len(found) == nodes else None


def closed(nodes: int, transactions: int, edges: Iterable[tuple[int, int]], in_order: list[int]) -> list[int]:
    """For each node the transactions (the nodes of lower number) from which a way leads to it."""
    out: list[list[int]] = [[] for _ in range(nodes)]
    for source, target in edges:
        out[source].append(target)
    before = [0] * nodes
    for node in in_order:
        with_itself = before[node] | (1 << node if node < transactions else 0)
        for target in out[node]:
            before[target] |= with_itself
    return before
