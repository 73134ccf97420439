"""Version chains: what one key held, newest first.

    ts    1    2    3    4    5
    a     a1        a3        a5      a snapshot at 4 sees a3
    b          b2   x                 ... and no b (x is a tombstone)

A chain is a linked list of immutable nodes `(commit_ts, value, older)`, so a reader that holds a head
holds everything below it: whatever writers do meanwhile, it takes no lock and can't be blocked.
Taking a version out of the middle makes new nodes for those above it and leaves the old ones to
the readers that still walk them.

Rule: a chain grows at its head only, so timestamps fall along it and the head alone decides
whether a writer has lost.

Nodes are exact tuples: the garbage collector stops tracking those that hold only atoms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

__all__ = ["Version", "versions", "visible", "without"]

# A value of None is a tombstone: the key was deleted at that commit_ts.
Version: TypeAlias = "tuple[int, bytes | None, Version | None]"


def visible(head: Version | None, ts: int) -> Version | None:
    """The version that a snapshot at `ts` sees, which may be a tombstone; cost: the versions newer than `ts`."""
    while head is not None and head[0] > ts:
        head = head[2]
    return head


def versions(head: Version | None) -> Iterator[Version]:
    """The chain's nodes, newest first."""
    while head is not None:
        yield head
        head = head[2]


def without(head: Version, commit_ts: int) -> Version | None:
    """The chain less the version of `commit_ts`; cost: the versions newer than it."""
    older = head[2]
    if older is not None and older[0] == commit_ts:  # just overwritten: by far the most
        return (head[0], head[1], older[2])
    newer = []
    node: Version | None = head
    while node is not None and node[0] > commit_ts:
        newer.append(node)
        node = node[2]
    if node is None or node[0] != commit_ts:
        raise LookupError(f"no version at {commit_ts} in this chain")
    rest = node[2]
    for ts, value, _ in reversed(newer):
        rest = (ts, value, rest)
    return rest
