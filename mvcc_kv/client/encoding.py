"""Commands as bytes: always in the JSON form, with a newline at the end, and as short as JSON can be.

A server counts their bytes. A value goes out as the text it is: `1.0` stays `1.0`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.errors import BadRequestError
from mvcc_kv.values import json_string

__all__ = [
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
    members = {name: getattr(options, name) for name in ("isolation", "read_only", "at", "label", "lost")}
    default = TransactionOptions()
    asked = {name: it for name, it in members.items() if it != getattr(default, name)}
    if options.turn is not None:
        asked["turn"] = options.turn.decode()
    return encode_command("START", **asked)


def encode_get(key: bytes, *, tracked: bool = True, ttl: bool = False) -> bytes:
    r"""GET; `ttl`: the answer is to say for how many seconds the key is there yet.

    >>> encode_get(b"a", tracked=False, ttl=True)
    b'GET {"key":"a","snapshot":true,"ttl":true}\n'
    """
    asked = (b"" if tracked else b',"snapshot":true') + (b',"ttl":true' if ttl else b"")
    return b'GET {"key":%s%s}\n' % (json_string(key), asked)


def encode_put(key: bytes, value: bytes, token: str | None = None, *, ttl_s: float | None = None) -> bytes:
    r"""PUT of a value's JSON text as it is, but for line breaks between its tokens: those would end the command.

    >>> encode_put(b"pi", b"3.140")
    b'PUT {"key":"pi","value":3.140}\n'
    >>> encode_put(b"pi", b"3", "x", ttl_s=1.5)
    b'PUT {"key":"pi","value":3,"ttl_s":1.5,"id":"x"}\n'
    """
    for_s = b"" if ttl_s is None else b',"ttl_s":%s' % _encode_members(ttl_s)
    return b'PUT {"key":%s,"value":%s%s%s}\n' % (json_string(key), value.replace(b"\n", b" "), for_s, _id(token))


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
