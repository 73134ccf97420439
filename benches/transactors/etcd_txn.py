"""Transactions in etcd: keys are read, and written by a Txn that compares their revisions with those that were read.

    Txn [Range a ...]  ->  Txn if mod_revision(a) = 7 ... then Put a ...        succeeded: true or false

gRPC's bytes are our own, as in the scans: `etcd.py`.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from benches.etcd import TXN_PATH, Http2, compare_and_put_message, is_succeeded, read_all_message, read_items
from benches.load import Client
from benches.transactors.attempts import Script, incremented, key_name

__all__ = ["ETCD"]

_AT_ONCE = 100


class _EtcdConnection:
    """A connection with one call of Txn at a time."""

    def __init__(self, port: int) -> None:
        self._socket: socket.socket = Client(port).socket
        self._http2 = Http2()
        self._socket.sendall(self._http2.begin())
        self.fileno = self._socket.fileno
        self.close = self._socket.close

    def begin(self, request: bytes) -> None:
        """Call Txn with this message."""
        self._socket.sendall(self._http2.call(TXN_PATH, request))

    def take(self) -> bytes | None:
        """The answer's message, or None as long as it is not whole."""
        received = self._socket.recv(65536)
        if not received:
            raise RuntimeError("etcd has closed the connection")
        answer, sent = self._http2.hear(received)
        if sent:
            self._socket.sendall(sent)
        return answer

    def call(self, request: bytes) -> bytes:
        """Call and wait."""
        self.begin(request)
        while (answer := self.take()) is None:
            pass
        return answer

    def attempt(self, keys: Sequence[bytes]) -> Script:
        """Read, then compare and put."""
        items = read_items((yield read_all_message(keys)))
        puts = [(key, revision, incremented(value)) for key, revision, value in items]
        return is_succeeded((yield compare_and_put_message(puts)))


class _Etcd:
    """A member."""

    def connect(self, port: int) -> _EtcdConnection:
        return _EtcdConnection(port)

    def stock(self, port: int, keys: int) -> None:
        connection = self.connect(port)
        for names in _names(keys):
            connection.call(compare_and_put_message([(key, None, incremented(b"-1")) for key in names]))
        connection.close()

    def total(self, port: int, keys: int) -> int:
        connection = self.connect(port)
        answers = [connection.call(read_all_message(names)) for names in _names(keys)]
        connection.close()
        return sum(int(value) for answer in answers for _, _, value in read_items(answer))


def _names(keys: int) -> list[list[bytes]]:
    """All keys, as many at once as etcd takes."""
    numbers = [range(start, min(start + _AT_ONCE, keys)) for start in range(0, keys, _AT_ONCE)]
    return [[key_name(number) for number in some] for some in numbers]


ETCD = _Etcd()
