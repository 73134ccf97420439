"""The register view of a history: who read from whom, who wrote where, and what is before what.

The transactions that count are numbered anew, in the order of their completions. Between those that ended and those
that begin later stand instants, as in graph.py, numbered past the transactions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from mvcc_kv.stress.checker.dependencies import process_pairs
from mvcc_kv.stress.checker.observations import NOBODY, Observations

__all__ = ["Registers"]


class Registers:
    """The transactions that count, in the order of their completions, with what each read and wrote, and from whom."""

    def __init__(self, observations: Observations, counts: bytearray, only: frozenset[int] | None = None) -> None:
        self.members = [it for it in range(len(observations)) if counts[it] and (only is None or it in only)]
        self._counts = counts
        self.observations = observations
        self._writers_of: dict[int, list[int]] | None = None
        self.reads: list[list[tuple[int, int]]] = []  # key and version, as they came
        self.writes: list[dict[int, int]] = []
        self.writer_of: dict[int, int] = {}
        self.writers: dict[int, int] = defaultdict(int)  # by key
        for at, transaction in enumerate(self.members):
            reads: list[tuple[int, int]] = []
            written: dict[int, int] = {}
            for is_write, element in observations.micros_of(transaction):
                key = observations.element_keys[element]
                if is_write:
                    written[key] = element
                elif key not in written:
                    reads.append((key, element))
            self.reads.append(reads)
            self.writes.append(written)
            for key, element in written.items():
                self.writers[key] |= 1 << at
                self.writer_of[element] = at
        self.begun = [observations.invoked_at[it] for it in self.members]
        self.ended = [observations.completed_at[it] for it in self.members]

    def only(self, members: Iterable[int]) -> Registers:
        """The same with these transactions only; what they read of others doesn't count."""
        fewer = Registers(self.observations, self._counts, frozenset(members))
        known = fewer.writer_of
        fewer.reads = [
            [(key, it) for key, it in reads if it in known or self.observations.is_initial(it)] for reads in fewer.reads
        ]
        return fewer

    def __len__(self) -> int:
        return len(self.members)

    def writer(self, element: int) -> int:
        """Who wrote it; NOBODY if it was there before all."""
        return self.writer_of.get(element, NOBODY)

    def writers_of(self, key: int) -> list[int]:
        """Who wrote at the key."""
        if self._writers_of is None:
            self._writers_of = defaultdict(list)
            for at, written in enumerate(self.writes):
                for its_key in written:
                    self._writers_of[its_key].append(at)
        return self._writers_of[key]

    def read_from(self) -> Iterator[tuple[int, int]]:
        """Each writer with who read from it."""
        for reader, reads in enumerate(self.reads):
            for _, element in reads:
                writer = self.writer(element)
                if writer not in (NOBODY, reader):
                    yield writer, reader

    def order_edges(self, order: str) -> list[tuple[int, int]]:
        """What is before what in that order; instants are numbered from `len(self)` on."""
        if not order:
            return []
        at = {transaction: at for at, transaction in enumerate(self.members)}
        edges = [(at[one], at[other]) for one, other in process_pairs(self.observations, self.members)]
        if order == "realtime":
            instants = self.instants()
            for instant, (ended, begun) in enumerate(instants, len(self)):
                edges += [(it, instant) for it in ended]
                edges += [(instant, it) for it in begun]
            edges += pairwise(range(len(self), len(self) + len(instants)))
        return edges

    def instants(self) -> list[tuple[list[int], list[int]]]:
        """For each instant, who ended since the one before it, and who began before the next."""
        begun = sorted(range(len(self)), key=self.begun.__getitem__)
        ended = sorted(range(len(self)), key=self.ended.__getitem__)
        found: list[tuple[list[int], list[int]]] = []
        at = 0
        for it in begun:
            reached = at
            while at < len(ended) and self.ended[ended[at]] < self.begun[it]:
                at += 1
            if at > reached:
                found.append((ended[reached:at], []))
            if found:
                found[-1][1].append(it)
        return found
