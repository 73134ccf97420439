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

__all__ = ["Replaced", "Version", "versions", "visible", "without", "without_all"]

# A value of None is a tombstone: the key was deleted at that commit_ts.
Version: TypeAlias = "tuple[int, bytes | None, Version | None]"

Replaced: TypeAlias = "tuple[bytes, bytes, Version | None]"
"""A key, its new value, and the head that this takes the place of; None for a new key."""


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


def without_all(head: Version, timestamps: set[int]) -> Version:
    """The chain less the versions of these commits, of which the head is none; cost: as far as the oldest of them."""
    kept, missing = [], len(timestamps)
    node: Version | None = head
    while missing:
        if node is None:
            raise LookupError(f"{missing} of {len(timestamps)} versions are not in this chain")
        if node[0] in timestamps:
            missing -= 1
        else:
            kept.append(node)
        node = node[2]
    for ts, value, _ in reversed(kept):
        node = (ts, value, node)
    assert node is not None, "a superseded version has a newer one above it"
    return node
