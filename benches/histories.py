"""Histories of any length: list-append transactions of a serial store, as events a line, for the checker.

Each transaction has one to four micro-operations, half of them reads, on ten keys at a time; a key goes out of use
after 64 appends. Clients take turns at random, so that about as many transactions are open as there are clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from mvcc_kv.stress.history import Event, Micro, encode_event

__all__ = ["write_history"]

_KEYS, _APPENDS_A_KEY, _MICROS_MAX = 10, 64, 4


def write_history(path: Path, transactions: int, processes: int) -> None:
    """Write a strictly serializable history of so many transactions by so many clients."""
    with path.open("wb") as file:
        file.writelines(encode_event(event) for event in _events(transactions, processes))


def _events(transactions: int, processes: int) -> Iterator[Event]:
    random, plans = Random(transactions), _plans(Random(processes))
    lists: dict[int, list[int]] = {}
    open_by: dict[int, list[Micro]] = {}
    begun = index = 0
    while begun < transactions or open_by:
        process = random.randrange(processes)
        micros = open_by.pop(process, None)
        if micros is not None:
            yield Event(index=index, time=index, process=process, type="ok", value=[_done(lists, it) for it in micros])
        elif begun < transactions:
            begun += 1
            open_by[process] = micros = next(plans)
            yield Event(index=index, time=index, process=process, type="invoke", value=micros)
        else:
            continue
        index += 1


def _plans(random: Random) -> Iterator[list[Micro]]:
    keys, appended, newest = [*range(_KEYS)], [0] * _KEYS, _KEYS
    while True:
        micros: list[Micro] = []
        for _ in range(random.randint(1, _MICROS_MAX)):
            at = random.randrange(_KEYS)
            if random.random() < 0.5:
                micros.append(("r", keys[at], None))
                continue
            appended[at] += 1
            micros.append(("append", keys[at], appended[at]))
            if appended[at] == _APPENDS_A_KEY:
                keys[at], appended[at], newest = newest, 0, newest + 1
        yield micros


def _done(lists: dict[int, list[int]], micro: Micro) -> Micro:
    f, key, value = micro
    values = lists.setdefault(key, [])
    if f == "r":
        return f, key, values[:]
    values.append(value)
    return micro
