"""How costs grow in the engine: with keys, with versions of a key, with live snapshots, with the size of a write set.

    keys         a read, a write and a transaction (read, write, commit) of one key, in stores of 1,000 to 1,000,000
    new keys     writes of keys that were not there, beside so many that are
    versions     a read of the newest version, and of the oldest, of a key with so many that are kept
    snapshots    a write, and a begin and an end, beside so many live snapshots, each of another commit
    write set    a commit of so many keys, for each of them

The cost is this thread's processor time for one of them; `growth` is that to the smallest size's. One size is there
at a time: the garbage collector, whose work is part of the cost, would visit the others too.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from benches.dataset import items
from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.servers import SERVER_CORES, pinned
from benches.timing import Run, Side, repeated
from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine import CommitHistory, Transaction, VersionedStore

__all__ = ["GROWTH"]

_KEYS = (1_000, 10_000, 100_000, 1_000_000)
_VERSIONS = (1, 100, 10_000, 100_000)
_SNAPSHOTS = (1, 100, 1_000, 10_000)
_WRITE_SET = (1, 10, 100, 1_000, 10_000)
_VALUE = b'"written"'
_READ_ONLY = TransactionOptions(read_only=True)
_UNBOUNDED = 1 << 40
_AT_ONCE = 100
_HOPS = 7919  # a prime: keys are visited in no order, and all of them
_Make: TypeAlias = Callable[[int], Run]


class _Cost(NamedTuple):
    """Something whose cost may grow: how to make what does it at a size, a key or a commit at a time."""

    what: str
    grows_with: str
    sizes: tuple[int, ...]
    make: _Make


def _stocked(keys: int, retain_bytes: int = 0) -> VersionedStore:
    store = VersionedStore(history=CommitHistory(retain_bytes=retain_bytes))
    store.restore(keys, items(keys))
    return store


def _visited(keys: int) -> Iterator[bytes]:
    """The names of all keys, over and over, neighbours far apart."""
    return (b"key:%012d" % (number * _HOPS % keys) for number in itertools.count())


def _reading(keys: int) -> Run:
    store, names = _stocked(keys), _visited(keys)
    return repeated(lambda: store.get(next(names)))


def _writing(keys: int) -> Run:
    store, names = _stocked(keys), _visited(keys)
    return repeated(lambda: store.put(next(names), _VALUE))


def _transacting(keys: int) -> Run:
    store, names = _stocked(keys), _visited(keys)

    def transact() -> None:
        transaction, key = store.begin(), next(names)
        transaction.get(key)
        transaction.put(key, _VALUE)
        transaction.commit()

    return repeated(transact, _AT_ONCE)


def _creating(keys: int) -> Run:
    """Each key that is made goes again, so that the store stays as large as it is."""
    store, names = _stocked(keys), _visited(keys)

    def create() -> None:
        name = next(names) + b"+"
        store.put(name, _VALUE)
        store.delete(name)

    return repeated(create, _AT_ONCE)


def _reading_version(versions: int, *, is_oldest: bool) -> Run:
    store, key = VersionedStore(history=CommitHistory(retain_bytes=_UNBOUNDED)), b"key"
    for number in range(versions):
        store.put(key, b"%d" % number)
    at = 1 if is_oldest else versions
    transaction = store.begin(TransactionOptions(read_only=True, at=at))
    assert transaction.get(key) == b"%d" % (at - 1)
    return repeated(lambda: transaction.get(key))


def _beside(snapshots: int) -> tuple[VersionedStore, list[Transaction], Iterator[bytes]]:
    store = _stocked(1_000)
    names, live = _visited(1_000), list[Transaction]()
    for _ in range(snapshots):
        live.append(store.begin(_READ_ONLY))
        store.put(next(names), _VALUE)
    return store, live, names


def _writing_beside(snapshots: int) -> Run:
    store, live, names = _beside(snapshots)

    def write() -> None:
        assert live is not None  # or nobody would hold them
        store.put(next(names), _VALUE)

    return repeated(write)


def _beginning_beside(snapshots: int) -> Run:
    store, live, _ = _beside(snapshots)

    def begin_and_end() -> None:
        assert live is not None
        store.begin(_READ_ONLY).rollback()

    return repeated(begin_and_end, _AT_ONCE)


def _committing(keys: int) -> Run:
    store, names = _stocked(max(_WRITE_SET)), _visited(max(_WRITE_SET))

    def run() -> int:
        transaction = store.begin()
        for name in itertools.islice(names, keys):
            transaction.put(name, _VALUE)
        transaction.commit()
        return keys

    return run


_COSTS = (
    _Cost("a read", "keys", _KEYS, _reading),
    _Cost("a write", "keys", _KEYS, _writing),
    _Cost("a transaction", "keys", _KEYS, _transacting),
    _Cost("a new key, and its end", "keys", _KEYS, _creating),
    _Cost("a read of the newest", "versions", _VERSIONS, lambda size: _reading_version(size, is_oldest=False)),
    _Cost("a read of the oldest", "versions", _VERSIONS, lambda size: _reading_version(size, is_oldest=True)),
    _Cost("a write", "snapshots", _SNAPSHOTS, _writing_beside),
    _Cost("a begin and an end", "snapshots", _SNAPSHOTS, _beginning_beside),
    _Cost("a key of a commit", "write set", _WRITE_SET, _committing),
)


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows: list[dict[str, Any]] = []
    with pinned(SERVER_CORES):
        for cost in _COSTS:
            sizes = sorted({min(size, effort.keys) for size in cost.sizes})
            costs_us = {size: _measure(cost, size, effort) for size in sizes}
            rows += (_row(cost, size, costs_us[size], costs_us[sizes[0]]) for size in sizes)
            on_step()
    return _report(rows)


def _measure(cost: _Cost, size: int, effort: Effort) -> list[float]:
    """The cost in microseconds, once for each round."""
    gc.collect()
    side = Side(cost.make(size))
    for _ in range(effort.rounds):
        side.measure(effort.seconds)
    return [1e6 / it for it in side.rounds]


def _row(cost: _Cost, size: int, here_us: list[float], smallest_us: list[float]) -> dict[str, Any]:
    return {
        "what": cost.what,
        "grows_with": cost.grows_with,
        "size": size,
        "us": median(here_us),
        "growth": median(here_us) / median(smallest_us),
        "rounds": here_us,
    }


def _report(rows: list[dict[str, Any]]) -> Report:
    columns = ("the cost of", "with", "how many", "us", "growth")
    made = table("Growth of costs in the engine", *columns, left=("the cost of", "with"))
    for row, following in itertools.zip_longest(rows, rows[1:]):
        ends = following is None or following["what"] != row["what"] or following["grows_with"] != row["grows_with"]
        cells = row["what"], row["grows_with"], f"{row['size']:,}", count(row["us"], 2), ratio(row["growth"])
        made.add_row(*cells, end_section=ends)
    return Report(made, rows)


GROWTH = Part("growth of costs", lambda _: len(_COSTS), _run)
