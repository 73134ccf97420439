"""Anomalies: what a history holds that it should not, and which levels each excludes.

Beside the cycles (cycles.py) there are those that a look at single transactions, keys and elements finds:

    internal             a transaction didn't see its own writes, or two of its reads of a key differ
    future-read          it read what it only wrote later
    G1a                  aborted read: it saw what a failed transaction had written
    G1b                  intermediate read: it saw a state that its writer went on to change, or never left so
    dirty-update         a committed write stands upon one that failed
    garbage-read         it saw what nobody ever wrote
    lost-update          two transactions read one version, and each put its own after that
    duplicate-elements   a list held an element twice
    incompatible-order   two lists that were read are no beginnings of one, or one shows a transaction's appends in
                         another order than that of the transaction
    fractured-read       it saw some writes of a transaction, and missed others of it
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mvcc_kv.stress.checker.cycles import Cycle
from mvcc_kv.stress.checker.models import Level
from mvcc_kv.stress.checker.observations import NOBODY, Observations

__all__ = ["EXCLUDED_BY", "Anomaly", "direct_anomalies"]

_EXAMPLES_MAX = 10

_READ_COMMITTED = (Level("read-committed"),)
_AT_A_KEY = (Level("parallel-snapshot-isolation"), Level("repeatable-read"))

EXCLUDED_BY: dict[str, tuple[Level, ...]] = {
    "duplicate-elements": (Level("read-uncommitted"),),
    "G1a": _READ_COMMITTED,
    "G1b": _READ_COMMITTED,
    "dirty-update": _READ_COMMITTED,
    "garbage-read": _READ_COMMITTED,
    "incompatible-order": _READ_COMMITTED,
    "future-read": _READ_COMMITTED,
    "internal": (Level("read-atomic"),),
    "lost-update": _AT_A_KEY,
}
"""The weakest levels that don't hold where there is such an anomaly."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One anomaly: its name, who took part, what happened in words, and the cycle if it is one.

    `did` is what each transaction of the cycle did, for pictures.
    """

    name: str
    transactions: tuple[int, ...]
    words: str
    cycle: Cycle | None = None
    did: tuple[tuple[str, ...], ...] = ()


def direct_anomalies(observations: Observations) -> dict[str, list[Anomaly]]:
    """What needs no graph: by name, a few examples of each."""
    found: dict[str, list[Anomaly]] = defaultdict(list)
    searches = (_of_themselves, _dirty_reads, _intermediate_reads, _incompatible_orders, _dirty_updates, _lost_updates)
    for search in searches:
        for it in search(observations):
            if len(found[it.name]) < _EXAMPLES_MAX:
                found[it.name].append(it)
    return dict(found)


def _of_themselves(observations: Observations) -> Iterator[Anomaly]:
    for wrong in observations.wrong:
        name = observations.names[wrong.transaction]
        words = f"{name} read {wrong.key} as {wrong.read}; it should have been {wrong.expected}"
        yield Anomaly(wrong.kind, (wrong.transaction,), words)


def _dirty_reads(observations: Observations) -> Iterator[Anomaly]:
    """Elements that failed transactions wrote, or nobody, each with one who saw it."""
    dirty = [
        element
        for element, writer in enumerate(observations.writers)
        if observations.is_seen[element] and (writer == NOBODY or observations.outcomes[writer] == "fail")
    ]
    readers = _readers_of(observations, set(dirty)) if dirty else {}
    for element in dirty:
        key, value = _named(observations, element)
        reader, writer = readers[element], observations.writers[element]
        told = f"{observations.names[reader]} saw {value!r} at {key}, which"
        if writer == NOBODY:
            yield Anomaly("garbage-read", (reader,), f"{told} nobody ever wrote")
        else:
            failed = observations.names[writer]
            yield Anomaly("G1a", (reader, writer), f"{told} {failed} had written, and {failed} failed")


def _readers_of(observations: Observations, wanted: set[int]) -> dict[int, int]:
    """Of these elements each with one who saw it, in one look at the history."""
    found: dict[int, int] = {}
    for reader, element in _sightings(observations):
        if element in wanted:
            found.setdefault(element, reader)
    return found


def _sightings(observations: Observations) -> Iterator[tuple[int, int]]:
    """Who saw which element; of lists only those who tell of the order."""
    if observations.mode == "register":
        for reader in range(len(observations)):
            yield from ((reader, element) for is_write, element in observations.micros_of(reader) if not is_write)
        return
    for key, values in enumerate(observations.orders):
        yield from ((observations.longest_readers[key], observations.element_id(key, it)) for it in values)
    for it in observations.incompatible:
        yield from ((it.transaction, observations.element_id(it.key, value)) for value in it.value)


def _intermediate_reads(observations: Observations) -> Iterator[Anomaly]:
    intermediate, start = observations.next_own, observations.micros_start
    if not intermediate:
        return
    reader = 0
    for at, micro in enumerate(observations.micros):
        while at >= start[reader + 1]:
            reader += 1
        if micro & 1 or micro >> 1 not in intermediate:
            continue
        writer = observations.writers[micro >> 1]
        if writer != reader:
            key, value = _named(observations, micro >> 1)
            told = f"{observations.names[reader]} saw {key} as {observations.names[writer]} had left it for a moment"
            yield Anomaly("G1b", (reader, writer), f"{told} (at {value!r}, before its last write there)")


def _named(observations: Observations, element: int) -> tuple[Any, Any]:
    return observations.keys[observations.element_keys[element]], observations.element_values[element]


def _incompatible_orders(observations: Observations) -> Iterator[Anomaly]:
    for it in observations.incompatible:
        other, longest = observations.longest_readers[it.key], observations.orders[it.key]
        here, there = _where_they_part(it.value, longest)
        words = (
            f"{observations.names[it.transaction]} and {observations.names[other]} read "
            f"{observations.keys[it.key]} as {here} and as {there}: neither is a beginning of the other"
        )
        yield Anomaly("incompatible-order", (it.transaction, other), words)


def _where_they_part(one: list[Any], other: list[Any]) -> tuple[str, str]:
    """Both lists as far as they can be told apart."""
    pairs = enumerate(zip(one, other, strict=False))
    at = next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))
    return _around(one, at), _around(other, at)


def _around(values: list[Any], at: int) -> str:
    before, after = max(at - 2, 0), min(at + 2, len(values))
    shown = ", ".join(map(repr, values[before:after]))
    return f"[{'... ' if before else ''}{shown}{' ...' if after < len(values) else ''}]"


def _dirty_updates(observations: Observations) -> Iterator[Anomaly]:
    """At each key, a write that failed below one that committed."""
    if observations.mode != "list-append" or "fail" not in observations.outcomes:
        return
    for key, values in enumerate(observations.orders):
        failed = NOBODY
        for value in values:
            writer = observations.writers[observations.element_id(key, value)]
            outcome = "info" if writer == NOBODY else observations.outcomes[writer]
            if outcome == "fail":
                failed = writer
            elif outcome == "ok" and failed != NOBODY:
                names = observations.names
                told = f"{names[writer]} put {value!r} at {observations.keys[key]} on top of what {names[failed]}"
                yield Anomaly("dirty-update", (writer, failed), f"{told} had written, and {names[failed]} failed")
                failed = NOBODY


def _lost_updates(observations: Observations) -> Iterator[Anomaly]:
    """Committed transactions that read one version, and both wrote at that key then."""
    updated: dict[int, int] = {}
    micros, start, keys = observations.micros, observations.micros_start, observations.element_keys
    for transaction, outcome in enumerate(observations.outcomes):
        if outcome != "ok" or start[transaction + 1] - start[transaction] < 2:
            continue
        first: dict[int, int] = {}
        written: set[int] = set()
        for micro in micros[start[transaction] : start[transaction + 1]]:
            element = micro >> 1
            key = keys[element]
            if not micro & 1:
                first.setdefault(key, element)
            elif key not in written:
                written.add(key)
                if key not in first:
                    continue
                other = updated.setdefault(first[key], transaction)
                if other != transaction:
                    yield _lost_update(observations, first[key], other, transaction)


def _lost_update(observations: Observations, element: int, one: int, other: int) -> Anomaly:
    key, value = _named(observations, element)
    seen = "without a value" if observations.is_initial(element) else f"at {value!r}"
    names = observations.names
    words = f"{names[one]} and {names[other]} both saw {key} {seen}, both wrote there, and both committed"
    return Anomaly("lost-update", (one, other), words)
