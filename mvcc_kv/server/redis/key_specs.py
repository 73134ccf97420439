"""Key specifications: where a command's arguments are keys, and what it does with each.

    SET a 1         a: OW update              written, whatever was there
    RENAME a b      a: RW access delete       b: OW update
    BITOP OR d s    d: OW update              s, and all behind it: RO access

Redis's words: RO, RW and OW say whether the old value is read, written, or written unseen, RM that the key is removed;
`access` that the client sees something of the value, `update`, `insert` and `delete` what happens to it. SET and
BITFIELD do this or that as their options say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mvcc_kv.server.redis.commands import Command

__all__ = ["KeySpec", "key_specs", "keys_of", "keys_with_accesses"]


@dataclass(frozen=True, slots=True)
class KeySpec:
    """`first`, `last` (negative: from the end), `step`: which arguments. `accesses`: what is done with these keys."""

    first: int
    last: int
    step: int
    accesses: tuple[str, ...]
    notes: str = ""

    def keys(self, arguments: list[bytes]) -> list[bytes]:
        """Those among a command's arguments."""
        end = self.last if self.last >= 0 else len(arguments) + self.last
        return arguments[self.first : end + 1 : self.step]


_READS, _CHANGES = "RO access", "RW access update"
_ACCESSES = {
    name: accesses
    for accesses, names in {
        "RO": "exists memory|usage object|encoding object|freq object|idletime object|refcount strlen touch type watch",
        "RM delete": "del unlink",
        "RW access delete": "getdel",
        "RW insert": "append",
        "RW update": "expire expireat persist pexpire pexpireat setrange",
        "OW insert": "msetnx setnx",
        "OW update": "mset psetex restore setex",
    }.items()
    for name in names.split()
}
# Of these, the first key is one thing and the rest another.
_FIRST_AND_REST = {
    "bitop": ("OW update", _READS),
    "copy": (_READS, "OW update"),
    "rename": ("RW access delete", "OW update"),
    "renamenx": ("RW access delete", "OW insert"),
}
_NOTES = {
    "bitfield": "This command allows both access and modification of the key",
    "getex": "RW and UPDATE because it changes the TTL",
    "set": "RW and ACCESS due to the optional `GET` argument",
}


def key_specs(entry: Command) -> list[KeySpec]:
    """Where the command's keys are; none if it has none."""
    first, last, step = entry.keys
    if not first:
        return []
    if entry.name in _FIRST_AND_REST:
        one, rest = _FIRST_AND_REST[entry.name]
        return [KeySpec(first, first, 1, tuple(one.split())), KeySpec(first + 1, last, step, tuple(rest.split()))]
    accesses = _ACCESSES.get(entry.name) or (_CHANGES if entry.writes else _READS)
    if entry.name in _VARIABLE:
        accesses += " variable_flags"
    return [KeySpec(first, last, step, tuple(accesses.split()), _NOTES.get(entry.name, ""))]


def keys_of(entry: Command, arguments: list[bytes]) -> list[bytes]:
    """Which of a command's arguments are keys."""
    return [key for spec in key_specs(entry) for key in spec.keys(arguments)]


def keys_with_accesses(entry: Command, arguments: list[bytes]) -> list[tuple[bytes, tuple[str, ...]]]:
    """The keys, and what this very command does with each."""
    vary = _VARIABLE.get(entry.name)
    asked = tuple(vary(arguments).split()) if vary is not None else ()
    return [(key, asked or spec.accesses) for spec in key_specs(entry) for key in spec.keys(arguments)]


def _accesses_of_set(arguments: list[bytes]) -> str:
    return _CHANGES if any(option.lower() == b"get" for option in arguments[3:]) else "OW update"


def _accesses_of_bitfield(arguments: list[bytes]) -> str:
    """It only reads if it consists of nothing but GETs."""
    at = 2
    while at < len(arguments):
        takes = {b"get": 2, b"overflow": 1}.get(arguments[at].lower())
        if takes is None or at + takes >= len(arguments):
            return _CHANGES
        at += 1 + takes
    return _READS


_VARIABLE: dict[str, Callable[[list[bytes]], str]] = {"bitfield": _accesses_of_bitfield, "set": _accesses_of_set}
