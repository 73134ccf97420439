"""Registers: the verdict on a history, with its anomalies.

Cycles are looked for in the graph of what is sure: who wrote a key that it had read is after whom it read from, and
what nobody wrote is before all. Where that doesn't explain why a level doesn't hold, they are looked for once more
with what the sessions and real time tell of the versions (register_versions.py). Where no order explains the reads and
there is no such cycle either, that is what is said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from mvcc_kv.stress.checker.anomalies import EXCLUDED_BY, Anomaly, direct_anomalies
from mvcc_kv.stress.checker.components import knots
from mvcc_kv.stress.checker.cores import core
from mvcc_kv.stress.checker.cycles import BROKEN_BY, Cycle, Found, Knot, base_name, in_order, search
from mvcc_kv.stress.checker.dependencies import add_process_order, add_real_time, counting, register_order
from mvcc_kv.stress.checker.explain import cycle_anomaly, what_it_did
from mvcc_kv.stress.checker.graph import RW, WR, Edges
from mvcc_kv.stress.checker.models import ALL_LEVELS, ORDERS, Dialect, Level, stronger
from mvcc_kv.stress.checker.observations import Observations
from mvcc_kv.stress.checker.register_columns import Registers
from mvcc_kv.stress.checker.register_versions import Versions
from mvcc_kv.stress.checker.registers import register_levels

__all__ = ["judge_registers"]

_EXPLAINS = {
    "G0": ("read-uncommitted",),
    "G1c": ("read-committed",),
    "G-single-item": ("monotonic-atomic-view",),
    "G-nonadjacent-item": ("prefix", "snapshot-isolation", "repeatable-read"),
    "long-fork": ("prefix", "snapshot-isolation", "repeatable-read"),
    "G2-item": ("repeatable-read", "serializable"),
}
_WITHOUT_FRACTURES = ("monotonic-atomic-view", "read-atomic")


def judge_registers(
    observations: Observations, counts: bytearray, dialect: Dialect
) -> tuple[dict[str, list[Anomaly]], dict[Level, bool | None]]:
    """The anomalies, and which levels hold."""
    anomalies = defaultdict(list, direct_anomalies(observations))
    registers = Registers(observations, counts)
    known = Versions(registers, "")
    found = [search(knot) for knot in _knots(registers, known, counts)]
    _tell(anomalies, observations, known, (cycle for it in found for cycle in it.cycles))
    excluded = frozenset(
        it for name in anomalies for level in EXCLUDED_BY.get(name, ()) for it in stronger(level)
    ) | _broken(found)
    levels = register_levels(registers, excluded, dialect)
    unexplained = {level for level, holds in levels.items() if holds is False and level not in excluded}
    for order in ORDERS[1:]:
        if any(it.order == order for it in unexplained):
            cycles = list(_cycles_in(registers, counts, known, order))
            _tell(anomalies, observations, Versions(registers, order), cycles)
            unexplained -= {it for cycle in cycles for it in _explained(cycle, order)}
    if unexplained:
        anomaly = _unexplained(registers, unexplained, dialect)
        anomalies[anomaly.name].append(anomaly)
    return anomalies, {level: levels.get(level) for level in ALL_LEVELS}


def _tell(
    anomalies: dict[str, list[Anomaly]], observations: Observations, known: Versions, cycles: Iterable[Cycle]
) -> None:
    order = register_order(observations, counting(observations))
    for cycle in cycles:
        named = cycle_anomaly(observations, order, cycle, known.newer)
        anomalies[named.name].append(named)


def _knots(registers: Registers, versions: Versions, counts: bytearray) -> list[Knot]:
    observations = registers.observations
    edges = Edges(len(observations))
    for writer, reader in registers.read_from():
        edges.add(registers.members[writer], registers.members[reader], WR)
    versions.add(edges)
    add_process_order(edges, observations, counts)
    add_real_time(edges, observations, counts)
    graph = edges.graph()
    return [Knot(graph, nodes) for nodes in knots(graph)]


def _cycles_in(registers: Registers, counts: bytearray, known: Versions, order: str) -> Iterator[Cycle]:
    """The cycles that there are only where that order counts, by the order of the versions that it tells."""
    for knot in _knots(registers, Versions(registers, order), counts):
        for cycle in search(knot, (order,)).cycles:
            missed = [step for step in cycle.steps if step.label == RW]
            if not all(known.is_known(step.source, step.target) for step in missed):
                yield in_order(cycle, order)


def _explained(cycle: Cycle, order: str) -> Iterator[Level]:
    """Whose not holding the cycle explains."""
    for base in _EXPLAINS[base_name(cycle.name)]:
        yield from stronger(Level(base, order))


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
