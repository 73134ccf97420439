"""The micro-operations that most workloads are made of, and how each is done to a database or a transaction.

["r", k, None]         becomes ["r", k, value]
["w", k, v]            put
["append", k, v]       read the list, write it with v at its end: whoever loses the race for it conflicts
["add", k, by]         ADD; by itself ["add", k, [by, sum]]
["del", k, None]       becomes ["del", k, whether it was there]
["scan", prefix, n]    becomes ["scan", prefix, {key: value}], of n keys at most
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mvcc_kv.stress.history import Micro
from mvcc_kv.stress.plan import Cells

__all__ = ["perform"]


def perform(cells: Cells, micros: Sequence[Micro], pause: Callable[[], None]) -> list[Micro]:
    """Do them one after the other; each with what it answered."""
    done: list[Micro] = []
    for at, (f, key, value) in enumerate(micros):
        if at:
            pause()
        done.append((f, key, _DO[f](cells, key, value)))
    return done


def _read(cells: Cells, key: str, _: Any) -> Any:
    return cells.get(key)


def _write(cells: Cells, key: str, value: Any) -> Any:
    cells.put(key, value)
    return value


def _append(cells: Cells, key: str, value: Any) -> Any:
    cells.put(key, [*(cells.get(key) or []), value])
    return value


def _add(cells: Cells, key: str, by: Any) -> Any:
    total = cells.add(key, by)
    return by if total is None else [by, total]


def _delete(cells: Cells, key: str, _: Any) -> Any:
    return cells.delete(key)


def _scan(cells: Cells, prefix: str, limit: int | None) -> Any:
    return dict(cells.scan(prefix=prefix, limit=limit))


_DO: dict[str, Callable[[Cells, str, Any], Any]] = {
    "r": _read,
    "w": _write,
    "append": _append,
    "add": _add,
    "del": _delete,
    "scan": _scan,
}
