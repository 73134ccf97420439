"""A small TCP proxy in front of a server, through which networks go wrong.

    client  <---- a pair of sockets for each connection ---->  proxy  <------------>  server
                     cut: both are reset
                     hold: what goes one way stays here, as if the cable had been cut on that side (half-open)
                     delay: each piece waits before it goes on (slow)

One thread and one selector for all connections. When a hold ends, every other connection on which something was held is
reset, and the rest go on. One whose held bytes get too many is not read from any more, as a full network would.
"""

from __future__ import annotations

import random
import selectors
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

__all__ = ["Proxy"]

_RECEIVE_BYTES = 64 * 1024
_HELD_MAX_BYTES = 1024 * 1024
_CONNECT_S = 1.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with RST
_TURN_S = 0.05


@dataclass(eq=False, slots=True)
class _Way:
    """One direction of a connection: pieces that wait, each until its time."""

    source: socket.socket
    sink: socket.socket
    name: str
    pieces: deque[tuple[float, bytes]] = field(default_factory=deque)
    held_bytes: int = 0
    is_at_end: bool = False


@dataclass(eq=False, slots=True)
class _Pair:
    """A client's connection and the server's."""

    ways: tuple[_Way, _Way]

    @property
    def sockets(self) -> tuple[socket.socket, socket.socket]:
        return self.ways[0].source, self.ways[0].sink


class Proxy:
    """Listens on a free port of 127.0.0.1 and forwards to `upstream`, (host, port), until `close`."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._pairs: list[_Pair] = []
        self._lock = threading.Lock()  # over the pairs and the faults: the nemesis has another thread
        self._held: str | None = None
        self._delay_s = 0.0
        self._is_closed = False
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name="stress proxy", daemon=True)
        self._thread.start()

    def cut(self, share: float, rng: random.Random) -> int:
        """Reset that share of the connections, at least one if there is one; how many."""
        with self._lock:
            chosen = [pair for pair in self._pairs if rng.random() < share] or self._pairs[:1]
            for pair in chosen:
                self._reset(pair)
        return len(chosen)

    def hold(self, way: str) -> None:
        """Keep what goes "to the server" or "to the clients", until `heal`."""
        with self._lock:
            self._held = way

    def delay(self, delay_s: float) -> None:
        """Let each piece wait so long, until `heal`."""
        with self._lock:
            self._delay_s = delay_s

    def heal(self) -> None:
        """End whatever is wrong. Every other connection on which something was held is reset."""
        with self._lock:
            held, self._held, self._delay_s = self._held, None, 0.0
            waiting = [pair for pair in self._pairs if any(way.name == held and way.pieces for way in pair.ways)]
            for pair in waiting[::2]:
                self._reset(pair)

    def close(self) -> None:
        """Close every connection, and stop listening."""
        self._is_closed = True
        self._thread.join()

    def _run(self) -> None:
        while not self._is_closed:
            ready = self._selector.select(self._patience_s())
            with self._lock:
                for key, _ in ready:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj.fileno() >= 0:  # type: ignore[union-attr]  # not reset meanwhile
                        self._receive(*key.data)
                for pair in list(self._pairs):
                    self._forward(pair)
        with self._lock:
            for pair in list(self._pairs):
                self._reset(pair)
        self._listener.close()
        self._selector.close()

    def _patience_s(self) -> float:
        """Until the next piece may go on."""
        with self._lock:
            waiting = [way for pair in self._pairs for way in pair.ways if way.pieces and way.name != self._held]
        if not waiting:
            return _TURN_S
        return max(0.001, min(_TURN_S, min(way.pieces[0][0] for way in waiting) - time.monotonic()))

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._upstream, timeout=_CONNECT_S)
        except OSError:
            _close(client, with_reset=True)
            return
        pair = _Pair((_Way(client, server, "to the server"), _Way(server, client, "to the clients")))
        for way in pair.ways:
            way.source.setblocking(False)
            way.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(way.source, selectors.EVENT_READ, (pair, way))
        self._pairs.append(pair)

    def _receive(self, pair: _Pair, way: _Way) -> None:
        try:
            data = way.source.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._reset(pair)
            return
        if not data:
            self._selector.unregister(way.source)
            way.is_at_end = True
            return
        way.pieces.append((time.monotonic() + self._delay_s, data))
        way.held_bytes += len(data)
        if way.held_bytes > _HELD_MAX_BYTES:
            self._selector.unregister(way.source)

    def _forward(self, pair: _Pair) -> None:
        for way in pair.ways:
            if way.name != self._held and not self._send(way):
                self._reset(pair)
                return
        if any(way.is_at_end and not way.pieces for way in pair.ways) and self._held is None:
            self._reset(pair, with_reset=False)

    def _send(self, way: _Way) -> bool:
        """Let go on what may; whether the connection still is one."""
        was_full = way.held_bytes > _HELD_MAX_BYTES
        while way.pieces and way.pieces[0][0] <= time.monotonic():
            due_s, data = way.pieces.popleft()
            try:
                sent = way.sink.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False
            way.held_bytes -= sent
            if sent < len(data):
                way.pieces.appendleft((due_s, data[sent:]))
                break
        if was_full and way.held_bytes <= _HELD_MAX_BYTES and not way.is_at_end:
            self._selector.register(way.source, selectors.EVENT_READ, self._key_of(way))
        return True

    def _key_of(self, way: _Way) -> tuple[_Pair, _Way]:
        return next((pair, way) for pair in self._pairs if way in pair.ways)

    def _reset(self, pair: _Pair, *, with_reset: bool = True) -> None:
        if pair not in self._pairs:
            return
        self._pairs.remove(pair)
        for sock in pair.sockets:
            with suppress(KeyError, ValueError):
                self._selector.unregister(sock)
            _close(sock, with_reset=with_reset)


def _close(sock: socket.socket, *, with_reset: bool) -> None:
    with suppress(OSError):
        if with_reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
