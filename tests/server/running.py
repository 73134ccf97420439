"""A real server in a thread, its clock in the test's hands, and a plain client to attack it with."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

from mvcc_kv.engine import VersionedStore
from mvcc_kv.server import Listeners, Server, Settings
from mvcc_kv.server.checkpoints import CheckpointJob

DEADLINE_S = 20.0  # for what must come; a test that waits so long has failed


class Clock:
    """A clock that stands still until it is told. `calls` tells how often it was looked at."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.calls = 0

    def __call__(self) -> float:
        self.calls += 1
        return self.now_s


class Client:
    """A blocking socket and what has come of the replies."""

    def __init__(self, address: tuple[str, int], *, receive_bytes: int | None = None) -> None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(address)
        self._received = bytearray()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> bytes:
        """The next reply, without its newline. Raises `EOFError` if the server closed instead."""
        while (at := self._received.find(b"\n")) < 0:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(bytes(self._received))
            self._received += data
        line = bytes(self._received[:at])
        del self._received[: at + 1]
        return line

    def result(self) -> Any:
        return json.loads(self.reply())["result"]

    def ask(self, command: bytes) -> bytes:
        self.send(command + b"\n")
        return self.reply()

    def asked(self, command: bytes) -> Any:
        """The `result` of the command's reply."""
        return json.loads(self.ask(command))["result"]

    def rest(self) -> bytes:
        """Everything until the server closes."""
        received = bytes(self._received)
        self._received.clear()
        while data := self.socket.recv(65536):
            received += data
        return received

    def is_closed_by_server(self) -> bool:
        """Waits for the end of the stream; whether nothing came before it."""
        try:
            return self.rest() == b""
        except ConnectionResetError:
            return True

    def end(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Vanish: the server is sent an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@dataclass
class Running:
    server: Server
    store: VersionedStore
    clock: Clock
    address: tuple[str, int]
    resources: ExitStack
    thread: Thread
    outcome: list[bool]

    def connect(self, **options: Any) -> Client:
        client = Client(self.address, **options)
        self.resources.callback(client.close)
        return client

    def advance(self, seconds: float) -> None:
        """Move the clock and let the loop see it; its timers have run before it answers anything sent later."""
        self.clock.now_s += seconds
        self.server.wake()

    def stop(self) -> bool:
        """Stop the server and wait for it; what `serve` returned."""
        self.server.stop()
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        return self.outcome[0]


@contextmanager
def running(
    store: VersionedStore | None = None,
    *,
    begin_checkpoint: Callable[[], CheckpointJob] | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """A server until the end of the block; what was connected through it is closed then."""
    store, clock = store or VersionedStore(), clock or Clock()
    chosen = Settings(**{"port": 0, "line_quiet_ms": 50, **settings})
    listeners = Listeners(chosen)
    listeners.listen()
    host, port = listeners.sockets[0].getsockname()[:2]
    server = Server(store, chosen, listeners, begin_checkpoint=begin_checkpoint, clock=clock)
    outcome: list[bool] = []
    thread = Thread(target=lambda: outcome.append(server.serve()), daemon=True)
    thread.start()
    with ExitStack() as resources:
        run = Running(server, store, clock, (host, port), resources, thread, outcome)
        try:
            yield run
        finally:
            clock.now_s += 1e6  # past every grace
            run.stop()
