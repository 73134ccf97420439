"""Results of commands, from the JSON text that came. A value stays the text it is: `1.0` stays `1.0`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from mvcc_kv.api import CommittedWrites, Isolation, KeyVersion, OpenTransaction, Page, VersionPage
from mvcc_kv.client.core import GarbageError, excerpt
from mvcc_kv.values import Expiring, microseconds

__all__ = [
    "FeedLine",
    "Started",
    "decode_commit_ts",
    "decode_feed_line",
    "decode_member",
    "decode_object",
    "decode_page",
    "decode_start",
    "decode_transactions",
    "decode_value_text",
    "decode_value_with_ttl",
    "decode_versions",
]

T = TypeVar("T")


class Started(msgspec.Struct):
    """A transaction has begun. Of its turn, if it asked for one: whether it `waited`, and how many wait behind it."""

    start_ts: int
    waited: bool = False
    waiting: int = 0


class _Item(msgspec.Struct):
    key: str
    value: msgspec.Raw = msgspec.Raw()  # empty where only keys were asked for
    ttl_s: float | None = None


class _Items(msgspec.Struct):
    items: list[_Item]
    next: str | None


class _Version(msgspec.Struct):
    commit_ts: int
    time: datetime | None = None
    label: str | None = None
    deleted: bool = False
    value: msgspec.Raw = msgspec.Raw(b"null")


class _Versions(msgspec.Struct):
    versions: list[_Version]
    next: int | None
    oldest_ts: int


class _Opened(msgspec.Struct):
    id: int = msgspec.field(name="transaction")
    age_s: float
    start_ts: int
    isolation: Isolation
    read_only: bool
    label: str | None
    client: str | None
    keys_written: int
    read_set_bytes: int
    pinned_bytes: int


class _AllOpened(msgspec.Struct):
    transactions: list[_Opened]


class _Change(msgspec.Struct):
    key: str
    value: msgspec.Raw = msgspec.Raw(b"")
    deleted: bool = False


class _FeedLine(msgspec.Struct):
    ts: int | None = None
    commit_ts: int | None = None
    time: datetime | None = None
    label: str | None = None
    changes: list[_Change] = []
    expires: dict[str, datetime] = {}
    resync_at: int | None = None


class FeedLine(NamedTuple):
    """A line of a change feed: how far it is now, and the commit that it tells of; or that commits are `lost`."""

    ts: int
    commit: CommittedWrites | None = None
    lost: bool = False


_decode_item = msgspec.json.Decoder(_Item).decode
_decode_feed_line = msgspec.json.Decoder(_FeedLine).decode
_decode_items = msgspec.json.Decoder(_Items).decode
_decode_started = msgspec.json.Decoder(Started).decode
_decode_versions = msgspec.json.Decoder(_Versions).decode
_decode_opened = msgspec.json.Decoder(_AllOpened).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def decode_value_text(result: msgspec.Raw) -> bytes:
    """The value's JSON text in the result of a GET."""
    return bytes(_decoded(_decode_item, result).value)


def decode_value_with_ttl(result: msgspec.Raw) -> tuple[bytes, float | None]:
    """The value's JSON text in the result of a GET that asked for it, and how many seconds it is there yet."""
    item = _decoded(_decode_item, result)
    return bytes(item.value), item.ttl_s


def decode_page(result: msgspec.Raw) -> Page:
    """The page in the result of a SCAN."""
    found = _decoded(_decode_items, result)
    items = [(item.key.encode(), bytes(item.value)) for item in found.items]
    return Page(items, None if found.next is None else found.next.encode())


def decode_versions(result: msgspec.Raw) -> VersionPage:
    """The page in the result of a HISTORY."""
    found = _decoded(_decode_versions, result)
    return VersionPage([_version(it) for it in found.versions], found.next, found.oldest_ts)


def _version(it: _Version) -> KeyVersion:
    time_us = None if it.time is None else microseconds(it.time)
    return KeyVersion(it.commit_ts, None if it.deleted else bytes(it.value), time_us, it.label)


def decode_transactions(result: msgspec.Raw) -> list[OpenTransaction]:
    """The open transactions in the result of a TRANSACTIONS."""
    found = _decoded(_decode_opened, result).transactions
    return [OpenTransaction(**msgspec.structs.asdict(it)) for it in found]


def decode_feed_line(result: msgspec.Raw) -> FeedLine:
    """The line of a change feed in a result of CHANGES."""
    line = _decoded(_decode_feed_line, result)
    if line.commit_ts is not None:
        time_us = 0 if line.time is None else microseconds(line.time)
        writes = tuple((it.key.encode(), _written(it, line.expires)) for it in line.changes)
        return FeedLine(line.commit_ts, CommittedWrites(line.commit_ts, time_us, line.label, writes))
    if line.resync_at is not None:
        return FeedLine(line.resync_at, lost=True)
    if line.ts is not None:
        return FeedLine(line.ts)
    raise GarbageError(f"no line of a change feed: {excerpt(bytes(result))}")


def _written(it: _Change, expires: dict[str, datetime]) -> bytes | None:
    if it.deleted:
        return None
    moment = expires.get(it.key)
    return bytes(it.value) if moment is None else Expiring(bytes(it.value), microseconds(moment))


def decode_member(result: msgspec.Raw, name: str) -> int:
    """The timestamp of that name in the result of a START, COMMIT or CHECKPOINT."""
    ts = decode_object(result).get(name)
    if not isinstance(ts, int):
        raise GarbageError(f"a result without {name}: {excerpt(bytes(result))}")
    return ts


def decode_commit_ts(result: msgspec.Raw) -> int:
    """The commit_ts in the result of a COMMIT."""
    return decode_member(result, "commit_ts")


def decode_start(result: msgspec.Raw) -> Started:
    """What the result of a START tells."""
    return _decoded(_decode_started, result)


def decode_object(result: msgspec.Raw) -> dict[str, Any]:
    """A result of named members, such as that of STATS."""
    return _decoded(_decode_object, result)


def _decoded(decode: Callable[[msgspec.Raw], T], result: msgspec.Raw) -> T:
    try:
        return decode(result)
    except msgspec.MsgspecError as error:
        raise GarbageError(f"a result of another form ({error}): {excerpt(bytes(result))}") from None
