"""Dependencies: the edges of a list-append history, and those of its order in time.

The order of a key's versions is the longest list that was read (see observations.py). Behind it come, in no known
order, the elements that committed and that nobody read.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mvcc_kv.stress.checker.graph import ALONG, PROCESS, REALTIME, RW, WR, WW, Edges
from mvcc_kv.stress.checker.observations import NOBODY, Observations

__all__ = [
    "VersionOrder",
    "add_list_dependencies",
    "add_process_order",
    "add_real_time",
    "counting",
    "list_order",
    "process_pairs",
    "register_order",
]

_DIRECT_EDGES_MAX = 64


@dataclass(frozen=True, slots=True)
class VersionOrder:
    """What is known of the order of the elements at their keys.

    For each element its place (-1 if that isn't known), and who wrote the one before and the one after it; for each key
    the last element whose place is known, and those that come after it in no known order.
    """

    place: array[int]
    writer_before: array[int]
    writer_after: array[int]
    last: array[int]
    unread: list[list[int]]


def _unknown_order(observations: Observations) -> VersionOrder:
    nobody = array("q", [NOBODY]) * len(observations.element_values)
    places = array("q", [-1]) * len(observations.element_values)
    return VersionOrder(places, nobody, nobody[:], array("q", observations.initial_of), [[] for _ in observations.keys])


def list_order(observations: Observations, counts: bytearray) -> VersionOrder:
    """The order that the longest list of each key tells, and behind it what committed and nobody read."""
    order = _unknown_order(observations)
    for key, values in enumerate(observations.orders):
        _lay(order, observations, counts, key, values)
    for element, writer in enumerate(observations.writers):
        if writer >= 0 and counts[writer] and order.place[element] < 0:
            order.unread[observations.element_keys[element]].append(element)
    for key, elements in enumerate(order.unread):
        _lay_unread(order, observations, counts, key, elements)
    return order


def _lay(order: VersionOrder, observations: Observations, counts: bytearray, key: int, values: Iterable[Any]) -> None:
    before = observations.initial_of[key]
    order.place[before] = 0
    for place, value in enumerate(dict.fromkeys(values), 1):
        element = observations.element_id(key, value)
        order.place[element] = place
        order.writer_before[element] = _committed(observations, counts, before)
        order.writer_after[before] = _committed(observations, counts, element)
        before = element
    order.last[key] = before


def _lay_unread(
    order: VersionOrder, observations: Observations, counts: bytearray, key: int, elements: list[int]
) -> None:
    last = order.last[key]
    writers = {observations.writers[it] for it in elements}
    if len(writers) == 1:
        order.writer_after[last] = next(iter(writers))
    for element in elements:
        order.writer_before[element] = _committed(observations, counts, last)


def _committed(observations: Observations, counts: bytearray, element: int) -> int:
    writer = observations.writers[element]
    return writer if writer >= 0 and counts[writer] else NOBODY


def register_order(observations: Observations, counts: bytearray) -> VersionOrder:
    """What transactions that wrote what they had read tell of the order."""
    order = _unknown_order(observations)
    for transaction in range(len(observations)):
        seen: dict[int, int] = {}
        for is_write, element in observations.micros_of(transaction) if counts[transaction] else ():
            key = observations.element_keys[element]
            if not is_write:
                seen.setdefault(key, element)
            elif key in seen:
                order.writer_before[element] = _committed(observations, counts, seen[key])
                order.writer_after[seen[key]] = transaction
    return order


def counting(observations: Observations) -> bytearray:
    """For each transaction whether it counts as committed."""
    return bytearray(observations.counts(it) for it in range(len(observations)))


def add_list_dependencies(edges: Edges, observations: Observations, counts: bytearray, order: VersionOrder) -> None:
    """The ww, wr and rw edges of the history."""
    writers, micros, start = observations.writers, observations.micros, observations.micros_start
    before_of, after_of = order.writer_before, order.writer_after
    add = edges.add
    ends = _add_ends(edges, observations, order)
    for transaction in range(len(observations)):
        if not counts[transaction]:
            continue
        for micro in micros[start[transaction] : start[transaction + 1]]:
            element = micro >> 1
            if micro & 1:
                before = before_of[element]
                if before >= 0 and before != transaction:
                    add(before, transaction, WW)
                continue
            writer = writers[element]
            if writer >= 0 and writer != transaction and counts[writer]:
                add(writer, transaction, WR)
            after = after_of[element]
            if after >= 0:
                if after != transaction:
                    add(transaction, after, RW)
            elif element in ends:
                end, members = ends[element]
                if transaction not in members:
                    add(transaction, end, RW)
                    continue
                for other in islice(members, _DIRECT_EDGES_MAX):
                    if other != transaction:
                        add(transaction, other, RW)


def _add_ends(edges: Edges, observations: Observations, order: VersionOrder) -> dict[int, tuple[int, dict[int, None]]]:
    """By a key's last element that was read: the key's end, and who wrote what nobody read, if there are several."""
    ends = {}
    for key, elements in enumerate(order.unread):
        members = dict.fromkeys(observations.writers[it] for it in elements)
        if len(members) < 2:
            continue
        end = edges.bead()
        ends[order.last[key]] = (end, members)
        for member in members:
            edges.add(end, member, ALONG)
    return ends


def process_pairs(observations: Observations, transactions: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Of these transactions each with the next of its process.

    What comes behind one with unknown outcome may be before it: it may have been done long after.
    """
    last: dict[int, int] = {}
    for transaction in sorted(transactions, key=observations.invoked_at.__getitem__):
        process = observations.processes[transaction]
        before = last.get(process)
        if before is not None:
            yield before, transaction
        if observations.outcomes[transaction] == "ok":
            last[process] = transaction


def add_process_order(edges: Edges, observations: Observations, counts: bytearray) -> None:
    """An edge from each transaction to the next of its process."""
    for before, after in process_pairs(observations, (it for it in range(len(observations)) if counts[it])):
        edges.add(before, after, PROCESS)


def add_real_time(edges: Edges, observations: Observations, counts: bytearray) -> None:
    """The string of instants, with an edge onto it at each completion and one off it at each invocation."""
    completed_at = observations.completed_at
    invoked = [it for it in sorted(range(len(observations)), key=observations.invoked_at.__getitem__) if counts[it]]
    completed = [it for it in sorted(range(len(observations)), key=completed_at.__getitem__) if counts[it]]
    instant, at = -1, 0
    for transaction in invoked:
        now, reached = observations.invoked_at[transaction], at
        while at < len(completed) and completed_at[completed[at]] < now:
            at += 1
        if at > reached:
            before, instant = instant, edges.bead()
            if before >= 0:
                edges.add(before, instant, ALONG)
            for done in completed[reached:at]:
                edges.add(done, instant, REALTIME)
        if instant >= 0:
            edges.add(instant, transaction, ALONG)
