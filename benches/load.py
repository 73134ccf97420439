"""The load generator: connections that each send `depth` commands, wait for all the replies, and send the next.

It does as little as it can, so that what is measured is the server: batches are made beforehand, and of
the replies, which all have one size, only the first batch is looked at; the others are counted.
Run as a process, it prints what it did as JSON.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import sys
import time
from dataclasses import asdict, dataclass

from benches.dialects import DIALECTS, KEYS, Dialect

__all__ = ["Client", "Load", "Result", "conversation", "main"]

_BATCHES = 32
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, and to whom."""

    port: int
    dialect: str
    verb: str
    depth: int
    connections: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came back. `cpu_s` is the generator's own processor time: if it is near `seconds`, it was the bottleneck."""

    commands: int
    seconds: float
    cpu_s: float


class Client:
    """One connection of the load."""

    __slots__ = ("awaited_bytes", "next", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.awaited_bytes = 0
        self.next = 0

    def ask(self, request: bytes, expected: bytes) -> None:
        """Send a request and compare the answer, byte for byte."""
        self.socket.sendall(request)
        answer = b""
        while len(answer) < len(expected):
            data = self.socket.recv(65536)
            if not data:
                break
            answer += data
        if answer != expected:
            raise RuntimeError(f"{request[:60]!r}... was answered with {answer[:200]!r}")


def main() -> None:
    """Run the load that the first argument describes in JSON, and print the result."""
    load = Load(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(_run(load))))


def _run(load: Load) -> Result:
    dialect = DIALECTS[load.dialect]
    clients = [Client(load.port) for _ in range(load.connections)]
    _warm_up(clients, dialect, load)
    batches = _batches(dialect, load)
    result = _measure(clients, batches, load.depth * len(dialect.reply(load.verb, KEYS[0])), load)
    for client in clients:
        client.socket.close()
    return result


def conversation(dialect: Dialect, verb: str, keys: list[bytes]) -> tuple[bytes, bytes]:
    """A command for every key, sent at once, and what comes back."""
    return b"".join(dialect.request(verb, key) for key in keys), b"".join(dialect.reply(verb, key) for key in keys)


def _warm_up(clients: list[Client], dialect: Dialect, load: Load) -> None:
    """Set every key, and see on every connection that commands are answered as they should be."""
    clients[0].ask(*conversation(dialect, "PUT", KEYS))
    for client in clients:
        keys = random.sample(KEYS, load.depth)
        client.ask(*conversation(dialect, load.verb, keys))
        client.socket.setblocking(False)


def _batches(dialect: Dialect, load: Load) -> list[bytes]:
    choose = random.Random(load.depth)
    return [
        b"".join(dialect.request(load.verb, choose.choice(KEYS)) for _ in range(load.depth)) for _ in range(_BATCHES)
    ]


def _measure(clients: list[Client], batches: list[bytes], reply_bytes: int, load: Load) -> Result:
    selector = selectors.DefaultSelector()
    select, clock = selector.select, time.perf_counter
    buffer = bytearray(256 * 1024)
    done = 0
    began_at, began_cpu_s = clock(), time.process_time()
    for number, client in enumerate(clients):
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.next = number % _BATCHES
        client.awaited_bytes = reply_bytes
        client.socket.send(batches[client.next])
    until = began_at + load.seconds
    while (now := clock()) < until:
        events = select(_PATIENCE_S)
        if not events:
            raise RuntimeError(f"no reply for {_PATIENCE_S:g} s")
        for key, _ in events:
            client = key.data
            client.awaited_bytes -= client.socket.recv_into(buffer)
            if not client.awaited_bytes:
                done += 1
                client.next = (client.next + 1) % _BATCHES
                client.awaited_bytes = reply_bytes
                client.socket.send(batches[client.next])  # a batch fits an empty socket's buffer
            elif client.awaited_bytes < 0:
                raise RuntimeError("more came back than was asked for")
    return Result(done * load.depth, now - began_at, time.process_time() - began_cpu_s)


if __name__ == "__main__":
    main()
