"""Cycles: what can't have happened in any order, from the worst kind to the mildest.

    G0                  ww only: two transactions overwrote each other
    G1c                 and wr: each read what the other wrote
    G-single-item       and rw, once: one missed a write of the other, whose effects it has otherwise seen
    G-nonadjacent-item  rw more than once, but never twice in a row: no snapshots explain it
    long-fork           the shortest of these: two readers saw two writers in opposite orders
    G2-item             rw any way: no order explains it (write skew)

G-single, G-nonadjacent and G2 are the same where a scan missed a key that was not there yet (scans.py); that is seen
where the cycle is told, in explain.py.

and each of them with process or realtime edges in it, as `G0-process`, `G0-realtime`. Adya's names, as Elle has them.

Whether there is a cycle in which no two rw are neighbours is asked of a graph of twice the nodes: each once as reached
by rw, from where no rw leads on, and once as reached in another way. So it is with every rule of what may follow what:
a *walk* is a small automaton, and a closed walk a cycle of nodes and states.

    snapshots    rw only after something else       (Cerone and Gotsman, "Analysing Snapshot Isolation", PODC 2016)
    prefixes     rw only after wr or an order       (the same, for prefix consistency)

Within a knot (a strongly connected component) the shortest cycle of each kind is looked for, by breadth first searches
from one of its edges after the other, as long as the budget lasts; whether there is one is known beforehand, in linear
time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from mvcc_kv.stress.checker.components import components
from mvcc_kv.stress.checker.graph import ALONG, PROCESS, REALTIME, RW, WR, WW, Graph

__all__ = [
    "BROKEN_BY",
    "ORDER_LABELS",
    "Cycle",
    "Found",
    "Knot",
    "Step",
    "base_name",
    "in_order",
    "search",
    "walk_exists",
]

ORDER_LABELS = {"": 0, "session": PROCESS, "realtime": PROCESS | REALTIME}
_SUFFIXES = {"": "", "session": "-process", "realtime": "-realtime"}

_BUDGET_EDGES = 1_000_000
_ENOUGH = 2
"""The length of the shortest cycle that can be: who has found it needs no other."""

Walk: TypeAlias = Callable[[int, int], int]
"""The state after a state and a label, or -1 where the label may not follow."""


class Step(NamedTuple):
    """An edge of a cycle, between two transactions."""

    source: int
    label: int
    target: int


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle: each step begins where the one before ended, and the first where the last did."""

    name: str
    steps: tuple[Step, ...]


class Knot:
    """A strongly connected component, with its inner edges."""

    def __init__(self, graph: Graph, nodes: Sequence[int]) -> None:
        inside = set(nodes)
        self.nodes = nodes
        self.products: dict[tuple[int, Walk], list[list[int]]] = {}
        self.out: dict[int, list[tuple[int, int]]] = {
            node: [(target, label) for target, label in graph.edges(node) if target in inside] for node in nodes
        }

    def edges(self, label: int) -> Iterator[tuple[int, int]]:
        """The edges with that label."""
        for node in self.nodes:
            for target, its_label in self.out[node]:
                if its_label == label:
                    yield node, target


def _any(state: int, label: int) -> int:
    return 0


def _without_rw(state: int, label: int) -> int:
    return -1 if label == RW else 0


def _nonadjacent(state: int, label: int) -> int:
    """State 1: rw was last."""
    if label == ALONG:
        return state
    if label == RW:
        return -1 if state else 1
    return 0


def _prefixes(state: int, label: int) -> int:
    """State 1: rw may follow."""
    if label == ALONG:
        return state
    if label == RW:
        return 0 if state else -1
    return 0 if label == WW else 1


_RULES: Mapping[str, tuple[int, Walk]] = {
    "ww": (WW, _any),
    "ww-wr": (WW | WR, _any),
    "any": (WW | WR | RW, _any),
    "nonadjacent": (WW | WR | RW, _nonadjacent),
    "prefixes": (WW | WR | RW, _prefixes),
}
"""What a knot is asked for, beside the shortest cycles: labels and a walk, which may not close."""


