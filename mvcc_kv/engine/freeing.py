"""Freeing what a flush superseded, all at once, where no snapshot is live: then nobody sees more than the newest.

    published up to 7, nobody reads the past:

    a    9 -> 8 -> 6 -> 4 -> 3       9 and 8 are not seen yet, 6 is what everybody sees: below it all goes
    b    5 -> 2                      5

So chains are cut below their newest visible version, in one pass, with no question asked about each version.

`free_in_python` is the rule; `_freeing.c` is the same, compiled, but that it may cut a chain in place where no reader
holds any of it: see `compiled.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, MutableMapping
from operator import itemgetter
from typing import TypeAlias, cast

from mvcc_kv.compiled import compiled_twin
from mvcc_kv.engine.chains import Version

__all__ = ["SupersededVersion", "free", "free_in_python", "ripe"]

SupersededVersion: TypeAlias = tuple[int, int, bytes, int]
"""By which commit, its own commit_ts, its key, and how many bytes its value has."""

_Heads: TypeAlias = "MutableMapping[bytes, Version]"

_by_commit = itemgetter(0)
_overwrite = cast("Callable[[_Heads, bytes, Version], None]", dict.__setitem__)


def free_in_python(heads: _Heads, superseded: list[SupersededVersion], ts: int) -> list[bytes]:
    """Take what commits up to `ts` superseded out of the list, and out of the chains; the keys of lone tombstones.

    The list is in the order of those commits, and knows every version that is not its key's newest. The keys returned
    are those of which nothing is left now but that they were deleted.
    """
    count = ripe(superseded, ts)
    keys = dict.fromkeys(it[2] for it in superseded[:count])
    del superseded[:count]
    return [key for key in keys if _cut(heads, key, ts)]


def ripe(superseded: list[SupersededVersion], ts: int) -> int:
    """How many of these versions were superseded by commits up to `ts`."""
    if superseded and superseded[-1][0] <= ts:  # all: the usual case where nothing gathers meanwhile
        return len(superseded)
    return bisect_right(superseded, ts, key=_by_commit)


def _cut(heads: _Heads, key: bytes, ts: int) -> bool:
    """Take away what is below the newest version up to `ts`; whether the chain is but a tombstone then."""
    newer = []
    node: Version | None = heads[key]
    while node is not None and node[0] > ts:
        newer.append(node)
        node = node[2]
    assert node is not None, "a superseded version has a newer one above it"
    rest: Version = (node[0], node[1], None)
    for commit_ts, value, _ in reversed(newer):
        rest = (commit_ts, value, rest)
    _overwrite(heads, key, rest)
    return not newer and rest[1] is None


_TWIN = compiled_twin("mvcc_kv.engine._freeing")
free: Callable[[_Heads, list[SupersededVersion], int], list[bytes]]
free = free_in_python if _TWIN is None else _TWIN.free
