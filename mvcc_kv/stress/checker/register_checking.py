"""Registers: the verdict on a history, with its anomalies.

Cycles are looked for in the graph of what is sure: who wrote a key that it had read is after whom it read from, and
what nobody wrote is before all. Where no order explains the reads and there is no such cycle, that is what is said.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import islice

from mvcc_kv.stress.checker.anomalies import EXCLUDED_BY, Anomaly, direct_anomalies
from mvcc_kv.stress.checker.components import knots
from mvcc_kv.stress.checker.cores import core
from mvcc_kv.stress.checker.cycles import BROKEN_BY, Found, Knot, search
from mvcc_kv.stress.checker.dependencies import VersionOrder, add_process_order, add_real_time, register_order
from mvcc_kv.stress.checker.explain import cycle_anomaly, what_it_did
from mvcc_kv.stress.checker.graph import ALONG, RW, WR, WW, Edges
from mvcc_kv.stress.checker.models import ALL_LEVELS, Dialect, Level, stronger
from mvcc_kv.stress.checker.observations import NOBODY, Observations
from mvcc_kv.stress.checker.register_columns import Registers
from mvcc_kv.stress.checker.registers import register_levels

__all__ = ["judge_registers"]

_DIRECT_EDGES_MAX = 64
_WITHOUT_FRACTURES = ("monotonic-atomic-view", "read-atomic")


def judge_registers(
    observations: Observations, counts: bytearray, dialect: Dialect
) -> tuple[dict[str, list[Anomaly]], dict[Level, bool | None]]:
    """The anomalies, and which levels hold."""
    anomalies = defaultdict(list, direct_anomalies(observations))
    registers = Registers(observations, counts)
    order = register_order(observations, counts)
    found = _search(registers, order, counts)
    for it in found:
        for cycle in it.cycles:
            named = cycle_anomaly(observations, order, cycle)
            anomalies[named.name].append(named)
    excluded = frozenset(
        it for name in anomalies for level in EXCLUDED_BY.get(name, ()) for it in stronger(level)
    ) | _broken(found)
    levels = register_levels(registers, excluded, dialect)
    unexplained = {level for level, holds in levels.items() if holds is False and level not in excluded}
    if unexplained:
        anomaly = _unexplained(registers, unexplained, dialect)
        anomalies[anomaly.name].append(anomaly)
    return anomalies, {level: levels.get(level) for level in ALL_LEVELS}


def _broken(found: list[Found]) -> frozenset[Level]:
    broken: set[Level] = set()
    for it in found:
        for (rule, order), is_broken in it.broken.items():
            if is_broken:  # versions' order is known from reads only, so a cycle of writes is one of reads too
                base = "read-committed" if rule == "ww" else BROKEN_BY[rule]
                broken |= stronger(Level(base, order))
                if rule == "any":
                    broken |= stronger(Level("repeatable-read", order))
    return frozenset(broken)


def _unexplained(registers: Registers, levels: set[Level], dialect: Dialect) -> Anomaly:
    """What to call it that the levels don't hold, and of whom it is true."""
    weakest = min(
        (it for it in levels if not any(it in stronger(other) for other in levels if other != it)), key=ALL_LEVELS.index
    )
    name, words = "no-order", f"no order of the transactions explains what was read, as {weakest.name} wants it"
    if weakest.base in _WITHOUT_FRACTURES:
        name, words = "fractured-read", f"{weakest.name} wants a transaction to be seen whole, and the order to be kept"
    found = core(registers, weakest, dialect)
    observations = registers.observations
    for it in found:
        did = ", ".join(what_it_did(observations, it))
        words += f"\n{observations.names[it]} (process {observations.processes[it]}): {did}"
    return Anomaly(name, tuple(found), words)


def _search(registers: Registers, order: VersionOrder, counts: bytearray) -> list[Found]:
    observations = registers.observations
    edges = Edges(len(observations))
    _add_reads(edges, registers)
    _add_later_writes(edges, registers)
    add_process_order(edges, observations, counts)
    add_real_time(edges, observations, counts)
    graph = edges.graph()
    return [search(Knot(graph, nodes)) for nodes in knots(graph)]


def _add_reads(edges: Edges, registers: Registers) -> None:
    for writer, reader in registers.read_from():
        edges.add(registers.members[writer], registers.members[reader], WR)


def _add_later_writes(edges: Edges, registers: Registers) -> None:
    """ww and rw to those that are known to have written after a version."""
    later: dict[int, set[int]] = defaultdict(set)
    for writer, reads in enumerate(registers.reads):
        for key, element in reads:
            if key in registers.writes[writer]:
                later[element].add(writer)
    members = registers.members
    for element, writers in later.items():
        source = registers.writer(element)
        if source != NOBODY:
            for writer in writers - {source}:
                edges.add(members[source], members[writer], WW)
    _add_missed(edges, registers, later)


def _add_missed(edges: Edges, registers: Registers, later: dict[int, set[int]]) -> None:
    members, ends = registers.members, {}
    for reader, reads in enumerate(registers.reads):
        for key, element in reads:
            if not registers.observations.is_initial(element):
                for writer in later.get(element, set()) - {reader}:
                    edges.add(members[reader], members[writer], RW)
                continue
            writers = registers.writers_of(key)
            if key in registers.writes[reader]:
                for writer in islice(writers, _DIRECT_EDGES_MAX):
                    if writer != reader:
                        edges.add(members[reader], members[writer], RW)
                continue
            if key not in ends:
                ends[key] = edges.bead()
                for writer in writers:
                    edges.add(ends[key], members[writer], ALONG)
            edges.add(members[reader], ends[key], RW)