BROKEN_BY = {
    "ww": "read-uncommitted",
    "ww-wr": "read-committed",
    "prefixes": "prefix",
    "single": "parallel-snapshot-isolation",
    "nonadjacent": "snapshot-isolation",
    "any": "serializable",
}
"""The weakest level that doesn't hold where a rule is broken."""


class _Kind(NamedTuple):
    """A kind of cycle: begun with an edge `first`, after which the state is `state`, and closed in one of `closing`."""

    labels: int
    first: int
    exists: Walk
    walk: Walk
    state: int
    closing: tuple[int, ...]
    implies: tuple[str, ...]


_KINDS = {
    "G0": _Kind(WW, WW, _any, _any, 0, (0,), ("G0", "G1c")),
    "G1c": _Kind(WW | WR, WR, _any, _any, 0, (0,), ("G1c",)),
    "G-single-item": _Kind(
        WW | WR | RW, RW, _nonadjacent, _without_rw, 0, (0,), ("G-single-item", "G-nonadjacent-item", "G2-item")
    ),
    "G-nonadjacent-item": _Kind(
        WW | WR | RW, RW, _nonadjacent, _nonadjacent, 1, (0,), ("G-nonadjacent-item", "G2-item")
    ),
    "G2-item": _Kind(WW | WR | RW, RW, _any, _any, 0, (0,), ("G2-item",)),
}


class Found(NamedTuple):
    """What a knot holds: cycles, and for each rule and order whether it is broken; None if the budget didn't last."""

    cycles: list[Cycle]
    broken: dict[tuple[str, str], bool | None]


def search(knot: Knot, orders: Sequence[str] = tuple(ORDER_LABELS)) -> Found:
    """The shortest cycles of the knot, of each kind that isn't implied by a worse one, and which rules are broken.

    `orders` are those that are to count, each by itself.
    """
    cycles: list[Cycle] = []
    redundant: set[tuple[str, str]] = set()
    broken: dict[tuple[str, str], bool | None] = {}
    for at, order in enumerate(orders):
        labels = ORDER_LABELS[order]
        for name, kind in _KINDS.items():
            if (name, order) in redundant:
                continue
            steps, is_certain = _shortest(knot, kind, kind.labels | labels)
            if name == "G-single-item":
                broken["single", order] = True if steps else (False if is_certain else None)
            if steps:
                cycles.append(Cycle(_name(steps), steps))
                redundant |= {(implied, later) for implied in kind.implies for later in orders[at:]}
        _judge(knot, order, labels, broken)
    return Found(cycles, broken)


def _judge(knot: Knot, order: str, labels: int, broken: dict[tuple[str, str], bool | None]) -> None:
    for rule, (allowed, walk) in _RULES.items():
        broken[rule, order] = _is_known(broken, rule, order) or walk_exists(knot, allowed | labels, walk)
    if broken["ww-wr", order]:
        broken["single", order] = True
    broken.setdefault(("single", order), True)


def _is_known(broken: Mapping[tuple[str, str], bool | None], rule: str, order: str) -> bool:
    """Whether the rule is broken without that order already."""
    return any(broken.get((rule, it)) for it in ORDER_LABELS if it != order)


def walk_exists(knot: Knot, labels: int, walk: Walk) -> bool:
    """Whether there is a closed walk along these labels."""
    return bool(_product(knot, labels, walk))


def _product(knot: Knot, labels: int, walk: Walk) -> list[list[int]]:
    """The components of nodes and states, as `node * 2 + state`."""
    known = knot.products.get((labels, walk))
    if known is None:
        known = knot.products[labels, walk] = _new_product(knot, labels, walk)
    return known


def _new_product(knot: Knot, labels: int, walk: Walk) -> list[list[int]]:
    def successors(node: int) -> Iterator[int]:
        state = node & 1
        for target, label in knot.out[node >> 1]:
            if not label or label & labels:
                after = walk(state, label)
                if after >= 0:
                    yield target * 2 + after

    states = (0,) if walk is _any else (0, 1)
    return components([node * 2 + state for node in knot.nodes for state in states], successors)


