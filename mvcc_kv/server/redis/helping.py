"""HELP of a command that has subcommands, in Redis's form."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.commands import subcommand
from mvcc_kv.server.redis.session import RedisSession

__all__ = ["enter_help"]


def enter_help(name: str, text: str, *, since: str) -> None:
    """Enter the command's HELP into the table. `text`: its lines, indented by four or eight blanks."""
    lines = [line[4:] for line in text.strip("\n").rstrip().splitlines()]
    said = [
        f"{name.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        *lines,
        "HELP",
        "    Prints this help.",
    ]
    reply = resp.array([resp.simple(line) for line in said])

    @subcommand(
        f"{name}|help", 2, "loading stale", since=since, summary="Show helpful text about the different subcommands"
    )
    def show(_: RedisSession, __: list[bytes]) -> bytes:
        return reply
