"""A bare echo server: what a Python server over `selectors` can do at most, with nothing to do for a command.

It answers every line with the same reply, which it reads from its standard input at the start. It is
written as one would write it well: non-blocking sockets, one recv and one send a turn for a connection.
"""

from __future__ import annotations

import selectors
import socket
import sys

__all__ = ["main"]

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class _Peer:
    """A connection: its socket, and what it has no room for yet."""

    __slots__ = ("is_waiting", "socket", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.unsent = b""
        self.is_waiting = False


def main() -> None:
    """Serve until the process is ended."""
    reply = sys.stdin.buffer.read()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, _READ)
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        for key, mask in selector.select():
            if key.data is None:
                _accept(selector, listener)
            elif mask & _WRITE:
                _flush(selector, key.data)
            else:
                _answer(selector, key.data, reply)


def _accept(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    sock, _ = listener.accept()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(sock, _READ, _Peer(sock))


def _answer(selector: selectors.BaseSelector, peer: _Peer, reply: bytes) -> None:
    try:
        data = peer.socket.recv(65536)
    except ConnectionError:
        data = b""
    if not data:
        selector.unregister(peer.socket)
        peer.socket.close()
        return
    peer.unsent = reply * data.count(b"\n")
    _flush(selector, peer)


def _flush(selector: selectors.BaseSelector, peer: _Peer) -> None:
    """Send what is there; while there is no room for all of it, read no more."""
    try:
        sent = peer.socket.send(peer.unsent)
    except BlockingIOError:
        sent = 0
    peer.unsent = peer.unsent[sent:]
    if bool(peer.unsent) != peer.is_waiting:
        peer.is_waiting = not peer.is_waiting
        selector.modify(peer.socket, _WRITE if peer.is_waiting else _READ, peer)


if __name__ == "__main__":
    main()
