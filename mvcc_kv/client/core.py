r"""The client's half of the line protocol, without a socket: commands as bytes, replies from bytes.

A `Conversation` is what one connection has said and still awaits. The protocol has no request ids; it
answers in order, one line a command, so counting is what matches a reply to its command:

    ask(PUT a, PUT b, COMMIT)   unsent: three lines              awaited: 3
    sent(n)                     unsent: what the socket left     awaited: 3
    receive(b'{"status": ...')  whole lines become replies       awaited: 1
    take_replies()              hands over all three, together, when the last has come

Commands are always in the JSON form, with a newline at the end, and as short as JSON can be, because a
server counts their bytes. A value goes out and comes back as the text it is: `1.0` stays `1.0`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from mvcc_kv.api import (
    CommittedWrites,
    Isolation,
    KeyRange,
    KeyVersion,
    OpenTransaction,
    Page,
    TransactionOptions,
    VersionPage,
)
from mvcc_kv.errors import BadRequestError, Error, error_from_result
from mvcc_kv.values import json_string, microseconds

__all__ = [
    "Conversation",
    "FeedLine",
    "GarbageError",
    "Reply",
    "decode_feed_line",
    "encode_add",
    "encode_changes",
    "encode_command",
    "encode_delete",
    "encode_get",
    "encode_history",
    "encode_put",
    "encode_scan",
    "encode_start",
]

T = TypeVar("T")
Reply = msgspec.Raw | Error
"""The JSON text of a reply's `result`, or the error that the reply told of."""


class GarbageError(Exception):
    """What came is no reply of this protocol; nothing after it can be trusted."""


class _ReplyLine(msgspec.Struct):
    status: str
    result: msgspec.Raw = msgspec.Raw(b"null")
    message: str = ""


class _Item(msgspec.Struct):
    key: str
    value: msgspec.Raw = msgspec.Raw()  # empty where only keys were asked for


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
    resync_at: int | None = None


class FeedLine(NamedTuple):
    """A line of a change feed: how far it is now, and the commit that it tells of; or that commits are `lost`."""

    ts: int
    commit: CommittedWrites | None = None
    lost: bool = False


class Conversation:
    """What was said on one connection, and what is still awaited.

    `notice` is what the last Ok said to people beside its result; mostly nothing.
    """

    def __init__(self) -> None:
        self.unsent = bytearray()
        self.notice = ""
        self._received = bytearray()
        self._searched = 0
        self._replies: list[Reply] = []
        self._awaited = 0
        self._is_following = False

    @property
    def is_idle(self) -> bool:
        """Whether everything was sent and answered, and nothing else came."""
        return not (self._awaited or self.unsent or self._received or self._is_following)

    @property
    def is_answered(self) -> bool:
        """Whether every command has its reply."""
        return self._awaited == 0

    def ask(self, commands: Sequence[bytes]) -> None:
        """Queue the commands; each will have one reply."""
        self.unsent += b"".join(commands)
        self._awaited += len(commands)

    def follow(self, command: bytes) -> None:
        """Queue a command whose replies have no end; it is the last one of this conversation."""
        self.unsent += command
        self._is_following = True

    def sent(self, count_bytes: int) -> None:
        """The socket took the first `count_bytes` of `unsent`."""
        del self.unsent[:count_bytes]

    def receive(self, data: bytes) -> None:
        """Take in what came. Raises `GarbageError` for what can't be a reply, or was not asked for."""
        self._received += data
        while (end := self._received.find(b"\n", self._searched)) >= 0:
            line = bytes(self._received[:end])
            del self._received[: end + 1]
            self._searched = 0
            self._accept(line)
        self._searched = len(self._received)

    def take_replies(self) -> list[Reply]:
        """The replies so far, in the order of their commands; they are handed over once."""
        replies, self._replies = self._replies, []
        return replies

    def check(self) -> None:
        """Raise AssertionError if the counts don't fit together."""
        assert self._awaited >= 0, "more replies than commands"
        assert b"\n" not in self._received, "a whole line was left lying"
        assert not self.unsent or self._awaited or self._is_following, "something unsent, but nothing awaited"

    def _accept(self, line: bytes) -> None:
        if self._awaited == 0 and not self._is_following:
            raise GarbageError(f"a reply that nobody asked for: {_excerpt(line)}")
        reply, self.notice = _decode_reply(line)
        self._replies.append(reply)
        if not self._is_following:
            self._awaited -= 1


def _decode_reply(line: bytes) -> tuple[Reply, str]:
    """The reply, and what an Ok says beside it."""
    try:
        line.decode()  # once, because what a Raw skips over is not checked
        reply = _decode_line(line)
        if reply.status == "Ok":
            return reply.result, reply.message
        if reply.status == "Error":
            return error_from_result(_decode_evidence(reply.result), reply.message), ""
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    raise GarbageError(f"no reply of this protocol: {_excerpt(line)}")


def _excerpt(line: bytes) -> str:
    return repr(line if len(line) <= 60 else line[:60] + b"...")


_decode_line = msgspec.json.Decoder(_ReplyLine).decode
_decode_evidence = msgspec.json.Decoder(dict[str, Any]).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_decode_feed_line = msgspec.json.Decoder(_FeedLine).decode
_decode_items = msgspec.json.Decoder(_Items).decode
_decode_versions = msgspec.json.Decoder(_Versions).decode
_decode_opened = msgspec.json.Decoder(_AllOpened).decode
_encode_members = msgspec.json.Encoder().encode


