"""Arguments, in Redis's own strictness: what `string2ll` and `strtold` take, and nothing else."""

from __future__ import annotations

import re

from mvcc_kv.server.redis.failures import NOT_AN_INTEGER, Failure

__all__ = ["INT64_MAX", "INT64_MIN", "integer", "integer_of"]

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)
_INTEGER = re.compile(rb"(?:0|-?[1-9][0-9]{0,18})\Z")


def integer_of(text: bytes) -> int | None:
    """The 64-bit integer that the text is, in its one canonical form; None if it is none.

    >>> integer_of(b"-12"), integer_of(b"+1"), integer_of(b"01"), integer_of(b"9223372036854775808")
    (-12, None, None, None)
    """
    if _INTEGER.match(text) is None:
        return None
    number = int(text)
    return number if INT64_MIN <= number <= INT64_MAX else None


def integer(text: bytes, refusal: str = NOT_AN_INTEGER) -> int:
    """The same, for an argument. Raises that refusal as a `Failure`."""
    number = integer_of(text)
    if number is None:
        raise Failure(refusal)
    return number
