"""Scans: reads of all that begins with a prefix, and so of what was not there.

    T1: scan a: {a1: 5}        a1 was read, as 5
    T2: w a2 7                 and a2 was read, as absent: T1 came before T2 (rw, by a predicate)

Which keys there could have been is known when all of the history is: those that anybody names in it. So a scan becomes
the reads of each of them. Of a read of what was absent it is noted that only a scan saw it: a cycle with such an edge
is G2, no G2-item, and repeatable-read (PL-2.99) allows it. That level is asked of the history without these reads.

Cost: as many reads a scan as keys are known below its prefix.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker.histories import Transaction
from mvcc_kv.stress.history import Micro

__all__ = ["SCAN", "Scanned", "scanned"]

SCAN = "scan"


class Scanned(NamedTuple):
    """A transaction with its scans as reads, and the keys that only scans saw to be absent."""

    transaction: Transaction
    absent: frozenset[str]


def scanned(transactions: Sequence[Transaction], keys: Iterable[Any]) -> Iterator[Scanned]:
    """The transactions without scans, where `keys` are those that were named before."""
    named = {key for key in keys if type(key) is str}
    for it in transactions:
        named.update(_named_by(it))
    ordered = sorted(named)
    for it in transactions:
        yield _scanned(it, ordered)


def _named_by(it: Transaction) -> Iterator[str]:
    for f, key, value in it.micros:
        if f != SCAN:
            yield from [key] if type(key) is str else []
        elif it.outcome == "ok":
            yield from _items(it, key, value)


def _items(it: Transaction, prefix: Any, value: Any) -> dict[str, Any]:
    """What the scan returned. Raises `BadRequestError` for what no scan of that prefix can."""
    pairs = value.items() if isinstance(value, dict) else value if isinstance(value, list) else None
    if type(prefix) is str and pairs is not None:
        items = {pair[0]: pair[1] for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2}
        if len(items) == len(pairs) and all(type(key) is str and key.startswith(prefix) for key in items):
            return items
    told = f"{it.name} scans {prefix!r} and gets {value!r}"
    raise BadRequestError(f'{told}; a scan is such as ["scan", "a/", {{"a/1": 5}}], all that begins with the prefix')


def _scanned(it: Transaction, ordered: list[str]) -> Scanned:
    micros: list[Micro] = []
    absent: set[str] = set()
    for f, key, value in it.micros:
        if f != SCAN:
            micros.append((f, key, value))
        elif it.outcome == "ok":
            items = _items(it, key, value)
            below = takewhile(lambda one: one.startswith(key), ordered[bisect_left(ordered, key) :])  # noqa: B023
            for one in below:
                micros.append(("r", one, items.get(one)))
                if one not in items:
                    absent.add(one)
    touched = {key for f, key, _ in it.micros if f == "r" and type(key) is str}
    return Scanned(it._replace(micros=micros), frozenset(absent - touched))
