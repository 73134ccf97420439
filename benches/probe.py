"""The probe: readers that each wait for one reply at a time and note how long it took; writers may do so beside them.

It reads until its standard input ends, so that whoever started it decides what happens to the server meanwhile. Readers
and writers are one process and one loop: of two, the one would wait for the core that the other has.
Run as a process, it says `ready`, and in the end prints what it saw as JSON.
"""

from __future__ import annotations

import gc
import json
import random
import selectors
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from benches.dialects import DIALECTS, KEYS, Dialect
from benches.load import Client, conversation
from benches.servers import GENERATOR_CORES, RunningServer, pinned

__all__ = ["Probe", "Seen", "main", "probing"]

_PATIENCE_S = 60.0
_REQUESTS = 64


@dataclass(frozen=True, slots=True)
class Probe:
    """Who reads and writes, and where."""

    port: int
    dialect: str
    readers: int
    writers: int


@dataclass(slots=True)
class Seen:
    """How long the readers waited, and how much was done."""

    seconds: float = 0.0
    reads: int = 0
    writes: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


@contextmanager
def probing(server: RunningServer, *, readers: int, writers: int = 0) -> Iterator[Seen]:
    """While the block runs, clients read and write; what they saw is filled in at its end."""
    probe = Probe(server.port, server.dialect, readers, writers)
    command = [sys.executable, "-m", "benches.probe", json.dumps(asdict(probe))]
    with pinned(GENERATOR_CORES):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    assert process.stdout is not None and process.stderr is not None
    with process:
        seen = Seen()
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"the probe failed for {probe}: {process.stderr.read()}")
            yield seen
            output, errors = process.communicate()
            if process.returncode:
                raise RuntimeError(f"the probe failed for {probe}: {errors}")
            for name, value in json.loads(output).items():
                setattr(seen, name, value)
        finally:
            process.kill()


@dataclass(slots=True)
class _Asker:
    """A connection with one command under way."""

    client: Client
    requests: list[bytes]
    reply_bytes: int
    is_reader: bool
    next: int = 0
    awaited_bytes: int = 0
    asked_at: float = 0.0


@dataclass(slots=True)
class _Tally:
    waits_s: array[float] = field(default_factory=lambda: array("d"))
    writes: int = 0


def main() -> None:
    """Run the probe that the first argument describes in JSON, and print what it saw."""
    probe = Probe(**json.loads(sys.argv[1]))
    dialect = DIALECTS[probe.dialect]
    verbs = ["GET"] * probe.readers + ["PUT"] * probe.writers
    askers = [_asker(probe.port, dialect, verb) for verb in verbs]
    askers[0].client.ask(*conversation(dialect, "PUT", KEYS))
    for asker in askers:
        asker.client.socket.setblocking(False)
    print("ready", flush=True)
    gc.disable()
    print(json.dumps(asdict(_watch(askers))))


def _asker(port: int, dialect: Dialect, verb: str) -> _Asker:
    keys = random.sample(KEYS, _REQUESTS)
    requests = [dialect.request(verb, key) for key in keys]
    return _Asker(Client(port), requests, len(dialect.reply(verb, keys[0])), verb == "GET")


def _watch(askers: list[_Asker]) -> Seen:
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    tally, clock = _Tally(), time.perf_counter
    began_at = clock()
    for asker in askers:
        selector.register(asker.client.socket, selectors.EVENT_READ, asker)
        _ask(asker, clock())
    while True:
        events = selector.select(_PATIENCE_S)
        if not events:
            raise RuntimeError(f"no reply for {_PATIENCE_S:g} s")
        for key, _ in events:
            if key.data is None:
                return _seen(tally, askers, clock(), began_at)
            _hear(key.data, tally, clock)


def _hear(asker: _Asker, tally: _Tally, clock: Callable[[], float]) -> None:
    asker.awaited_bytes -= len(asker.client.socket.recv(4096))
    if asker.awaited_bytes > 0:
        return
    if asker.awaited_bytes < 0:
        raise RuntimeError("more came back than was asked for")
    now = clock()
    if asker.is_reader:
        tally.waits_s.append(now - asker.asked_at)
    else:
        tally.writes += 1
    _ask(asker, now)


def _ask(asker: _Asker, now: float) -> None:
    asker.next = (asker.next + 1) % _REQUESTS
    asker.awaited_bytes, asker.asked_at = asker.reply_bytes, now
    asker.client.socket.send(asker.requests[asker.next])


def _seen(tally: _Tally, askers: list[_Asker], now: float, began_at: float) -> Seen:
    """What was seen; a reader that still waits has waited as long as that, at least."""
    waits = sorted([*tally.waits_s, *(now - asker.asked_at for asker in askers if asker.is_reader)])

    def at(share: float) -> float:
        return waits[min(int(len(waits) * share), len(waits) - 1)] * 1e3

    return Seen(now - began_at, len(tally.waits_s), tally.writes, at(0.5), at(0.99), at(1.0))


if __name__ == "__main__":
    main()
