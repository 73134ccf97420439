"""The machine: three clients, each connected to both servers, say the same to both.

Each step is many commands: a burst that travels together, or a whole transaction (`plays.py`). After each, everything
that is there must be the same on both: the keys, their values, and when they expire.
"""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ...server.running import until
from ..servers import Place
from .everyday import KEYS
from .grammar import ALL_KEYS, LATER_STEP_S, Arguments, commands
from .pairs import Client, scanned
from .plays import Line, bursts, plays

__all__ = ["Twins"]

_CLIENTS = 3
_CLIENT = st.integers(0, _CLIENTS - 1)
_KEY = st.sampled_from(KEYS)
_EVERY_KEY = [key.encode() for key in ALL_KEYS]
_DIGEST: list[Arguments] = [
    [b"KEYS", b"*"],
    [b"MGET", *_EVERY_KEY],
    *([b"PEXPIRETIME", key] for key in _EVERY_KEY),
    *([name, key.encode()] for name in (b"EXPIRETIME", b"TTL", b"PTTL") for key in KEYS),
    [b"DBSIZE"],  # last: Redis counts what has expired, until somebody looks at it
]
_SOON_MS, _RATHER_SOON_MS = 5, 30
_SCANS: list[tuple[str | int, ...]] = [("COUNT", 1), ("COUNT", 2, "MATCH", "[a-c]"), ("TYPE", "string", "COUNT", 1)]


class Twins(RuleBasedStateMachine):
    """`places`: Redis, and ours; set on a subclass. `said`: how many commands, digests not counted."""

    places: ClassVar[tuple[Place, Place]]
    said: ClassVar[int] = 0
    examples: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.words = 0
        self.clients = [Client(self.places) for _ in range(_CLIENTS)]
        self.judge = Client(self.places)
        self.judge.say([b"FLUSHALL"])
        type(self).examples += 1

    @rule(number=_CLIENT, commands=bursts())
    def do(self, number: int, commands: list[Arguments]) -> None:
        self._settle(number)
        self._say(number, *commands)

    @rule(number=_CLIENT, lines=plays())
    def transact(self, number: int, lines: list[Line]) -> None:
        self._settle(number)
        self._settle(number - 1)
        for is_other, part in groupby(lines, key=lambda it: it.is_other):
            self._say(number - is_other, *(it.command for it in part))

    @rule(number=_CLIENT, commands=st.lists(commands(), min_size=1, max_size=10))
    def say(self, number: int, commands: list[Arguments]) -> None:
        """Anything, odd or spoilt; a MULTI among it stays open until the client's next step of another kind."""
        self._say(number, *commands)

    def _settle(self, number: int) -> None:
        if self.clients[number].queue is not None:
            self._say(number, [b"EXEC"])
            self.both_hold_the_same()

    def _say(self, number: int, *commands: Arguments) -> None:
        self.clients[number].say(*map(self._at_this_word, commands))
        type(self).said += len(commands)

    def _at_this_word(self, command: Arguments) -> Arguments:
        """With times of its own: see `LATER_STEP_S`."""
        self.words += 1
        return [_timed(word, self.words) if word[:1] in (b"~", b"^") else word for word in command]

    @rule(number=_CLIENT, one=_KEY, other=_KEY, kind=st.sampled_from(["scan", "exchange", "outlive", "watch"]))
    def try_sundry(self, number: int, one: str, other: str, kind: str) -> None:
        if kind == "scan":
            self._scan(_SCANS[KEYS.index(one)])
        elif kind == "exchange":
            self._exchange(one, other)
        elif one == other:  # seldom, for it takes long
            self._outlive(one, number if kind == "watch" else None)

    def _outlive(self, key: str, watcher: int | None) -> None:
        """A key that ends before long, on both, watched by one or not; nobody else speaks meanwhile."""
        if watcher is not None:
            self._settle(watcher)
        for connection in self.judge.connections:
            connection.ask("SET", key, "soon over", "PX", _SOON_MS if watcher is None else _RATHER_SOON_MS)
        if watcher is not None:
            self._watch_in_time(watcher, key)
        until(lambda: all(it.ask("EXISTS", key) == b":0\r\n" for it in self.judge.connections))
        if watcher is not None:
            self._say(watcher, [b"MULTI"], [b"SET", key.encode(), b"was over"], [b"EXEC"])

    def _watch_in_time(self, watcher: int, key: str) -> None:
        """Watch it while it is there; if one server was too late for that, watch nothing."""
        self._say(watcher, [b"WATCH", key.encode()])
        if any(it.ask("EXISTS", key) == b":0\r\n" for it in self.judge.connections):
            self._say(watcher, [b"UNWATCH"])

    def _exchange(self, source: str, copied_to: str) -> None:
        """What one dumps, the other restores."""
        theirs, ours = self.judge.connections
        dumps = theirs.asked("DUMP", source), ours.asked("DUMP", source)
        assert (dumps[0] is None) == (dumps[1] is None)
        if dumps[0] is not None:
            assert theirs.ask("RESTORE", copied_to, 0, dumps[1], "REPLACE") == b"+OK\r\n"
            assert ours.ask("RESTORE", copied_to, 0, dumps[0], "REPLACE") == b"+OK\r\n"

    def _scan(self, options: tuple[str | int, ...]) -> None:
        found = [scanned(connection, options) for connection in self.judge.connections]
        assert found[0] == found[1], (options, found)

    @invariant()
    def both_hold_the_same(self) -> None:
        self.judge.say(*_DIGEST)

    def teardown(self) -> None:
        try:
            if all(client.is_in_step for client in [*self.clients, self.judge]):
                self._compare_everything()
        finally:
            for client in [*self.clients, self.judge]:
                client.close()

    def _compare_everything(self) -> None:
        """Each key by itself, those too that a spoilt command made."""
        for key in sorted(self.judge.connections[0].asked("KEYS", "*")):
            self.judge.say([b"GET", key], [b"TYPE", key], [b"TTL", key], [b"PTTL", key])


def _timed(word: bytes, number: int) -> bytes:
    step = LATER_STEP_S * (1 if word[:1] == b"~" else 1000)
    return b"%d" % (int(word[1:]) + step * number)
