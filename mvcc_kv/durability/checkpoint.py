r"""The checkpoint file, format versions 1 and 2: the latest version of every key, as JSON that any tool reads.

    {"format": "mvcc-kv-checkpoint",
    "format_version": 1,
    "commit_ts": 42,
    "data": {
    "alice": 90,
    "bob": {"balance": 1.0, "tags": ["x"]}
    },
    "crc32": "0c5bd8ee"}

Keys are in order (of their UTF-8 bytes), one entry a line, so two checkpoints can be compared with `diff`. A value
is the text that its client sent, to the letter.

Where keys expire the format version is 2, and between `data` and `crc32` stands when, for each that does, in
microseconds since 1970. The keys are in order there, too:

    },
    "expires": {
    "alice": 1795425757123456
    },
    "crc32": "1f0c8b3a"}

`crc32` is zlib's CRC-32, as 8 lowercase hex digits, of every byte of the file before the comma that precedes its own
member: from the first brace up to and including the one that closes the member before. To check a file otherwise:

    body, crc32 = open("checkpoint.json", "rb").read().rsplit(b',\n"crc32": ', 1)
    assert crc32 == b'"%08x"}\n' % zlib.crc32(body)

The layout above is part of the format: the same JSON, written anew by another program, has another checksum. And
once the checksum holds, the layout can be relied on, so loading cuts the file along its lines and parses no value.
That keeps the text as it was, takes little memory, and takes values nested deeper than this process may recurse.
It also asks one thing of the writer: no newline inside an entry. JSON allows newlines between a value's tokens,
where they mean what a space means, and nowhere else; so if one should come this far, it is written as a space.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from mvcc_kv.api import KeyRange, Page
from mvcc_kv.durability.entries import join_entries, read_entries
from mvcc_kv.errors import DataDirectoryError
from mvcc_kv.values import Expiring, json_string

__all__ = [
    "CHECKPOINT_NAME",
    "PUT_BACK",
    "Checkpoint",
    "CheckpointChunks",
    "CheckpointSource",
    "decode_checkpoint",
    "encode_checkpoint",
    "ends_checkpoint",
    "in_order",
]

CHECKPOINT_NAME = "checkpoint.json"
FORMAT = "mvcc-kv-checkpoint"
FORMAT_VERSION = 1
EXPIRING_VERSION = 2
KEYS_PER_CHUNK = 250

_HEADER = b'{"format": "mvcc-kv-checkpoint",\n"format_version": %d,\n"commit_ts": %d,\n"data": {'
_END_OF_DATA = b"\n}"
_EXPIRES = b'\n},\n"expires": {'
_FOOTER = b',\n"crc32": "%08x"}\n'
_HEADER_FORM = re.compile(re.escape(_HEADER).replace(b"%d", b"([12])", 1).replace(b"%d", rb"(0|[1-9][0-9]*)"))
_FOOTER_FORM = re.compile(
    _END_OF_DATA + re.escape(_FOOTER).replace(b"%08x", rb"([0-9a-f]{8})") + rb"?\Z"
)  # the last newline may be lost
_FOOTER_BYTES_MAX = len(_END_OF_DATA + _FOOTER % 0)

PUT_BACK = "put a good copy back, or move this file away to start without its data"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint file holds: every key's value as of `commit_ts`, in the order of the keys."""

    commit_ts: int
    items: dict[bytes, bytes]


class CheckpointSource(Protocol):
    """What a checkpoint is made of: a snapshot, of a store or read elsewhere.

    `may_expire`: whether there may be values in it that expire.
    """

    @property
    def start_ts(self) -> int: ...
    @property
    def may_expire(self) -> bool: ...
    def scan(self, keys: KeyRange, *, limit: int) -> Page: ...
    def rollback(self) -> None: ...


