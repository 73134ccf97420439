"""The slow log: the last commands that took long."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvcc_kv.server.redis.commands import Command
    from mvcc_kv.server.redis.session import RedisSession

__all__ = ["ENTRIES_MAX", "SlowEntry", "SlowLog"]

ENTRIES_MAX = 128
_ARGUMENTS_MAX = 32
_ARGUMENT_BYTES_MAX = 128
_REDACTED = b"(redacted)"


@dataclass(frozen=True, slots=True)
class SlowEntry:
    """One slow command, as SLOWLOG GET tells of it."""

    number: int
    at_s: int
    took_us: int
    arguments: list[bytes]
    address: str
    name: bytes


class SlowLog:
    """Entries, newest first."""

    def __init__(self) -> None:
        self.entries: deque[SlowEntry] = deque()
        self.entries_max = ENTRIES_MAX
        self._next = 0

    def note(self, session: RedisSession, command: Command, arguments: list[bytes], took_s: float) -> None:
        """A command took so long."""
        if "skip_slowlog" in command.flags:
            return
        at_s = session.services.store.now_us() // 1_000_000
        shown = _shortened(_redacted(command.name, arguments))
        entry = SlowEntry(self._next, at_s, int(took_s * 1_000_000), shown, session.address or "", session.name)
        self._next += 1
        self.entries.appendleft(entry)
        self.trim()

    def trim(self) -> None:
        """Forget what is too much."""
        while len(self.entries) > self.entries_max:
            self.entries.pop()


def _redacted(name: str, arguments: list[bytes]) -> list[bytes]:
    """The command without its passwords."""
    if name == "auth":
        return arguments[:1] + [_REDACTED] * (len(arguments) - 1)
    shown = list(arguments)
    if name == "hello":
        for at, word in enumerate(arguments):
            if word.lower() == b"auth":
                shown[at + 1 : at + 3] = [_REDACTED] * len(shown[at + 1 : at + 3])
    if name == "config|set":
        for at in range(3, len(shown), 2):
            if shown[at - 1].lower() in (b"requirepass", b"masterauth", b"masteruser"):
                shown[at] = _REDACTED
    return shown


def _shortened(arguments: list[bytes]) -> list[bytes]:
    shown = [_cut(argument) for argument in arguments[:_ARGUMENTS_MAX]]
    if len(arguments) > _ARGUMENTS_MAX:
        shown[-1] = b"... (%d more arguments)" % (len(arguments) - _ARGUMENTS_MAX + 1)
    return shown


def _cut(argument: bytes) -> bytes:
    left = len(argument) - _ARGUMENT_BYTES_MAX
    return argument if left <= 0 else argument[:_ARGUMENT_BYTES_MAX] + b"... (%d more bytes)" % left