def _shortest(knot: Knot, kind: _Kind, labels: int) -> tuple[tuple[Step, ...], bool]:
    """The shortest cycle of the kind, as far as the budget lasts, and whether one would have been found."""
    best: tuple[Step, ...] = ()
    budget = _BUDGET_EDGES
    for source, target, inside in _candidates(knot, kind, labels):
        steps, used = _close(knot, kind, labels, source, target, inside, budget)
        budget -= used
        if steps and (not best or len(steps) < len(best)):
            best = steps
        if len(best) == _ENOUGH:
            return best, True
        if budget <= 0:
            return best, False
    return best, True


def _candidates(knot: Knot, kind: _Kind, labels: int) -> Iterator[tuple[int, int, set[int]]]:
    """Edges to begin with that may be on such a cycle, and the nodes that may."""
    after = 1 if kind.exists is _nonadjacent else 0
    for component in _product(knot, labels, kind.exists):
        places = set(component)
        nodes = {place >> 1 for place in component}
        for source in sorted(place >> 1 for place in component if not place & 1):
            for target, label in knot.out[source]:
                if label == kind.first and target * 2 + after in places:
                    yield source, target, nodes


def _close(
    knot: Knot, kind: _Kind, labels: int, source: int, target: int, inside: set[int], budget: int
) -> tuple[tuple[Step, ...], int]:
    """The shortest way from the target back to the source, with the edge between them before it; and what it cost."""
    came: dict[tuple[int, int], tuple[tuple[int, int], int] | None] = {(target, kind.state): None}
    waiting = deque([(target, kind.state)])
    used = 0
    while waiting and used < budget:
        place = waiting.popleft()
        node, state = place
        if node == source and state in kind.closing:
            return _steps(came, place, Step(source, kind.first, target)), used
        for following, label in knot.out[node]:
            used += 1
            if (label and not label & labels) or following not in inside:
                continue
            after = kind.walk(state, label)
            if after >= 0 and (following, after) not in came:
                came[following, after] = (place, label)
                if label:
                    waiting.append((following, after))
                else:
                    waiting.appendleft((following, after))
    return (), used


def _steps(
    came: Mapping[tuple[int, int], tuple[tuple[int, int], int] | None], place: tuple[int, int], first: Step
) -> tuple[Step, ...]:
    """The way back, with the beads taken off: a step is from transaction to transaction."""
    edges: list[Step] = []
    before = came[place]
    while before is not None:
        (node, _), label = before
        edges.append(Step(node, label, place[0]))
        place = before[0]
        before = came[place]
    steps = [first]
    for edge in reversed(edges):
        if edge.label == ALONG:
            steps[-1] = steps[-1]._replace(target=edge.target)
        else:
            steps.append(edge)
    return tuple(steps)


def in_order(cycle: Cycle, order: str) -> Cycle:
    """The cycle, called one of that order."""
    return Cycle(base_name(cycle.name) + _SUFFIXES[order], cycle.steps)


def base_name(name: str) -> str:
    """The name without the order."""
    return name.removesuffix("-process").removesuffix("-realtime")


def _name(steps: Sequence[Step]) -> str:
    labels = [step.label for step in steps]
    order = "realtime" if REALTIME in labels else "session" if PROCESS in labels else ""
    return _base_name(labels) + _SUFFIXES[order]


def _base_name(labels: Sequence[int]) -> str:
    rw = labels.count(RW)
    if rw == 0:
        return "G1c" if WR in labels else "G0"
    if rw == 1:
        return "G-single-item"
    is_adjacent = any(
        label == following == RW for label, following in zip(labels, [*labels[1:], labels[0]], strict=True)
    )
    if is_adjacent:
        return "G2-item"
    return "long-fork" if list(labels) in ([WR, RW] * 2, [RW, WR] * 2) else "G-nonadjacent-item"
