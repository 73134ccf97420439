"""The table of commands: Redis's names for them, who does them, and what COMMAND tells of them.

A handler takes the session and all arguments, the name among them, and returns the reply; `session.space` is what it
reads and writes. It raises `Failure` for an error reply. One that answers later returns None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from mvcc_kv.server.redis.session import RedisSession

__all__ = ["COMMANDS", "Command", "Handler", "Keys", "command", "subcommand"]

Handler: TypeAlias = "Callable[[RedisSession, list[bytes]], bytes | None]"
Keys: TypeAlias = "tuple[int, int, int]"

NO_KEYS: Keys = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Command:
    """One command, or one of a command's subcommands (`client|id`).

    `arity`: how many arguments it takes, its name among them; -n: at least n. `keys`: the first, the last (negative:
    from the end) and the step. `flags`: as COMMAND tells them. `group`, `since`, `summary`: for COMMAND DOCS.
    """

    name: str
    handler: Handler
    arity: int
    flags: frozenset[str]
    keys: Keys = NO_KEYS
    group: str = "generic"
    since: str = "1.0.0"
    summary: str = ""
    subcommands: dict[bytes, Command] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether it may change keys."""
        return "write" in self.flags

    def takes(self, count: int) -> bool:
        """Whether so many arguments will do."""
        return count == self.arity if self.arity >= 0 else count >= -self.arity


COMMANDS: dict[bytes, Command] = {}
"""By name, in lower and in upper case: what clients send."""


def command(
    name: str,
    arity: int,
    flags: str,
    *,
    keys: Keys = NO_KEYS,
    group: str = "generic",
    since: str = "1.0.0",
    summary: str = "",
) -> Callable[[Handler], Handler]:
    """Enter a handler into the table. `flags`: words with blanks between them."""

    def enter(handler: Handler) -> Handler:
        entry = Command(name, handler, arity, frozenset(flags.split()), keys, group, since, summary)
        COMMANDS[name.encode()] = COMMANDS[name.upper().encode()] = entry
        return handler

    return enter


def subcommand(
    name: str, arity: int, flags: str, *, keys: Keys = NO_KEYS, since: str = "1.0.0", summary: str = ""
) -> Callable[[Handler], Handler]:
    """Enter a subcommand's handler, as `subcommand("client|id", 2, ...)`, under a command that is there already."""
    container, _, own = name.partition("|")

    def enter(handler: Handler) -> Handler:
        parent = COMMANDS[container.encode()]
        entry = Command(name, handler, arity, frozenset(flags.split()), keys, parent.group, since, summary)
        parent.subcommands[own.encode()] = entry
        return handler

    return enter
