r"""A checkpoint's entries, put together and cut out of its text: `\n"alice": 90,\n"bob": {"balance": 1.0}`.

    "a": 1,  "b": 2,  ...  "say \"hi\"": 3,  "x": 4,  ...
    '---- plain: in bulk -' '--- one by one' '- in bulk --

An entry is plain if its key has nothing escaped and a comma follows, so by far the most are. Those are cut in bulk, by
`cut_plain`, and what it stops at one by one, by the form that all of them have. Whoever cuts, the entries are the same;
that is how it is tested.

`cut_plain_in_python` cuts as much as a regular expression finds in a stretch of the text, if it all fits. `_entries.c`
is its twin: it stops at the very entry. The other way `join_entries` has a twin too, which leaves alone what is not
plain ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TypeAlias

import msgspec

from mvcc_kv.compiled import compiled_twin
from mvcc_kv.values import json_string

__all__ = [
    "STRETCH_BYTES",
    "CutPlain",
    "cut_plain",
    "cut_plain_in_python",
    "join_entries",
    "join_entries_in_python",
    "read_entries",
]

CutPlain: TypeAlias = "Callable[[bytes, int, int, dict[bytes, bytes]], int]"
"""Takes the plain entries from one place in the text on, up to another at most; where it stopped, between two."""

STRETCH_BYTES = 1 << 16
_FORM = re.compile(rb'\n"((?:[^"\\\n]++|\\[^\n])*+)": ([^\n]++)')
_PLAIN_FORM = re.compile(rb'\n"([^"\\\n]*+)": ([^\n]+),')
_AROUND_BYTES = len(b'\n"": ,')


def cut_plain_in_python(text: bytes, at: int, end: int, items: dict[bytes, bytes]) -> int:
    """Take stretches of plain entries; stops before the stretch that has anything else in it."""
    while at < end:
        stop = text.find(b"\n", min(at + STRETCH_BYTES, end), end)
        stop = end if stop < 0 else stop
        found = _PLAIN_FORM.findall(text, at, stop)
        if sum(map(len, chain.from_iterable(found))) + _AROUND_BYTES * len(found) != stop - at:
            break  # something between them was skipped
        items.update(found)
        at = stop
    return at


_twin = compiled_twin("mvcc_kv.durability._entries")
cut_plain: CutPlain = cut_plain_in_python if _twin is None else _twin.cut_plain
_join_plain: Callable[[Sequence[tuple[bytes, bytes]]], bytes | None] | None = (
    None if _twin is None else _twin.join_plain
)


def join_entries(items: list[tuple[bytes, bytes]]) -> bytes:
    """The items as entries, each on its line, with commas between them."""
    joined = None if _join_plain is None else _join_plain(items)
    return join_entries_in_python(items) if joined is None else joined


def join_entries_in_python(items: list[tuple[bytes, bytes]]) -> bytes:
    """The same, whatever there is in keys and values."""
    return b",\n".join([b"%b: %b" % (json_string(key), value.replace(b"\n", b" ")) for key, value in items])


def read_entries(text: bytes, at: int, end: int, cut: CutPlain = cut_plain) -> tuple[dict[bytes, bytes], int]:
    """The entries from `at` on, in their order, and where they end: at `end`, or before what is no entry.

    Of a key that is there twice the last value counts.
    """
    items: dict[bytes, bytes] = {}
    while at < end:
        began_at = at
        at = _cut_each(text, cut(text, at, end, items), end, items)
        if at == began_at:
            break
    return items, at


def _cut_each(text: bytes, at: int, end: int, items: dict[bytes, bytes]) -> int:
    """Take the entries of a stretch, or as far as there are any."""
    stop = min(at + STRETCH_BYTES, end)
    while at < stop and (entry := _FORM.match(text, at, end)) is not None:
        at = entry.end()
        key, value = entry.groups()
        items[_unquoted(key) if b"\\" in key else key] = value[:-1] if value.endswith(b",") else value
    return at


def _unquoted(key: bytes) -> bytes:
    return msgspec.json.decode(b'"%b"' % key, type=str).encode()
