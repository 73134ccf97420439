"""A client of both servers at once: it says the same to both, and asserts that the replies are alike."""

from __future__ import annotations

from collections.abc import Sequence

import hiredis
from hypothesis import note

from ..servers import Connection, Place, packed, reply_end
from .grammar import Arguments
from .likeness import are_alike

__all__ = ["Client", "members", "scanned"]

_BEGIN_OR_END = (b"MULTI", b"EXEC", b"DISCARD", b"RESET")


class Client:
    """One connection to each server. `queue`: what waits for EXEC; None if there was no MULTI.

    `is_in_step`: the servers have not disagreed before it yet; afterwards there may be replies that nobody heard.
    """

    def __init__(self, places: tuple[Place, Place]) -> None:
        self.connections = [place.connect() for place in places]
        self.queue: list[Arguments] | None = None
        self.is_in_step = True

    def say(self, *commands: Arguments) -> list[bytes]:
        """Redis's replies, which ours are like. The commands travel together, to both servers at once."""
        request = b"".join(map(packed, commands))
        for connection in self.connections:
            connection.socket.sendall(request)
        return [self._hear(command) for command in commands]

    def _hear(self, command: Arguments) -> bytes:
        theirs, ours = (connection.reply() for connection in self.connections)
        note(f"{command} -> {theirs!r}")
        self.is_in_step = self._are_alike(command, theirs, ours)
        assert self.is_in_step, f"{command}: Redis says {theirs!r}, we say {ours!r}"
        self._remember(command, theirs)
        return theirs

    def _are_alike(self, command: Arguments, theirs: bytes, ours: bytes) -> bool:
        if theirs == ours or command[0].upper() != b"EXEC" or not self.queue or not theirs.startswith(b"*"):
            return are_alike(command, theirs, ours)
        parts, our_parts = members(theirs), members(ours)
        if len(parts) != len(our_parts) or len(parts) != len(self.queue):
            return False
        return all(map(are_alike, self.queue, parts, our_parts))

    def _remember(self, command: Arguments, reply: bytes) -> None:
        if reply == b"+QUEUED\r\n":
            assert self.queue is not None
            self.queue.append(command)
        elif command[0].upper() in _BEGIN_OR_END and not reply.startswith(b"-ERR"):
            self.queue = [] if command[0].upper() == b"MULTI" else None

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


def scanned(connection: Connection, options: Sequence[str | int]) -> set[bytes]:
    """All keys that SCAN finds from the beginning to the end."""
    cursor, found = b"0", set[bytes]()
    while True:
        reply = connection.asked("SCAN", cursor, *options)
        assert not isinstance(reply, hiredis.ReplyError), reply
        cursor, keys = reply
        found |= set(keys)
        if cursor == b"0":
            return found


def members(reply: bytes) -> list[bytes]:
    """An array's members, each as bytes.

    >>> members(b"*2\\r\\n+OK\\r\\n*1\\r\\n:1\\r\\n")
    [b'+OK\\r\\n', b'*1\\r\\n:1\\r\\n']
    """
    at, found = reply.index(b"\r\n") + 2, []
    while at < len(reply):
        end = reply_end(reply, at)
        assert end is not None
        found.append(reply[at:end])
        at = end
    return found
