"""The pacer: commands that are due at regular times, one connection after the other, and how long each waits from then.

It never sleeps: it has a core to itself, and a sleep ends late. Commands that are due on a connection that still waits
are sent behind each other. Run as a process, it prints what it saw as JSON.
"""

from __future__ import annotations

import gc
import json
import random
import selectors
import sys
import time
from array import array
from collections import deque
from dataclasses import asdict, dataclass

from benches.dialects import DIALECTS, KEYS
from benches.load import Client, conversation

__all__ = ["Pace", "Waits", "main", "percentile"]

_GRACE_S = 1.0
_VERBS = ("GET", "PUT")


@dataclass(frozen=True, slots=True)
class Pace:
    """So many commands a second, over so many connections."""

    port: int
    connections: int
    rate: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Waits:
    """How long commands waited; what was not answered a second after the end has waited until then."""

    due: int
    answered: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


class _Asker:
    """A connection, and what it waits for: of each command when it was due, and how many bytes its reply has."""

    __slots__ = ("awaited", "client", "received_bytes")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.awaited: deque[tuple[float, int]] = deque()
        self.received_bytes = 0

    def hear(self, now: float, waits: array[float]) -> None:
        """Take what came, and note the waits that it ended."""
        self.received_bytes += len(self.client.socket.recv(65536))
        while self.awaited and self.received_bytes >= self.awaited[0][1]:
            due_at, reply_bytes = self.awaited.popleft()
            self.received_bytes -= reply_bytes
            waits.append(now - due_at)


def main() -> None:
    """Keep the pace that the first argument describes in JSON, and print how long commands waited."""
    pace = Pace(**json.loads(sys.argv[1]))
    dialect = DIALECTS["resp"]
    askers = [_Asker(Client(pace.port)) for _ in range(pace.connections)]
    askers[0].client.ask(*conversation(dialect, "PUT", KEYS))
    gc.disable()
    print(json.dumps(asdict(_keep(pace, askers))))


def _keep(pace: Pace, askers: list[_Asker]) -> Waits:
    requests = _requests()
    selector, clock = selectors.DefaultSelector(), time.perf_counter
    for asker in askers:
        asker.client.socket.setblocking(False)
        selector.register(asker.client.socket, selectors.EVENT_READ, asker)
    due, sent, waits = int(pace.rate * pace.seconds), 0, array("d")
    began_at = clock()
    until = began_at + pace.seconds + _GRACE_S
    while len(waits) < due and (now := clock()) < until:
        while sent < due and (due_at := began_at + sent / pace.rate) <= now:
            asker = askers[sent % len(askers)]
            request, reply_bytes = requests[sent % len(requests)]
            asker.awaited.append((due_at, reply_bytes))
            asker.client.socket.send(request)
            sent += 1
        for key, _ in selector.select(0):
            key.data.hear(clock(), waits)
    answered, now = len(waits), clock()
    waits.extend(now - due_at for asker in askers for due_at, _ in asker.awaited)
    return _summary(due, answered, waits)


def _requests() -> list[tuple[bytes, int]]:
    """Commands, one kind after the other, and the sizes of their replies."""
    choose, dialect = random.Random(1), DIALECTS["resp"]
    picked = [
        (_VERBS[number % 2], choose.choice(KEYS)) for number in range(4095)
    ]  # odd: no connection has one kind only
    return [(dialect.request(verb, key), len(dialect.reply(verb, key))) for verb, key in picked]


def _summary(due: int, answered: int, waits: array[float]) -> Waits:
    ordered = sorted(waits)
    figures = (percentile(ordered, share) * 1e3 for share in (0.5, 0.99, 0.999, 1.0))
    return Waits(due, answered, *figures)


def percentile(ordered: list[float], share: float) -> float:
    """The value that this share of them is not above."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


if __name__ == "__main__":
    main()
