"""What a real redis-server makes of the same bytes."""

from __future__ import annotations

import socket
from contextlib import suppress

__all__ = ["STREAM_BYTES", "answers"]

STREAM_BYTES = 2_048  # Redis reads so much at once, and writes the answers to it at once


def answers(port: int, stream: bytes, *, half_close: bool = True) -> bytes:
    """All that the server sends for the stream until it closes; without `half_close` only an error makes it close.

    What follows an error should have come with it: a server that closes with bytes unread takes its answers back. And
    who has half closed gets no more than one write's answers.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(stream)
        if half_close:
            with suppress(OSError):  # it may have closed already
                connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        while piece := connection.recv(65536):
            received += piece
    return bytes(received)