def encode_command(verb: str, **members: Any) -> bytes:
    r"""A command with its arguments.

    >>> encode_command("COMMIT"), encode_command("AUTH", password="open sesame")
    (b'COMMIT {}\n', b'AUTH {"password":"open sesame"}\n')
    """
    try:
        return b"%s %s\n" % (verb.encode(), _encode_members(members))
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"{verb} takes what JSON can hold: {error}") from None


def encode_start(options: TransactionOptions) -> bytes:
    r"""START, with the options that are not the default.

    >>> encode_start(TransactionOptions(label="nightly"))
    b'START {"label":"nightly"}\n'
    """
    members = {name: getattr(options, name) for name in ("isolation", "read_only", "at", "label")}
    default = TransactionOptions()
    return encode_command("START", **{name: it for name, it in members.items() if it != getattr(default, name)})


def encode_get(key: bytes, *, tracked: bool = True) -> bytes:
    return b'GET {"key":%s%s}\n' % (json_string(key), b"" if tracked else b',"snapshot":true')


def encode_put(key: bytes, value: bytes, token: str | None = None) -> bytes:
    r"""PUT of a value's JSON text as it is, but for line breaks between its tokens: those would end the command.

    >>> encode_put(b"pi", b"3.140")
    b'PUT {"key":"pi","value":3.140}\n'
    """
    return b'PUT {"key":%s,"value":%s%s}\n' % (json_string(key), value.replace(b"\n", b" "), _id(token))


def encode_delete(key: bytes, token: str | None = None) -> bytes:
    r"""DEL, with the id by which the client can ask what became of it.

    >>> encode_delete(b"pi", "x")
    b'DEL {"key":"pi","id":"x"}\n'
    """
    return b'DEL {"key":%s%s}\n' % (json_string(key), _id(token))


def encode_add(key: bytes, by: bytes, token: str | None = None) -> bytes:
    r"""ADD of a JSON number.

    >>> encode_add(b"hits", b"2")
    b'ADD {"key":"hits","by":2}\n'
    """
    return b'ADD {"key":%s,"by":%s%s}\n' % (json_string(key), by, _id(token))


def _id(token: str | None) -> bytes:
    return b"" if token is None else b',"id":"%s"' % token.encode()


def encode_scan(keys: KeyRange, *, limit: int, reverse: bool, keys_only: bool = False, tracked: bool = True) -> bytes:
    r"""SCAN of a range, with the members that are not the default.

    >>> encode_scan(KeyRange(prefix=b"user:"), limit=10, reverse=True)
    b'SCAN {"prefix":"user:","limit":10,"reverse":true}\n'
    """
    members: dict[str, Any] = {}
    if keys.prefix:
        members["prefix"] = keys.prefix.decode()
    if keys.start:
        members["start"] = keys.start.decode()
    if keys.end is not None:
        members["end"] = keys.end.decode()
    members["limit"] = limit
    if reverse:
        members["reverse"] = True
    if keys_only:
        members["keys_only"] = True
    if not tracked:
        members["snapshot"] = True
    return encode_command("SCAN", **members)


def encode_history(key: bytes, *, limit: int, before_ts: int | None, tracked: bool = True) -> bytes:
    r"""HISTORY of a key, with the members that are not the default.

    >>> encode_history(b"a", limit=10, before_ts=41)
    b'HISTORY {"key":"a","limit":10,"before":41}\n'
    """
    members: dict[str, Any] = {"key": key.decode(), "limit": limit}
    if before_ts is not None:
        members["before"] = before_ts
    if not tracked:
        members["snapshot"] = True
    return encode_command("HISTORY", **members)


def encode_changes(prefix: bytes, from_ts: int | None) -> bytes:
    r"""CHANGES, with the members that are not the default.

    >>> encode_changes(b"user:", 41), encode_changes(b"", None)
    (b'CHANGES {"prefix":"user:","from":41}\n', b'CHANGES {}\n')
    """
    members: dict[str, Any] = {"prefix": prefix.decode()} if prefix else {}
    if from_ts is not None:
        members["from"] = from_ts
    return encode_command("CHANGES", **members)


def decode_value_text(result: msgspec.Raw) -> bytes:
    """The value's JSON text in the result of a GET."""
    return bytes(_decoded(_decode_item, result).value)


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
        writes = tuple((it.key.encode(), None if it.deleted else bytes(it.value)) for it in line.changes)
        return FeedLine(line.commit_ts, CommittedWrites(line.commit_ts, time_us, line.label, writes))
    if line.resync_at is not None:
        return FeedLine(line.resync_at, lost=True)
    if line.ts is not None:
        return FeedLine(line.ts)
    raise GarbageError(f"no line of a change feed: {_excerpt(bytes(result))}")


def decode_member(result: msgspec.Raw, name: str) -> int:
    """The timestamp of that name in the result of a START, COMMIT or CHECKPOINT."""
    ts = decode_object(result).get(name)
    if not isinstance(ts, int):
        raise GarbageError(f"a result without {name}: {_excerpt(bytes(result))}")
    return ts


def decode_object(result: msgspec.Raw) -> dict[str, Any]:
    """A result of named members, such as that of STATS."""
    return _decoded(_decode_evidence, result)


def _decoded(decode: Callable[[msgspec.Raw], T], result: msgspec.Raw) -> T:
    try:
        return decode(result)
    except msgspec.MsgspecError as error:
        raise GarbageError(f"a result of another form ({error}): {_excerpt(bytes(result))}") from None
