"""Histories of a store that is known to be right: a tiny one, run by seeded clients that take turns.

Each of its levels is that level in real time (strong), as every transaction begins where the newest commit is:

    serial         a transaction runs at once, when it completes
    serializable   it reads a snapshot, and fails if something that it read or wrote has changed by its end
    snapshot       it reads a snapshot, and fails if something that it wrote has changed by its end

Some replies get lost: the client doesn't learn whether it committed (info), and comes back as a new process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, TypeAlias

from mvcc_kv.stress.history import Event, EventType, Micro

__all__ = ["Isolation", "Mode", "simulate"]

Isolation: TypeAlias = Literal["serial", "serializable", "snapshot"]
Mode: TypeAlias = Literal["list-append", "register"]

_LOST, _KEYS_MAX, _MICROS_MAX = 0.03, 8, 4
_VALUES_A_KEY_MAX = 48


@dataclass
class _Client:
    process: int
    micros: list[Micro]
    start: int = 0
    reads: dict[int, Any] = field(default_factory=dict)


class _Store:
    """Keys with all their versions, each with when it was committed."""

    def __init__(self) -> None:
        self.now = 0
        self.versions: dict[int, list[tuple[int, Any]]] = {}

    def at(self, key: int, now: int) -> tuple[int, Any]:
        return next((it for it in reversed(self.versions.get(key, [])) if it[0] <= now), (0, None))


def simulate(
    seed: int, isolation: Isolation, mode: Mode, *, transactions: int = 60, processes: int = 5
) -> Iterator[Event]:
    """The events of a run. The same seed gives the same."""
    random = Random(seed)
    store, clients = _Store(), [*range(processes)]
    busy: dict[int, _Client] = {}
    keys, written, begun, index, next_process = [*range(_KEYS_MAX)], 0, 0, 0, processes
    counts: dict[int, int] = {}

    def event(client: _Client, kind: EventType, micros: list[Micro]) -> Event:
        nonlocal index
        index += 1
        return Event(index=index - 1, time=index, process=client.process, type=kind, value=micros)

    while begun < transactions or busy:
        at = random.randrange(processes)
        client = busy.pop(at, None)
        if client is None:
            if begun == transactions:
                continue
            begun += 1
            micros: list[Micro] = []
            for _ in range(random.randint(1, _MICROS_MAX)):
                place = random.randrange(_KEYS_MAX)
                key = keys[place]
                if random.random() < 0.5:
                    micros.append(("r", key, None))
                    continue
                written += 1
                counts[key] = counts.get(key, 0) + 1
                micros.append(("append" if mode == "list-append" else "w", key, written))
                if counts[key] == _VALUES_A_KEY_MAX:
                    keys[place] = max(keys) + 1
            busy[at] = client = _Client(clients[at], micros, store.now)
            yield event(client, "invoke", micros)
            continue
        done = _commit(store, client, isolation)
        if random.random() < _LOST:
            if random.random() < 0.5:
                yield event(client, "info", client.micros)
            clients[at], next_process = next_process, next_process + 1
        elif done is None:
            yield event(client, "fail", client.micros)
        else:
            yield event(client, "ok", done)


def _commit(store: _Store, client: _Client, isolation: Isolation) -> list[Micro] | None:
    """What the transaction did; None if it may not commit."""
    start = store.now if isolation == "serial" else client.start
    written: dict[int, Any] = {}
    touched: set[int] = set()
    done: list[Micro] = []
    for f, key, value in client.micros:
        current = written.get(key, store.at(key, start)[1])
        if f == "r":
            done.append((f, key, current))
            touched |= {key} if isolation == "serializable" else set()
            continue
        written[key] = [*(current or []), value] if f == "append" else value
        touched.add(key)
        done.append((f, key, value))
    if any(store.at(key, store.now)[0] > start for key in touched):
        return None
    if written:
        store.now += 1
        for key, value in written.items():
            store.versions.setdefault(key, []).append((store.now, value))
    return done
