"""A transaction's appends to one key, in the lists that show them.

    T1: append x 1, append x 2
    T2: r x [2, 1]             no store appends 2 before 1: an order that is none (incompatible-order)
    T3: r x [2]                T1 never left x so: it had 1 below 2 (G1b, an intermediate read)
    T4: r x [1]                G1b too, but that is seen from the list's last element alone

It is enough to look at an append and the next one of the same transaction to the same key, in the longest list of the
key and in those that are no beginning of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mvcc_kv.stress.checker.anomalies import Anomaly
from mvcc_kv.stress.checker.observations import Observations

__all__ = ["missing_appends", "swapped_appends"]

_Places = Mapping[int, int]


class _Shown(NamedTuple):
    """A list that was read at a key: by whom, and where in it which element stands."""

    reader: int
    key: int
    places: _Places


def swapped_appends(observations: Observations) -> Iterator[Anomaly]:
    """Lists with a transaction's later append before its earlier one."""
    for it, earlier, later in _pairs(observations):
        if earlier in it.places and it.places[earlier] > it.places[later]:
            key, first, second = _named(observations, it.key, earlier, later)
            names, writer = observations.names, observations.writers[later]
            told = f"{names[it.reader]} read {key} with {second!r} before {first!r}"
            words = f"{told}, and {names[writer]} appended {first!r} before {second!r}"
            yield Anomaly("incompatible-order", tuple(dict.fromkeys((it.reader, writer))), words)


def missing_appends(observations: Observations) -> Iterator[Anomaly]:
    """Lists with a transaction's later append and without its earlier one, as read by somebody else."""
    for it, earlier, later in _pairs(observations):
        if earlier not in it.places:
            writer = observations.writers[later]
            reader = _other_reader(observations, it, later) if it.reader == writer else it.reader
            if reader is not None:
                key, first, second = _named(observations, it.key, earlier, later)
                names = observations.names
                told = f"{names[reader]} saw {key} with {second!r} and without {first!r}"
                words = f"{told}, which {names[writer]} had appended before it: it never left {key} so"
                yield Anomaly("G1b", (reader, writer), words)


def _pairs(observations: Observations) -> Iterator[tuple[_Shown, int, int]]:
    """Two appends of one transaction, one next after the other, of which a list shows the later one."""
    by_key: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for earlier, later in observations.next_own.items():
        by_key[observations.element_keys[later]].append((earlier, later))
    for it in _lists(observations, by_key):
        yield from ((it, *pair) for pair in by_key[it.key] if pair[1] in it.places)


def _lists(observations: Observations, keys: Mapping[int, Any]) -> Iterator[_Shown]:
    """The lists that tell of the order at these keys."""
    for key in keys:
        yield _shown(observations, observations.longest_readers[key], key, observations.orders[key])
    for it in observations.incompatible:
        if it.key in keys:
            yield _shown(observations, it.transaction, it.key, it.value)


def _shown(observations: Observations, reader: int, key: int, values: list[Any]) -> _Shown:
    places = {observations.element_id(key, value): at for at, value in enumerate(dict.fromkeys(values))}
    return _Shown(reader, key, places)


def _other_reader(observations: Observations, it: _Shown, later: int) -> int | None:
    """Who else read the list, at least as far as that element."""
    writer = observations.writers[later]
    wanted = {element for element, place in it.places.items() if place >= it.places[later]}
    for reader in range(len(observations)):
        if reader != writer and not wanted.isdisjoint(observations.reads_of(reader)):
            return reader
    return None


def _named(observations: Observations, key: int, earlier: int, later: int) -> tuple[Any, Any, Any]:
    values = observations.element_values
    return observations.keys[key], values[earlier], values[later]
