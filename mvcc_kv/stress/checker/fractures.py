"""Fractured reads: a transaction that saw a part of another.

    T1: append x 1, append y 1
    T2: r x [1], r y []                 T2 saw T1, and then did not

read-atomic forbids it in whichever order T2 read; monotonic-atomic-view only this one, where T1 had been seen before.
Where an order counts, who is before T2 in its session (or in real time) is to be seen as well.

Only asked for when the graph has cycles: a fracture is one, by wr and rw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mvcc_kv.stress.checker.dependencies import VersionOrder
from mvcc_kv.stress.checker.observations import Observations

__all__ = ["Fracture", "fractures", "stale_in_real_time", "stale_in_session"]


class Fracture(NamedTuple):
    """`reader` saw `writer` and missed its write at `key`; `is_late` if it had seen it before it read there."""

    reader: int
    writer: int
    key: int
    is_late: bool


def fractures(observations: Observations, counts: bytearray, order: VersionOrder) -> Iterator[Fracture]:
    """Each read that missed a write of a transaction that the reader saw."""
    for reader in range(len(observations)):
        reads = _outer_reads(observations, order, reader)
        if len(reads) < 2:
            continue
        for at, (_, seen) in enumerate(reads):
            writer = observations.writers[seen]
            if writer < 0 or writer == reader or not counts[writer]:
                continue
            written = {observations.element_keys[it]: it for it in observations.writes_of(writer)}
            for later, (key, element) in enumerate(reads):
                if key in written and _is_older(order, element, written[key]):
                    yield Fracture(reader, writer, key, later > at)


def _outer_reads(observations: Observations, order: VersionOrder, reader: int) -> list[tuple[int, int]]:
    """What it read at each key before it wrote there."""
    written: set[int] = set()
    reads = []
    for is_write, element in observations.micros_of(reader):
        key = observations.element_keys[element]
        if is_write:
            written.add(key)
        elif key not in written and order.place[element] >= 0:
            reads.append((key, element))
    return reads


def _is_older(order: VersionOrder, element: int, other: int) -> bool:
    """Whether the element is before the other at their key."""
    return order.place[other] < 0 or order.place[element] < order.place[other]


_Place = Callable[[int], int]


def stale_in_session(observations: Observations, counts: bytearray, order: VersionOrder) -> bool:
    """Whether a transaction missed a write of one before it in its session."""
    newest: dict[tuple[int, int], int] = {}
    place = _placer(order)
    for transaction in sorted(range(len(observations)), key=observations.invoked_at.__getitem__):
        if not counts[transaction]:
            continue
        process = observations.processes[transaction]
        for key, element in _outer_reads(observations, order, transaction):
            if order.place[element] < newest.get((process, key), -1):
                return True
        for element in observations.writes_of(transaction):
            at = (process, observations.element_keys[element])
            newest[at] = max(newest.get(at, -1), place(element))
    return False


def stale_in_real_time(observations: Observations, counts: bytearray, order: VersionOrder) -> bool:
    """Whether a transaction missed a write of one that was done before it began."""
    newest: dict[int, int] = {}
    place = _placer(order)
    begun = sorted(range(len(observations)), key=observations.invoked_at.__getitem__)
    done = sorted(range(len(observations)), key=observations.completed_at.__getitem__)
    at = 0
    for transaction in begun:
        while observations.completed_at[done[at]] < observations.invoked_at[transaction]:
            if counts[done[at]]:
                for element in observations.writes_of(done[at]):
                    key = observations.element_keys[element]
                    newest[key] = max(newest.get(key, -1), place(element))
            at += 1
        reads = _outer_reads(observations, order, transaction) if counts[transaction] else []
        if any(order.place[element] < newest.get(key, -1) for key, element in reads):
            return True
    return False


def _placer(order: VersionOrder) -> _Place:
    """Where an element stands; what nobody read stands behind the rest."""
    return lambda element: order.place[element] if order.place[element] >= 0 else 1 << 40
