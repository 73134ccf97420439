"""Orientation: parallel snapshot isolation, which wants each two writers of a key to be one after the other.

Who is later has seen the earlier, and all that it had seen; no read may have missed what its transaction has seen. So
an orientation of one pair forces others, and of the pairs left one is tried both ways (as for causal consistency in
forced.py, but here what is forced is seen in turn). With nothing left to try, and nothing going in a circle, it holds.
"""

from __future__ import annotations

from mvcc_kv.stress.checker.forced import bits, sorted_topologically
from mvcc_kv.stress.checker.observations import NOBODY
from mvcc_kv.stress.checker.register_columns import Registers

__all__ = ["can_be_oriented", "goes_in_a_circle"]

BUDGET_TRIES = 3000


def can_be_oriented(registers: Registers, order: str) -> bool | None:
    """Whether the level holds where this order counts; None if finding out takes too long."""
    instants = len(registers.instants()) if order == "realtime" else 0
    edges = frozenset([*registers.order_edges(order), *registers.read_from()])
    waiting = [edges]
    for _ in range(BUDGET_TRIES):
        if not waiting:
            return False
        settled = _settled(registers, waiting.pop(), len(registers) + instants)
        if settled is None:
            continue
        forced, before = settled
        pair = _undecided(registers, before)
        if pair is None:
            return True
        one, other = pair
        waiting += [forced | {(other, one)}, forced | {(one, other)}]
    return None


def goes_in_a_circle(registers: Registers, order: str) -> bool:
    """Whether what is forced, and what that forces if it was seen, has no order: dbcop's question for causality."""
    instants = len(registers.instants()) if order == "realtime" else 0
    edges = frozenset([*registers.order_edges(order), *registers.read_from()])
    return _settled(registers, edges, len(registers) + instants) is None


_Edges = frozenset[tuple[int, int]]


def _settled(registers: Registers, edges: _Edges, nodes: int) -> tuple[_Edges, list[int]] | None:
    """The edges with all that they force, and for each node the transactions before it; None if they go in a circle."""
    while True:
        in_order = sorted_topologically(nodes, edges)
        if in_order is None:
            return None
        before = _before(edges, in_order, len(registers))
        forced = _forced(registers, before)
        if any(later == NOBODY for _, later in forced):
            return None
        if forced <= edges:
            return edges, before
        edges |= forced


def _before(edges: _Edges, in_order: list[int], transactions: int) -> list[int]:
    out: dict[int, list[int]] = {}
    for source, target in edges:
        out.setdefault(source, []).append(target)
    before = [0] * len(in_order)
    for node in in_order:
        with_itself = before[node] | (1 << node if node < transactions else 0)
        for target in out.get(node, ()):
            before[target] |= with_itself
    return before


def _forced(registers: Registers, before: list[int]) -> _Edges:
    return frozenset(
        (other, registers.writer(element))
        for reader, reads in enumerate(registers.reads)
        for key, element in reads
        for other in bits(before[reader] & registers.writers[key])
        if other not in (registers.writer(element), reader)
    )


def _undecided(registers: Registers, before: list[int]) -> tuple[int, int] | None:
    for writers in registers.writers.values():
        for one in bits(writers):
            for other in bits(writers & ~before[one] & -(2 << one)):
                if not before[other] >> one & 1:
                    return one, other
    return None
