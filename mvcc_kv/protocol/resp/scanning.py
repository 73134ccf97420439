r"""Scanning: the commands that are whole and written as every client writes them, many at a time.

    b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"    split at each \r\n
     *2    $3    GET    $1    a            so many tokens follow the count, and each second one is the next one's length

What a length should read as is looked up, not computed. Whatever isn't as it should be ends the scan and is left to
the careful reader in `requests.py`: what a scan takes, that one would take too.

`scan` here is the rule. `_scanning.c` is the same, compiled: `compiled_scan`, None where there was no compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from mvcc_kv.compiled import compiled_twin

__all__ = ["BY_HEART_BYTES", "BY_HEART_MEMBERS", "SCAN_BYTES_MAX", "Command", "Scan", "compiled_scan", "scan"]

Command: TypeAlias = list[bytes]
# Takes whole commands off the beginning: returns them, and the rest.
Scan: TypeAlias = Callable[[bytes], tuple[list[Command], bytes]]

# Splitting more than this at once costs more memory than it saves time.
SCAN_BYTES_MAX = 1024 * 1024
# The longest argument, and the most of them, whose length and count are looked up; what is larger is rare.
BY_HEART_BYTES = 4095
BY_HEART_MEMBERS = 1024

_MEMBERS = {b"*%d" % number: number for number in range(1, BY_HEART_MEMBERS + 1)}
_LENGTHS = [b"$%d" % number for number in range(BY_HEART_BYTES + 1)]
_LENGTH_OF = {text: number for number, text in enumerate(_LENGTHS)}


def scan(data: bytes) -> tuple[list[Command], bytes]:
    r"""Take the commands off the beginning that are whole and canonical: returns them, and the rest.

    A large argument ends it. Two and three arguments are what most commands have, and taken apart at once.

    >>> scan(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPI")
    ([[b'GET', b'a']], b'*1\r\n$4\r\nPI')
    """
    tokens = data.split(b"\r\n")
    last, lengths = len(tokens) - 1, _LENGTHS
    commands: list[Command] = []
    at = 0
    try:
        while at < last:
            count = tokens[at]
            if count == b"*3" and at + 7 <= last:
                _, n, a, m, b, k, c = tokens[at : at + 7]
                if lengths[len(a)] == n and lengths[len(b)] == m and lengths[len(c)] == k:
                    commands.append([a, b, c])
                    at += 7
                    continue
            elif count == b"*2" and at + 5 <= last:
                _, n, a, m, b = tokens[at : at + 5]
                if lengths[len(a)] == n and lengths[len(b)] == m:
                    commands.append([a, b])
                    at += 5
                    continue
            arguments, at = _scan_arguments(tokens, at + 1, _MEMBERS[count])
            commands.append(arguments)
    except LookupError:
        pass  # it isn't whole, or larger than what is known by heart, or no such command at all
    return commands, b"\r\n".join(tokens[at:])


def _scan_arguments(tokens: list[bytes], at: int, members: int) -> tuple[Command, int]:
    r"""The arguments from `at` on, and where they end; one that holds \r\n is put together again."""
    arguments = []
    for _ in range(members):
        length, start, at = _LENGTH_OF[tokens[at]], at + 1, at + 2
        argument = tokens[start]
        if len(argument) < length:
            missing = length - len(argument)
            while missing > 0:
                missing -= 2 + len(tokens[at])
                at += 1
            argument = b"\r\n".join(tokens[start:at])
        if len(argument) != length:
            raise LookupError
        arguments.append(argument)
    tokens[at]  # its \r\n has come
    return arguments, at


_TWIN = compiled_twin("mvcc_kv.protocol.resp._scanning")
compiled_scan: Scan | None = None if _TWIN is None else _TWIN.scan
