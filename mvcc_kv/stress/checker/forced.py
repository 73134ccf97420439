"""What is forced: which writer must come before which, whatever the order.

    T1 wrote x, T3 read x from T2, and T3 must have seen T1          then T1 came before T2

Sets of transactions are the bits of an integer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from mvcc_kv.stress.checker.observations import NOBODY
from mvcc_kv.stress.checker.register_columns import Registers

__all__ = ["Forced", "bits", "sorted_topologically"]


class Forced:
    """What is forced where this order counts."""

    def __init__(self, registers: Registers, order: str) -> None:
        self._registers = registers
        self._order = order
        self._nodes = len(registers) + (len(registers.instants()) if order == "realtime" else 0)
        self._edges = [*registers.order_edges(order), *registers.read_from()]

    def holds(self, base: str) -> bool:
        """Whether the level holds: one of read-committed, monotonic-atomic-view, read-atomic and causal."""
        if base == "read-committed":
            return self._sorted is not None
        forced = set(self.edges(base))
        if any(later == NOBODY for _, later in forced) or self._sorted is None:
            return False
        return sorted_topologically(self._nodes, [*self._edges, *forced]) is not None

    def edges(self, base: str) -> Iterator[tuple[int, int]]:
        """Pairs of writers of one key, of which the first must come first. NOBODY is the initial state: none may."""
        registers = self._registers
        for reader, reads in enumerate(registers.reads):
            seen = 0
            for key, element in reads:
                source = registers.writer(element)
                must_see = seen if base == "monotonic-atomic-view" else self._seen(base, reader)
                others = must_see & registers.writers[key]
                for other in bits(others):
                    if other not in (source, reader):
                        yield other, source
                if source not in (NOBODY, reader):
                    seen |= 1 << source

    def _seen(self, base: str, reader: int) -> int:
        return self._before[reader] if base == "causal" else self._directly_before[reader]

    @cached_property
    def _sorted(self) -> list[int] | None:
        return sorted_topologically(self._nodes, self._edges)

    @cached_property
    def _before(self) -> list[int]:
        """For each node the transactions from which a way leads to it."""
        return _closed(self._nodes, len(self._registers), self._edges, self._sorted or [])

    @cached_property
    def _directly_before(self) -> list[int]:
        """For each transaction whom it read from, and who is before it in the order that counts."""
        registers, order_edges = self._registers, self._registers.order_edges(self._order)
        in_order = sorted_topologically(self._nodes, order_edges) or []
        before = _closed(self._nodes, len(registers), order_edges, in_order)
        for writer, reader in registers.read_from():
            before[reader] |= 1 << writer
        return before


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


def _closed(nodes: int, transactions: int, edges: Iterable[tuple[int, int]], in_order: list[int]) -> list[int]:
    out: list[list[int]] = [[] for _ in range(nodes)]
    for source, target in edges:
        out[source].append(target)
    before = [0] * nodes
    for node in in_order:
        with_itself = before[node] | (1 << node if node < transactions else 0)
        for target in out[node]:
            before[target] |= with_itself
    return before
