"""The dependency graph: who must come before whom, and why.

    ww  T1 wrote a version, T2 the next one                 T1 -> T2
    wr  T1 wrote a version, T2 read it                      T1 -> T2
    rw  T1 read a version, T2 wrote the next one            T1 -> T2  (T1 saw nothing of T2)
    process   T1 and then T2, by the same client            T1 -> T2
    realtime  T1 was answered before T2 was asked           T1 -> T2

Real time would have an edge for nearly every pair. Between the transactions stand *instants* in its place, as beads on
a string: one for each moment at which what was completed meets what is invoked next.

    T1 --realtime--> instant --> instant --> instant --> T2       T1 was done at the first, T2 began after the last

Who gets onto the string has taken a realtime edge, and going along it costs nothing. A key's *end* is such a bead too:
several transactions appended what nobody ever read, in no known order, but all after what was read.

    last writer --ww--> end --> each of them         who read the last --rw--> end

So there are a few edges a transaction, however long the history. A node is a number: a transaction's, or past those a
bead's. The edges of a node stand in a row, as `target * 64 + label`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import accumulate

__all__ = ["ALL", "ALONG", "LABELS", "PROCESS", "REALTIME", "RW", "SHIFT", "WR", "WW", "Edges", "Graph"]

ALONG, WW, WR, RW, PROCESS, REALTIME = 0, 1, 2, 4, 8, 16
ALL = WW | WR | RW | PROCESS | REALTIME
LABELS = {WW: "ww", WR: "wr", RW: "rw", PROCESS: "process", REALTIME: "realtime"}
SHIFT = 6
_MASK = (1 << SHIFT) - 1


class Edges:
    """Edges as they are found."""

    def __init__(self, transactions: int) -> None:
        self.transactions = transactions
        self.nodes = transactions
        self.sources = array("q")
        self.packed = array("q")

    def add(self, source: int, target: int, label: int) -> None:
        """An edge."""
        self.sources.append(source)
        self.packed.append(target << SHIFT | label)

    def bead(self) -> int:
        """A new node that is no transaction."""
        self.nodes += 1
        return self.nodes - 1

    def graph(self) -> Graph:
        """The graph of them all."""
        degrees = [0] * (self.nodes + 1)
        for source in self.sources:
            degrees[source + 1] += 1
        start = array("q", accumulate(degrees))
        place = start[:]
        packed = array("q", bytes(8 * len(self.packed)))
        for source, edge in zip(self.sources, self.packed, strict=True):
            at = place[source]
            packed[at] = edge
            place[source] = at + 1
        return Graph(self.transactions, start, packed)


class Graph:
    """A graph that doesn't change any more."""

    __slots__ = ("packed", "start", "transactions")

    def __init__(self, transactions: int, start: array[int], packed: array[int]) -> None:
        self.transactions = transactions
        self.start = start
        self.packed = packed

    def __len__(self) -> int:
        return len(self.start) - 1

    def out(self, node: int) -> array[int]:
        """The node's edges, packed."""
        return self.packed[self.start[node] : self.start[node + 1]]

    def edges(self, node: int) -> Iterator[tuple[int, int]]:
        """The targets of the node's edges, and their labels."""
        return ((edge >> SHIFT, edge & _MASK) for edge in self.out(node))
