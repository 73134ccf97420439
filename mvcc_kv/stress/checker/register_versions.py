"""Register versions: what is known to have been written after a version, though nobody saw the order.

    whatever order counts   all that was written at a key is newer than its initial state;
                            and what was written there by who had read the version, or another write of
                            the transaction that wrote it
    session                 what a process wrote after it had written or read the version
    realtime                what was begun when the version was there: its writer had ended, or who had read it

Who read a version is before those that wrote a newer one (rw). Where an order counts it holds of versions too: a level
that keeps the order of sessions or real time puts versions in that order. So a cycle of such an edge is one of that
order, even if it goes along none of its edges.

    T1: w x 1    T2: w x 2    T3: r x 1        one after the other: T3 --rw--> T2 --realtime--> T3

Of each session the first newer writer stands for all; of real time a string of beads on each key, newest last, as in
graph.py; so there are a few edges a read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import islice, pairwise

from mvcc_kv.stress.checker.graph import ALONG, RW, WW, Edges
from mvcc_kv.stress.checker.observations import NOBODY
from mvcc_kv.stress.checker.register_columns import Registers

__all__ = ["Versions"]

_DIRECT_EDGES_MAX = 64

_Later = dict[int, set[int]]


class Versions:
    """What is known to be newer than a version, where that order counts."""

    def __init__(self, registers: Registers, order: str) -> None:
        self._registers = registers
        self._order = order
        self._at = {transaction: at for at, transaction in enumerate(registers.members)}
        self._by_reads = _written_by_its_readers(registers)
        self._by_sight = _written_by_who_saw_its_writer(registers)
        self._by_session = _written_later_in_a_session(registers) if order else {}
        self._there = _when_there(registers) if order == "realtime" else []

    def newer(self, element: int, transaction: int) -> str | None:
        """Why what the transaction wrote is newer than the version, in words; None if that isn't known."""
        if self._registers.observations.is_initial(element):
            return ""
        writer = self._at[transaction]
        if writer in self._by_reads.get(element, ()):
            return ", having seen that too"
        if writer in self._by_sight.get(element, ()):
            return ", having seen another write of the same transaction"
        if writer in self._by_session.get(element, ()):
            return ", by a process that had written or seen it before"
        if self._is_newer_in_time(element, writer):
            return ", which was begun when that was there"
        return None

    def is_known(self, source: int, target: int) -> bool:
        """Whether the one read a version that is known to be older than what the other wrote."""
        reads, written = self._registers.reads[self._at[source]], self._registers.writes[self._at[target]]
        return any(key in written and self.newer(element, target) is not None for key, element in reads)

    def add(self, edges: Edges) -> None:
        """The ww and rw edges."""
        self._add_overwritten(edges)
        for key, reads in self._reads_by_key().items():
            self._add_missed(edges, key, reads)

    def _is_newer_in_time(self, element: int, writer: int) -> bool:
        source = self._registers.writer(element)
        if not self._there or source == NOBODY:
            return False
        return self._registers.begun[source] <= self._there[source] < self._registers.begun[writer]

    def _add_overwritten(self, edges: Edges) -> None:
        members = self._registers.members
        for element, writers in self._by_reads.items():
            source = self._registers.writer(element)
            if source != NOBODY:
                for writer in writers - {source}:
                    edges.add(members[source], members[writer], WW)

    def _reads_by_key(self) -> dict[int, list[tuple[int, int]]]:
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for reader, reads in enumerate(self._registers.reads):
            for key, element in reads:
                found[key].append((reader, element))
        return found

    def _add_missed(self, edges: Edges, key: int, reads: list[tuple[int, int]]) -> None:
        members, begun = self._registers.members, self._registers.begun
        writers = sorted(self._registers.writers_of(key), key=begun.__getitem__)
        begun_at = [begun[it] for it in writers]
        beads: list[int] = []
        for reader, element in reads:
            for writer in self._later(element) - {reader}:
                edges.add(members[reader], members[writer], RW)
            first = self._first_newer(element, begun_at)
            if first >= len(writers):
                continue
            if key in self._registers.writes[reader]:
                for writer in islice((it for it in writers[first:] if it != reader), _DIRECT_EDGES_MAX):
                    edges.add(members[reader], members[writer], RW)
                continue
            beads = beads or _string(edges, [members[it] for it in writers])
            edges.add(members[reader], beads[first], RW)

    def _later(self, element: int) -> set[int]:
        """Who is known one by one to have written after the version; after the initial one all have."""
        if self._registers.observations.is_initial(element):
            return set()
        by = (self._by_reads, self._by_sight, self._by_session)
        return set().union(*(it.get(element, ()) for it in by))

    def _first_newer(self, element: int, begun: list[int]) -> int:
        """Which of the writers is the first that is newer, with all after it, in the order in which they were begun."""
        source = self._registers.writer(element)
        if self._registers.observations.is_initial(element):
            return 0
        if not self._there or source == NOBODY or self._there[source] < self._registers.begun[source]:
            return len(begun)
        return bisect_right(begun, self._there[source])


def _written_by_its_readers(registers: Registers) -> _Later:
    later: _Later = defaultdict(set)
    for writer, reads in enumerate(registers.reads):
        for key, element in reads:
            if key in registers.writes[writer]:
                later[element].add(writer)
    return later


def _written_by_who_saw_its_writer(registers: Registers) -> _Later:
    later: _Later = defaultdict(set)
    for writer, reads in enumerate(registers.reads):
        written = registers.writes[writer]
        for source in {registers.writer(element) for _, element in reads} - {NOBODY, writer}:
            for key in registers.writes[source].keys() & written.keys():
                if len(known := later[registers.writes[source][key]]) < _DIRECT_EDGES_MAX:
                    known.add(writer)
    return later


def _written_later_in_a_session(registers: Registers) -> _Later:
    """To each version the first in each session that wrote there after one that wrote or read the version."""
    observations = registers.observations
    later: _Later = defaultdict(set)
    known: dict[tuple[int, int], set[int]] = defaultdict(set)
    for it in sorted(range(len(registers)), key=registers.begun.__getitem__):
        process = observations.processes[registers.members[it]]
        for key in registers.writes[it]:
            for element in known[process, key]:
                if registers.writer(element) != it:
                    later[element].add(it)
        if observations.outcomes[registers.members[it]] == "ok":
            for key, element in registers.reads[it]:
                known[process, key].add(element)
            for key, element in registers.writes[it].items():
                known[process, key] = {element}
    return later


def _when_there(registers: Registers) -> list[int]:
    """For each transaction when what it wrote was there at the latest: when it or one that saw it had ended."""
    there = list(registers.ended)
    for writer, reader in registers.read_from():
        there[writer] = min(there[writer], registers.ended[reader])
    return there


def _string(edges: Edges, members: list[int]) -> list[int]:
    """A bead for each of them, from which a way leads to it and to all after it."""
    beads = [edges.bead() for _ in members]
    for bead, member in zip(beads, members, strict=True):
        edges.add(bead, member, ALONG)
    for one, other in pairwise(beads):
        edges.add(one, other, ALONG)
    return beads
