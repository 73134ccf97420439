"""The machine: three clients, each connected to both servers, say the same to both.

At its end everything that is there must be the same: keys, values, and whether they expire.
"""

from __future__ import annotations

from typing import ClassVar

import hiredis
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from ...server.running import until
from ..servers import Connection, Place, reply_end
from .grammar import LATER_STEP, Arguments, commands
from .likeness import are_alike

__all__ = ["Twins"]

_CLIENTS = 3
_KEYS = st.sampled_from(["a", "b", "c", "d", "ключ"])


class Client:
    """One connection to each server. `queue`: what waits for EXEC."""

    def __init__(self, places: tuple[Place, Place]) -> None:
        self.connections = [place.connect() for place in places]
        self.queue: list[Arguments] = []

    def say(self, command: Arguments) -> tuple[bytes, bytes]:
        """The replies, which are alike."""
        for connection in self.connections:
            connection.send(*command)
        theirs, our = (connection.reply() for connection in self.connections)
        note(f"{command} -> {theirs!r}")
        assert self._are_alike(command, theirs, our), f"{command}: Redis says {theirs!r}, we say {our!r}"
        self._remember(command, theirs)
        return theirs, our

    def _are_alike(self, command: Arguments, theirs: bytes, our: bytes) -> bool:
        if theirs == our or command[0].upper() != b"EXEC" or not self.queue or not theirs.startswith(b"*"):
            return are_alike(command, theirs, our)
        parts, our_parts = members(theirs), members(our)
        if len(parts) != len(our_parts) or len(parts) != len(self.queue):
            return False
        return all(map(are_alike, self.queue, parts, our_parts))

    def _remember(self, command: Arguments, reply: bytes) -> None:
        if reply == b"+QUEUED\r\n":
            self.queue.append(command)
        elif command[0].upper() in (b"MULTI", b"EXEC", b"DISCARD", b"RESET") and not reply.startswith(b"-ERR"):
            self.queue = []

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


class Twins(RuleBasedStateMachine):
    """`places`: Redis, and ours; set on a subclass."""

    places: ClassVar[tuple[Place, Place]]

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.clients = [Client(self.places) for _ in range(_CLIENTS)]
        self.judge = Client(self.places)
        self.judge.say([b"FLUSHALL"])

    @rule(number=st.integers(0, _CLIENTS - 1), command=commands())
    def say(self, number: int, command: Arguments) -> None:
        self.steps += 1
        self.clients[number].say([self._at_this_step(word) for word in command])

    def _at_this_step(self, word: bytes) -> bytes:
        return b"%d" % (int(word[1:]) + LATER_STEP * self.steps) if word[:1] == b"~" else word

    @rule(key=_KEYS, is_set_anew=st.booleans())
    def outlive(self, key: str, is_set_anew: bool) -> None:
        """A key that ends before long, on both; nobody else speaks meanwhile."""
        soon = ["SET", key, "soon over", "PX", 5] if is_set_anew else ["PEXPIRE", key, 5]
        for connection in self.judge.connections:
            connection.ask(*soon)
        until(lambda: all(it.ask("EXISTS", key) == b":0\r\n" for it in self.judge.connections))

    @rule(source=_KEYS, copied_to=_KEYS)
    def exchange(self, source: str, copied_to: str) -> None:
        """What one dumps, the other restores."""
        theirs, ours = self.judge.connections
        dumps = theirs.asked("DUMP", source), ours.asked("DUMP", source)
        assert (dumps[0] is None) == (dumps[1] is None)
        if dumps[0] is not None:
            assert theirs.ask("RESTORE", copied_to, 0, dumps[1], "REPLACE") == b"+OK\r\n"
            assert ours.ask("RESTORE", copied_to, 0, dumps[0], "REPLACE") == b"+OK\r\n"

    @rule(options=st.sampled_from([(), ("COUNT", 1), ("COUNT", 2, "MATCH", "[a-c]"), ("TYPE", "string", "COUNT", 1)]))
    def scan(self, options: tuple[str | int, ...]) -> None:
        found = [scanned(connection, options) for connection in self.judge.connections]
        assert found[0] == found[1], (options, found)

    def teardown(self) -> None:
        try:
            if hasattr(self, "judge"):
                self._compare_everything()
        finally:
            for client in [*self.clients, self.judge]:
                client.close()

    def _compare_everything(self) -> None:
        self.judge.say([b"DBSIZE"])
        for key in sorted(self.judge.connections[0].asked("KEYS", "*")):
            self.judge.say([b"GET", key])
            self.judge.say([b"PTTL", key])


def scanned(connection: Connection, options: tuple[str | int, ...]) -> set[bytes]:
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
