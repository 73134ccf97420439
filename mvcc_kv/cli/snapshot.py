"""One snapshot of everything that a server holds, page by page: its answer to BACKUP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import msgspec

from mvcc_kv.api import Page
from mvcc_kv.cli.wire import LineConnection, decode_reply
from mvcc_kv.client.encoding import encode_command
from mvcc_kv.durability.backup import PagedSource
from mvcc_kv.errors import UnavailableError
from mvcc_kv.values import Expiring, microseconds

__all__ = ["served_snapshot"]


class _Item(msgspec.Struct):
    key: str
    value: msgspec.Raw


class _Part(msgspec.Struct):
    commit_ts: int
    items: list[_Item]
    next: str | None
    may_expire: bool = False
    expires: dict[str, datetime] = {}


_decode_part = msgspec.json.Decoder(_Part).decode


@contextmanager
def served_snapshot(address: str, password: str | None, prefix: str = "") -> Iterator[PagedSource]:
    """The snapshot, whose pages are read as they are asked for, until the end of the block.

    Raises `UnavailableError`, also between pages.
    """
    connection = LineConnection.open(address, password)
    try:
        command = encode_command("BACKUP", prefix=prefix) if prefix else b"BACKUP\n"
        parts = _parts(connection.ask_for_many(command.rstrip(b"\n")))
        first = next(parts)
        yield PagedSource(first.commit_ts, _pages(first, parts), may_expire=first.may_expire)
    finally:
        connection.close()


def _parts(lines: Iterator[bytes]) -> Iterator[_Part]:
    for line in lines:
        reply = decode_reply(line)
        if reply.error is not None:
            raise reply.error
        try:
            part = _decode_part(reply.result)
        except msgspec.MsgspecError as error:
            raise UnavailableError(f"no reply to BACKUP: {error} (is that an mvcc-kv server?)") from None
        yield part
        if part.next is None:
            return


def _pages(first: _Part, rest: Iterator[_Part]) -> Iterator[Page]:
    yield _page(first)
    for part in rest:
        yield _page(part)


def _page(part: _Part) -> Page:
    items = [(item.key.encode(), _value(item, part.expires.get(item.key))) for item in part.items]
    return Page(items, None if part.next is None else part.next.encode())


def _value(item: _Item, expires: datetime | None) -> bytes:
    text = bytes(item.value)
    return text if expires is None else Expiring(text, microseconds(expires))
