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
_DONE_AT_ONCE = frozenset(("exec", "discard", "multi", "watch", "quit", "reset"))
_SAID_AT_ANY_TIME = frozenset(("quit", "reset"))


@dataclass(frozen=True, slots=True)
class Command:
    """One command, or one of a command's subcommands (`client|id`).

    `arity`: how many arguments it takes, its name among them; -n: at least n. `keys`: the first, the last (negative:
    from the end) and the step. `flags`: as COMMAND tells them. `group`, `since`, `summary`: for COMMAND DOCS.

    What sessions ask of each command that they execute is known beforehand. `writes`: it may change keys. `is_queued`:
    after MULTI it waits for EXEC. `may_be_queued`: it may come after MULTI. `heeds_transaction`: it has no meaning of
    its own when a transaction has come to an end before it. `names_its_keys`: it looks at no others.
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
    writes: bool = field(init=False)
    is_queued: bool = field(init=False)
    may_be_queued: bool = field(init=False)
    heeds_transaction: bool = field(init=False)
    names_its_keys: bool = field(init=False)

    def __post_init__(self) -> None:
        known = {
            "writes": "write" in self.flags,
            "is_queued": self.name not in _DONE_AT_ONCE,
            "may_be_queued": "no_multi" not in self.flags,
            "heeds_transaction": self.name not in _SAID_AT_ANY_TIME,
            "names_its_keys": self.keys != NO_KEYS,
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)

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
