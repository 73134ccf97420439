"""A real server in a thread, its clock in the test's hands, and a plain client to attack it with."""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread
from typing import Any

from mvcc_kv.engine import VersionedStore
from mvcc_kv.server import Listeners, Server, Settings
from mvcc_kv.server.checkpoints import CheckpointJob
from mvcc_kv.server.commits import CommitLog
from mvcc_kv.server.listeners import address_name

DEADLINE_S = 20.0  # for what must come; a test that waits so long has failed


_others_turn = Event()  # never set: to wait for it is to let other threads run


class Clock:
    """A clock that stands still until it is told, or with `ticks` goes on by itself; `calls` counts looks at it.

    The loop looks at it in every turn, so it is also the handle to hold the loop by.
    """

    def __init__(self, *, ticks: bool = False) -> None:
        self.now_s = 1000.0
        self._ticks = ticks
        self.calls = 0
        self._free, self._held = Event(), Event()
        self._free.set()

    def __call__(self) -> float:
        self.calls += 1
        if not self._free.is_set():
            self._held.set()
            assert self._free.wait(DEADLINE_S)
        return self.now_s + (time.monotonic() if self._ticks else 0)

    @contextmanager
    def holding(self, server: Server) -> Iterator[None]:
        """The loop stands still in this block: what is sent meanwhile is there all at once when it goes on."""
        self._held.clear()
        self._free.clear()
        try:
            server.wake()
            assert self._held.wait(DEADLINE_S)
            yield
        finally:
            self._free.set()


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

    def has_answer(self) -> bool:
        """Whether anything has come that was not read yet."""
        return bool(self._received) or bool(select.select([self.socket], [], [], 0)[0])

    def ask(self, command: bytes) -> bytes:
        self.send(command + b"\n")
        return self.reply()

    def asked(self, command: bytes) -> Any:
        """The `result` of the command's reply."""
        return json.loads(self.ask(command))["result"]

    def rest(self) -> bytes:
        """Everything until the server closes."""
        while data := self.socket.recv(65536):
            self._received += data
        received = bytes(self._received)
        self._received.clear()
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


def until(condition: Callable[[], bool]) -> None:
    """Wait for what will be so before long, where nothing tells when it is."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        _others_turn.wait(0.001)


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
        """A client that the server has accepted."""
        client = self.knock(**options)
        name = address_name(client.socket.getsockname())
        until(lambda: any(peer.name == name for peer in self.peers))
        return client

    def knock(self, **options: Any) -> Client:
        """A client that may have to wait, or be refused."""
        client = Client(self.address, **options)
        self.resources.callback(client.close)
        return client

    def advance(self, seconds: float) -> None:
        """Move the clock; when this returns, what became due has been done."""
        self.clock.now_s += seconds
        for _ in range(2):  # a turn may be under way that looked at the clock before
            until(partial(self._has_turned, self.clock.calls))

    def _has_turned(self, since_calls: int) -> bool:
        """Whether the loop has looked at its clock twice since; woken each time, as one turn may hear two calls."""
        self.server.wake()
        return self.clock.calls >= since_calls + 2 or not self.thread.is_alive()

    @property
    def peers(self) -> list[Any]:
        """The server's side of the connections."""
        return list(self.server._loop.peers)

    def held(self) -> AbstractContextManager[None]:
        """The loop stands still in this block."""
        return self.clock.holding(self.server)

    def is_at_rest(self) -> bool:
        """Whether the loop sleeps while nothing happens; a loop that is busy about nothing turns a lot in this time."""
        calls = self.clock.calls
        Event().wait(0.1)
        return self.clock.calls - calls < 20

    def has_ended_by(self, *, after_s: float) -> bool:
        self.clock.now_s += after_s  # past every grace
        self.server.wake()
        self.thread.join(0.01)
        return not self.thread.is_alive()

    def stop(self) -> bool:
        """Stop the server and wait for it; what `serve` returned."""
        self.server.stop()
        return self.stopped()

    def stopped(self) -> bool:
        """Wait for the end of a server that was told to stop; what `serve` returned."""
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        return self.outcome[0]


@contextmanager
def running(
    store: VersionedStore | None = None,
    *,
    begin_checkpoint: Callable[[], CheckpointJob] | None = None,
    log: CommitLog | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """A server until the end of the block; what was connected through it is closed then."""
    store, clock = store or VersionedStore(), clock or Clock()
    chosen = Settings(**{"port": 0, "line_quiet_ms": 50, **settings})
    listeners = Listeners(chosen)
    listeners.listen()
    host, port = listeners.sockets[0].getsockname()[:2]
    server = Server(store, chosen, listeners, begin_checkpoint=begin_checkpoint, log=log, clock=clock)
    outcome: list[bool] = []
    thread = Thread(target=lambda: outcome.append(server.serve()), daemon=True)
    thread.start()
    with ExitStack() as resources:
        run = Running(server, store, clock, (host, port), resources, thread, outcome)
        try:
            yield run
        finally:
            server.stop()
            until(lambda: run.has_ended_by(after_s=100))