class CheckpointChunks:
    """The bytes of a checkpoint of what `snapshot` reads, in chunks; its commit_ts is the snapshot's start_ts.

    Each step reads at most `keys_max` keys, which may be changed between steps, and waits for nothing. The snapshot is
    rolled back after the last step, at `close()`, or when a step raises. Not by a finalizer, as a generator's `finally`
    would be: that could run anywhere, inside the store's own lock too.
    """

    def __init__(self, snapshot: CheckpointSource) -> None:
        self.keys_max = KEYS_PER_CHUNK
        self._snapshot = snapshot
        self._chunks = _chunks(snapshot, lambda: self.keys_max)

    def __iter__(self) -> CheckpointChunks:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the snapshot; no chunk comes any more. Calling it again does nothing."""
        self._chunks.close()
        self._snapshot.rollback()


def encode_checkpoint(snapshot: CheckpointSource) -> CheckpointChunks:
    """The checkpoint of what `snapshot` reads; joined, the chunks are the file. Ends the snapshot."""
    return CheckpointChunks(snapshot)


def _chunks(snapshot: CheckpointSource, keys_max: Callable[[], int]) -> Generator[bytes, None, None]:
    crc = 0
    for chunk in _body(snapshot, keys_max):
        crc = zlib.crc32(chunk, crc)
        yield chunk
    yield _END_OF_DATA + _FOOTER % zlib.crc32(_END_OF_DATA, crc)


def _body(snapshot: CheckpointSource, keys_max: Callable[[], int]) -> Iterator[bytes]:
    expiring: list[tuple[bytes, int]] | None = [] if snapshot.may_expire else None
    yield _HEADER % (FORMAT_VERSION if expiring is None else EXPIRING_VERSION, snapshot.start_ts)
    rest, before = KeyRange(), b"\n"
    while True:
        page = snapshot.scan(rest, limit=keys_max())
        if page.items:
            yield before + join_entries(page.items)
            before = b",\n"
        if expiring is not None:
            expiring += ((key, value.expires_us) for key, value in page.items if isinstance(value, Expiring))
        if page.next is None:
            break
        rest = rest.resumed(page.next, reverse=False)
    if expiring is not None:
        yield from _expiries(expiring)


def _expiries(expiring: list[tuple[bytes, int]]) -> Iterator[bytes]:
    yield _EXPIRES
    before = b"\n"
    for at in range(0, len(expiring), KEYS_PER_CHUNK):
        lines = (b"%b: %d" % (json_string(key), expires_us) for key, expires_us in expiring[at : at + KEYS_PER_CHUNK])
        yield before + b",\n".join(lines)
        before = b",\n"


def ends_checkpoint(text: bytes) -> bool:
    """Whether a checkpoint that is cut somewhere, of which this is a part, ends with it."""
    return _footer(text) is not None


def _footer(text: bytes) -> re.Match[bytes] | None:
    return _FOOTER_FORM.search(text, max(0, len(text) - _FOOTER_BYTES_MAX))


def decode_checkpoint(text: bytes, name: str = "checkpoint.json") -> Checkpoint:
    """The checkpoint whose file holds `text`; `name` is the file's name in messages.

    Raises `DataDirectoryError`, which tells what it is instead: not whole JSON, somebody else's, a newer
    version's, or not what was written. Takes some 200 MB for a million keys, and 0.5 s, or 1 s in Python alone.
    """
    header = _HEADER_FORM.match(text)
    footer = _footer(text)
    if header is None or footer is None:
        raise _refusal(text, name)
    if int(footer[1], 16) != zlib.crc32(memoryview(text)[: footer.start() + len(_END_OF_DATA)]):
        raise DataDirectoryError(f"{name} is damaged: its content doesn't match its crc32; {PUT_BACK}")
    try:
        _check_utf8(text)
        items, at = read_entries(text, header.end(), footer.start())
        if int(header[1]) == EXPIRING_VERSION:
            at = _expire(items, text, at, footer.start())
        if at != footer.start():
            raise ValueError(f"no entry at byte {at}")
        return Checkpoint(int(header[2]), in_order(items))
    except (ValueError, msgspec.DecodeError) as error:
        raise DataDirectoryError(f"{name} is not of its format, though its crc32 holds: {error}; {PUT_BACK}") from error


def _check_utf8(text: bytes) -> None:
    """Raise `UnicodeDecodeError` if it isn't UTF-8. Piece by piece: one `str` could take four times the memory."""
    if text.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(text)
    for start in range(0, len(view), 1 << 20):
        decoder.decode(view[start : start + (1 << 20)])
    decoder.decode(b"", final=True)


def in_order(items: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The items in the order of their keys; the same dict if they are, as they should be."""
    keys = sorted(items)
    return items if keys == list(items) else {key: items[key] for key in keys}


def _expire(items: dict[bytes, bytes], text: bytes, at: int, end: int) -> int:
    """Give those of the items their time that have one by `expires`, which begins at `at`; where that ends."""
    if not text.startswith(_EXPIRES, at):
        raise ValueError(f"no expires at byte {at}")
    entries, at = read_entries(text, at + len(_EXPIRES), end)
    if not entries.keys() <= items.keys():
        raise ValueError(f"an expiry of a key that has no value: {min(entries.keys() - items.keys())!r}")
    for key, time in entries.items():
        items[key] = Expiring(items[key], int(time))
    return at


class _Outline(msgspec.Struct):
    """What tells a checkpoint from other JSON, in whatever layout."""

    format: Any = None
    format_version: Any = None


def _refusal(text: bytes, name: str) -> DataDirectoryError:
    """Why a file that doesn't look like a checkpoint of this version isn't one."""
    try:
        outline = msgspec.json.decode(text, type=_Outline)
    except msgspec.ValidationError:
        outline = _Outline()  # JSON, but no object
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return DataDirectoryError(f"{name} is cut short or damaged: not one whole JSON document ({error}); {PUT_BACK}")
    if outline.format != FORMAT:
        return DataDirectoryError(
            f'{name} is not mvcc-kv\'s: its "format" isn\'t "{FORMAT}"; move it away, or choose another directory'
        )
    if isinstance(outline.format_version, int) and outline.format_version > EXPIRING_VERSION:
        return DataDirectoryError(
            f"{name} is of format version {outline.format_version}, from a newer mvcc-kv; this one reads "
            f"versions up to {EXPIRING_VERSION}: upgrade mvcc-kv, or choose another directory",
            newer=True,
        )
    return DataDirectoryError(
        f"{name} was changed after it was written: it isn't laid out as a checkpoint of format version "
        f"{FORMAT_VERSION} or {EXPIRING_VERSION}, so its crc32 can't hold; {PUT_BACK}"
    )
