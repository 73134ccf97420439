r"""Inline commands: the arguments of a line that a person typed, with quotes and escapes as in Redis.

SET greeting "hello\r\n"     double quotes know \n \r \t \b \a, \xHH, and \ before anything else
SET greeting 'it\'s'         single quotes know \' only
SET a"b c" d                 a quoted part may follow a bare one; behind a closing quote comes a blank or the end
"""

from __future__ import annotations

import re

__all__ = ["split_arguments"]

_BLANKS = re.compile(rb"[ \t\n\v\f\r]*")
# A bare part ends at a quote or at one of four blanks: not at \v and \f, though both are skipped before an argument.
_BARE = re.compile(rb"[^ \t\n\r\"']+")
_DOUBLE_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"(?=[ \t\n\v\f\r]|\Z)', re.DOTALL)
_SINGLE_QUOTED = re.compile(rb"'((?:[^'\\]|\\'|\\(?!'))*)'(?=[ \t\n\v\f\r]|\Z)", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_MEANINGS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def split_arguments(line: bytes) -> list[bytes] | None:
    r"""The line's arguments, or None if its quotes are unbalanced. As in C, a NUL byte ends the line.

    >>> split_arguments(rb'''SET k "a \x41\n" 'it\'s' ""''')
    [b'SET', b'k', b'a A\n', b"it's", b'']
    >>> split_arguments(b'SET k "a')
    """
    line = line.partition(b"\0")[0]
    if b'"' not in line and b"'" not in line and b"\v" not in line and b"\f" not in line:
        return line.split()
    arguments = []
    at = _end_of_blanks(line, 0)
    while at < len(line):
        found = _argument(line, at)
        if found is None:
            return None
        argument, at = found
        arguments.append(argument)
        at = _end_of_blanks(line, at)
    return arguments


def _end_of_blanks(line: bytes, at: int) -> int:
    blanks = _BLANKS.match(line, at)
    return blanks.end() if blanks else at


def _argument(line: bytes, at: int) -> tuple[bytes, int] | None:
    """The argument that begins at `at`, and where it ends; a closing quote ends it."""
    bare = _BARE.match(line, at)
    argument, at = (bare[0], bare.end()) if bare else (b"", at)
    quote = line[at : at + 1]
    if quote == b'"':
        quoted = _DOUBLE_QUOTED.match(line, at)
        return quoted and (argument + _ESCAPE.sub(_meaning, quoted[1]), quoted.end())
    if quote == b"'":
        quoted = _SINGLE_QUOTED.match(line, at)
        return quoted and (argument + quoted[1].replace(b"\\'", b"'"), quoted.end())
    return argument, at


def _meaning(escape: re.Match[bytes]) -> bytes:
    if escape[1] is not None:
        return bytes.fromhex(escape[1].decode())
    return _MEANINGS.get(escape[2], escape[2])
