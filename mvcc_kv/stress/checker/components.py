"""Strongly connected components: where the cycles are.

In a correct history there are none, and most of a broken one is as good. So first what can't be in a cycle is peeled
off: a node that nothing leads to, and what is left without it, and so on. Only of the rest are the components asked
for, by Tarjan's algorithm (1972), with a stack of our own in place of recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from mvcc_kv.stress.checker.graph import SHIFT, Graph

__all__ = ["Successors", "components", "knots"]

Successors: TypeAlias = Callable[[int], Iterable[int]]


def knots(graph: Graph) -> list[list[int]]:
    """The components of more than one node, smallest first."""
    left = _unpeeled(graph)
    if not left:
        return []
    inside = set(left)
    return components(left, lambda node: [it >> SHIFT for it in graph.out(node) if it >> SHIFT in inside])


def _unpeeled(graph: Graph) -> list[int]:
    """The nodes that some cycle leads to."""
    start, packed, count = graph.start, graph.packed, len(graph)
    waiting_for = [0] * count
    for edge in packed:
        waiting_for[edge >> SHIFT] += 1
    free = [node for node in range(count) if not waiting_for[node]]
    while free:
        node = free.pop()
        for edge in packed[start[node] : start[node + 1]]:
            target = edge >> SHIFT
            waiting_for[target] -= 1
            if not waiting_for[target]:
                free.append(target)
    return [node for node in range(count) if waiting_for[node]]


def components(nodes: Iterable[int], successors: Successors) -> list[list[int]]:
    """The strongly connected components of more than one node among these, smallest first."""
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[list[int]] = []
    for root in nodes:
        if root in number:
            continue
        number[root] = low[root] = len(number)
        stack.append(root)
        on_stack.add(root)
        path = [(root, iter(successors(root)))]
        while path:
            node, following = path[-1]
            for target in following:
                if target not in number:
                    number[target] = low[target] = len(number)
                    stack.append(target)
                    on_stack.add(target)
                    path.append((target, iter(successors(target))))
                    break
                if target in on_stack:
                    low[node] = min(low[node], number[target])
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == number[node]:
                    component = _popped(stack, node)
                    on_stack.difference_update(component)
                    if len(component) > 1:
                        found.append(component)
    return sorted(found, key=len)


def _popped(stack: list[int], node: int) -> list[int]:
    """What lies on the stack from the node on, taken off it."""
    component = [stack.pop()]
    while component[-1] != node:
        component.append(stack.pop())
    return component
