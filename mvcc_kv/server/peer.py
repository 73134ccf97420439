"""A peer: a socket, the connection that thinks for it, and when something is due for it."""

from __future__ import annotations

import socket
from selectors import EVENT_READ

from mvcc_kv.server.connection import Connection
from mvcc_kv.server.deadlines import Timer

__all__ = ["Peer"]


class Peer:
    """A socket and its connection."""

    __slots__ = (
        "active_at",
        "connection",
        "descriptor",
        "events",
        "has_ended",
        "has_quiet_timer",
        "heartbeat_timer",
        "idle_timer",
        "is_open",
        "listens_since",
        "name",
        "socket",
        "stall_timer",
        "took_at",
        "transaction_timer",
        "waits_for",
    )

    def __init__(self, sock: socket.socket, name: str, connection: Connection, now: float) -> None:
        self.socket = sock
        self.descriptor = sock.fileno()
        self.name = name
        self.connection = connection
        self.events = EVENT_READ  # what the selector watches it for
        self.is_open = True
        self.waits_for: tuple[bytes, int] | None = (
            None  # a reply, all that it waits for, and the commit that this tells of
        )
        self.has_ended = False
        self.has_quiet_timer = False
        self.heartbeat_timer: Timer | None = None
        self.idle_timer: Timer | None = None
        self.stall_timer: Timer | None = None
        self.transaction_timer: Timer | None = None
        self.active_at = now  # when it last sent something, or took something that we had for it
        self.took_at = now  # when it last took something
        self.listens_since = now  # when it last sent something, or we began to listen again

    @property
    def can_receive(self) -> bool:
        """Whether more may be taken in."""
        return self.is_open and self.connection.can_receive
