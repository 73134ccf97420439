"""Which command is meant by what a client sent, and whether it may say that now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mvcc_kv.server.redis.commands import COMMANDS, Command
from mvcc_kv.server.redis.failures import ONLY_SUBSCRIBING, Failure, unknown_command, unknown_subcommand

if TYPE_CHECKING:
    from mvcc_kv.server.redis.session import RedisSession

__all__ = ["command_of", "must_be_allowed"]

_TO_SUBSCRIBERS = frozenset(("subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ping", "quit", "reset"))


def command_of(session: RedisSession, arguments: list[bytes]) -> Command:
    """The command, or the subcommand, that has this name, in whatever case."""
    name = arguments[0]
    command = COMMANDS.get(name) or COMMANDS.get(name.lower())
    if command is None:
        _notice_http(session, name)
        raise unknown_command(arguments)
    if command.subcommands and len(arguments) > 1:
        found = command.subcommands.get(arguments[1].lower())
        if found is None:
            raise unknown_subcommand(command.name, arguments[1])
        command = found
    return command


def _notice_http(session: RedisSession, name: bytes) -> None:
    """A browser that was tricked into talking to us is not talked to."""
    if name.lower() in (b"post", b"host:"):
        session.speaks_http = session.wants_to_close = True


def must_be_allowed(session: RedisSession, command: Command) -> None:
    """Raise the `Failure` that it is answered with if it isn't."""
    if session.is_locked and "no_auth" not in command.flags:
        raise Failure("NOAUTH Authentication required.")
    if session.queue is not None and "no_multi" in command.flags:
        raise Failure("ERR Command not allowed inside a transaction")
    if _only_listens(session) and command.name not in _TO_SUBSCRIBERS:
        raise Failure(ONLY_SUBSCRIBING.format(command.name))


def _only_listens(session: RedisSession) -> bool:
    """Whether it is a subscriber to RESP2, which has no other way to be told. A transaction can be ended always."""
    return session.subscriptions is not None and session.proto == 2 and session.opened is None
