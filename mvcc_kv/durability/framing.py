"""Framing: many commits become one piece of log, each record chained to the one before.

    commits   body 7         key, value 8          key, value 9
                |                 |                     |
    records   [head|body]  [head|head of lane|kv]  [head|head of lane|kv]     one `bytes`, one write
                 crc ------> chain    crc ---------> chain   crc -----> what the next piece continues

A record's checksum takes in the one before, so this goes one after the other; what is saved is a dozen objects a
commit. The format is that of `records.py`, whose encoders are what `frame_in_python`, the rule, puts together.
`_framing.c` is the same, compiled: see `compiled.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from mvcc_kv.compiled import compiled_twin
from mvcc_kv.durability.records import encode_record, encode_single_write

__all__ = ["Framed", "frame", "frame_in_python"]

Framed: TypeAlias = "bytes | tuple[bytes, bytes]"
"""A commit to frame: its body, or the key and the value of its only write."""


def frame_in_python(
    commits: Sequence[Framed], head: bytes, first_ts: int, durable_ts: int, chain: int
) -> tuple[bytes, int]:
    """The records of these commits, a list, from `first_ts` on, and the last one's crc.

    `head`: what the bodies of single writes begin with, see `single_write_head`. `durable_ts` and `chain` as in
    `encode_record`.
    """
    parts = []
    for commit_ts, commit in enumerate(commits, first_ts):
        body = commit if type(commit) is bytes else encode_single_write(head, *commit)
        record, chain = encode_record(body, commit_ts, durable_ts, chain)
        parts.append(record)
    return b"".join(parts), chain


_TWIN = compiled_twin("mvcc_kv.durability._framing")
frame: Callable[[Sequence[Framed], bytes, int, int, int], tuple[bytes, int]]
frame = frame_in_python if _TWIN is None else _TWIN.frame
