"""When replies count as equal although their bytes are not: where time goes on, or Redis promises no order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis

from .grammar import Arguments

__all__ = ["are_alike"]

_SLACK_MS = 5_000


def are_alike(command: Arguments, left: bytes, right: bytes) -> bool:
    """Whether these replies to the command say the same."""
    if left == right:
        return True
    a, b = _value(left), _value(right)
    if _is_error(a) or _is_error(b) or a is None or b is None:
        return False
    rule = _RULES.get(command[0].upper())
    return rule is not None and left[:1] == right[:1] and rule(command, a, b)


def _value(reply: bytes) -> Any:
    reader = hiredis.Reader()
    reader.feed(reply)
    return reader.gets()


def _is_error(value: Any) -> bool:
    return isinstance(value, hiredis.ReplyError)


def _near(slack: int) -> Callable[[Arguments, Any, Any], bool]:
    return lambda _, a, b: min(a, b) > 0 and abs(a - b) <= slack


def _same_members(_: Arguments, a: Any, b: Any) -> bool:
    return sorted(a) == sorted(b)


def _same_type(_: Arguments, a: Any, b: Any) -> bool:
    return type(a) is type(b)


def _same_subcommand(command: Arguments, a: Any, b: Any) -> bool:
    """OBJECT tells of Redis's memory, CLIENT ID of its connections."""
    return command[1].upper() != b"GETNAME" and _same_type(command, a, b)


def _same_greeting(_: Arguments, a: Any, b: Any) -> bool:
    """HELLO: but for the client's id."""
    pairs = [dict(zip(it[::2], it[1::2], strict=True)) if isinstance(it, list) else dict(it) for it in (a, b)]
    return [{**it, b"id": 0} for it in pairs[:1]] == [{**it, b"id": 0} for it in pairs[1:]]


_RULES: dict[bytes, Callable[[Arguments, Any, Any], bool]] = {
    b"TTL": _near(_SLACK_MS // 1000),
    b"PTTL": _near(_SLACK_MS),
    b"EXPIRETIME": _near(_SLACK_MS // 1000),
    b"PEXPIRETIME": _near(_SLACK_MS),
    b"KEYS": _same_members,
    b"SCAN": _same_type,
    b"RANDOMKEY": _same_type,
    b"DUMP": _same_type,
    b"TIME": _same_type,
    b"LASTSAVE": _same_type,
    b"ROLE": _same_type,
    b"MEMORY": _same_type,
    b"SLOWLOG": _same_type,
    b"OBJECT": _same_subcommand,
    b"CLIENT": _same_subcommand,
    b"HELLO": _same_greeting,
}
