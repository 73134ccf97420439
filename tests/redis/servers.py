"""The two servers, each a process of its own on a port that was free, and Redis's protocol over a plain socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hiredis

from ..e2e.processes import serving
from ..real_redis import running_redis
from ..server.running import DEADLINE_S

__all__ = ["Connection", "Place", "our_server", "real_redis"]


@dataclass(frozen=True, slots=True)
class Place:
    """A server that listens. `is_ours`: it isn't Redis."""

    host: str
    port: int
    is_ours: bool

    def connect(self) -> Connection:
        return Connection(self)


class Connection:
    """A socket; commands as lists of arguments, replies as the bytes that came."""

    def __init__(self, place: Place) -> None:
        self.socket = socket.create_connection((place.host, place.port), timeout=DEADLINE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()

    def send(self, *arguments: Any) -> None:
        self.socket.sendall(packed(arguments))

    def reply(self) -> bytes:
        """The next reply's bytes. Raises `EOFError` if the server closed instead."""
        while (end := reply_end(self._received)) is None:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(bytes(self._received))
            self._received += data
        reply = bytes(self._received[:end])
        del self._received[:end]
        return reply

    def ask(self, *arguments: Any) -> bytes:
        self.send(*arguments)
        return self.reply()

    def asked(self, *arguments: Any) -> Any:
        """The reply as a Python value; an error reply is a `hiredis.ReplyError`."""
        reader = hiredis.Reader()
        reader.feed(self.ask(*arguments))
        return reader.gets()

    def rest(self) -> bytes:
        """Everything until the server closes."""
        try:
            while data := self.socket.recv(65536):
                self._received += data
        except ConnectionResetError:
            pass
        received = bytes(self._received)
        self._received.clear()
        return received

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def packed(arguments: Any) -> bytes:
    """A request: an array of bulk strings."""
    texts = [it if isinstance(it, bytes) else str(it).encode() for it in arguments]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)


def reply_end(data: bytes | bytearray, at: int = 0) -> int | None:
    """Where the reply that begins at `at` ends; None if it isn't all there. Written apart from the code under test.

    >>> reply_end(b"*2\\r\\n$1\\r\\na\\r\\n:1\\r\\n+OK\\r\\n"), reply_end(b"$5\\r\\nhel")
    (15, None)
    """
    line_end = data.find(b"\r\n", at)
    if line_end < 0:
        return None
    kind, rest, end = data[at : at + 1], data[at + 1 : line_end], line_end + 2
    if kind in b"$=!":
        end = end if rest == b"-1" else end + int(rest) + 2
        return end if end <= len(data) else None
    if kind in b"*~>%|":
        for _ in range(int(rest) * (2 if kind in b"%|" else 1)):
            found = reply_end(data, end)
            if found is None:
                return None
            end = found
    return end


@contextmanager
def our_server(cwd: Path, *options: str) -> Iterator[Place]:
    """`mvcc-kv serve --in-memory`, or with other options."""
    with serving(*(options or ("--in-memory",)), cwd=cwd) as process:
        yield Place(*process.address, is_ours=True)


@contextmanager
def real_redis(cwd: Path, *options: str) -> Iterator[Place]:
    """redis-server as Debian has it, without persistence."""
    with running_redis(cwd, *options) as port:
        yield Place("127.0.0.1", port, is_ours=False)
