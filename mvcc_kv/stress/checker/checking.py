"""The checker: a history's verdict, from what the clients saw alone.

    events --pair--> transactions --observe--> columns --> version orders --> graph --> knots --> cycles
                                                  |                                                  |
                                                  +---- aborted, intermediate reads, ... ---> verdict

After Elle: Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB 2020).

Sound: what is called an anomaly is one, whatever order the store committed in, and whatever became of the transactions
whose outcome nobody knows. For lists the orders of the versions are read off, and everything is near-linear in what was
read and written. For registers they have to be found; see registers.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import islice

from mvcc_kv.stress.checker.anomalies import Anomaly, direct_anomalies
from mvcc_kv.stress.checker.components import knots
from mvcc_kv.stress.checker.cycles import BROKEN_BY, ORDER_LABELS, Found, Knot, search
from mvcc_kv.stress.checker.dependencies import (
    VersionOrder,
    add_list_dependencies,
    add_process_order,
    add_real_time,
    counting,
    list_order,
)
from mvcc_kv.stress.checker.explain import cycle_anomaly, fracture_anomaly
from mvcc_kv.stress.checker.fractures import fractures, misses_a_cause, stale_in_real_time, stale_in_session
from mvcc_kv.stress.checker.graph import Edges
from mvcc_kv.stress.checker.histories import Transaction
from mvcc_kv.stress.checker.models import Dialect, Level, weaker
from mvcc_kv.stress.checker.observations import Observations, observe
from mvcc_kv.stress.checker.own_appends import missing_appends, swapped_appends
from mvcc_kv.stress.checker.register_checking import judge_registers
from mvcc_kv.stress.checker.verdict import Counts, Verdict, levels_from

__all__ = ["check"]

_EXAMPLES_MAX = 10


def check(transactions: Iterable[Transaction], dialect: Dialect = "elle") -> Verdict:
    """The verdict on a history. Raises `BadRequestError` for one that can't be judged."""
    observations = observe(transactions)
    counts = counting(observations)
    anomalies, levels = _judge(observations, counts, dialect)
    if observations.seen_by_scans:
        without, of_items = _judge(observations.without_predicates(), counts, dialect)
        anomalies = {**without, **anomalies}  # of what a scan and a key both show, only one is told above
        levels |= {it: of_items[it] for it in levels if it.base == "repeatable-read" and _may_hold(levels, it)}
    if dialect == "dbcop":
        levels = {level: levels[Level(level.base, "session")] for level in levels}
    return Verdict(observations.mode, count(observations, counts), levels, _examples(anomalies), observations.names)


def _judge(
    observations: Observations, counts: bytearray, dialect: Dialect
) -> tuple[dict[str, list[Anomaly]], dict[Level, bool | None]]:
    if observations.mode == "list-append":
        return _judge_lists(observations, counts)
    return judge_registers(observations, counts, dialect)


def _may_hold(levels: dict[Level, bool | None], level: Level) -> bool:
    """Whether nothing weaker than the level is known not to hold."""
    return all(levels[it] is not False for it in weaker(level) if it.base != level.base)


def _judge_lists(
    observations: Observations, counts: bytearray
) -> tuple[dict[str, list[Anomaly]], dict[Level, bool | None]]:
    order = list_order(observations, counts)
    anomalies = defaultdict(list, direct_anomalies(observations))
    swapped = list(islice(swapped_appends(observations), _EXAMPLES_MAX))
    _tell(anomalies, [*swapped, *islice(missing_appends(observations), _EXAMPLES_MAX)])
    tied = _knots(observations, counts, order)
    found = [search(knot) for knot in tied]
    _tell(anomalies, (cycle_anomaly(observations, order, cycle) for it in found for cycle in it.cycles))
    broken, unsure = _levels_of(found)
    if swapped:
        broken.add(Level("read-uncommitted"))
    for knot, it in zip(tied, found, strict=True):
        for sequence, labels in ORDER_LABELS.items():
            if it.broken["single", sequence] is not False:
                is_missed = misses_a_cause(observations, order, knot, labels)
                (broken if is_missed else unsure if is_missed is None else set()).add(Level("causal", sequence))
    if found:
        broken |= _fractured(observations, counts, order, anomalies)
    return anomalies, levels_from(anomalies, broken, unsure)


def _tell(anomalies: dict[str, list[Anomaly]], more: Iterable[Anomaly]) -> None:
    for it in more:
        anomalies[it.name].append(it)


def _knots(observations: Observations, counts: bytearray, order: VersionOrder) -> list[Knot]:
    edges = Edges(len(observations))
    add_list_dependencies(edges, observations, counts, order)
    add_process_order(edges, observations, counts)
    add_real_time(edges, observations, counts)
    graph = edges.graph()
    del edges
    return [Knot(graph, nodes) for nodes in knots(graph)]


def _levels_of(found: Iterable[Found]) -> tuple[set[Level], set[Level]]:
    """The levels that the knots exclude, and those of which it isn't known."""
    broken: set[Level] = set()
    unsure: set[Level] = set()
    for it in found:
        for (rule, order), is_broken in it.broken.items():
            level = Level(BROKEN_BY[rule], order)
            if is_broken:
                broken.add(level)
                if rule == "any":
                    broken.add(Level("repeatable-read", order))
            elif is_broken is None:
                unsure.add(level)
    return broken, unsure


def _fractured(
    observations: Observations, counts: bytearray, order: VersionOrder, anomalies: dict[str, list[Anomaly]]
) -> set[Level]:
    broken: set[Level] = set()
    for it in fractures(observations, counts, order):
        broken.add(Level("monotonic-atomic-view" if it.is_late else "read-atomic"))
        if len(anomalies["fractured-read"]) < _EXAMPLES_MAX:
            anomalies["fractured-read"].append(fracture_anomaly(observations, it))
    if stale_in_session(observations, counts, order):
        broken.add(Level("read-atomic", "session"))
    if stale_in_real_time(observations, counts, order):
        broken.add(Level("read-atomic", "realtime"))
    return broken


def _examples(anomalies: dict[str, list[Anomaly]]) -> dict[str, list[Anomaly]]:
    """Of each kind a few, the shortest cycles first."""
    by_length = {name: sorted(found, key=lambda it: len(it.transactions)) for name, found in anomalies.items() if found}
    return {name: found[:_EXAMPLES_MAX] for name, found in sorted(by_length.items())}


def count(observations: Observations, counts: bytearray) -> Counts:
    """How much there was to judge."""
    writes = sum(it & 1 for it in observations.micros)
    failed = observations.outcomes.count("fail")
    return Counts(
        transactions=len(observations),
        committed=sum(counts),
        failed=failed,
        unknown=len(observations) - sum(counts) - failed,
        reads=len(observations.micros) - writes,
        writes=writes,
        keys=len(observations.keys),
    )
