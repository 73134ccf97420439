"""A JSON object of keys and values as a file: what `dump` writes and `load` reads.

    {
    "alice": 90,
    "bob": {"balance": 1.0, "tags": ["x"]}
    }

Values pass through as the text they are: `1.0` stays `1.0`, and every digit of a big integer is kept. Only line
breaks between a value's tokens go, since a value is part of a line everywhere else: each run of white space that
holds one becomes a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from mvcc_kv.errors import BadRequestError
from mvcc_kv.values import Expiring, json_string

__all__ = ["encode_items", "json_text", "parse_items"]

_STRING_OR_SPACE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[ \t\r\n]++')
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_times = msgspec.json.Decoder(dict[str, int]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def json_text(text: bytes) -> bytes:
    r"""The text of one JSON value, on one line. Raises `BadRequestError` if it isn't one.

    >>> json_text(b'{\n  "a": 1.0\n}')
    b'{ "a": 1.0 }'
    """
    _check_utf8(text)
    try:
        return _on_one_line(bytes(_decode_raw(text)))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRequestError(f"not JSON: {error}. A string wants its quotes, or leave --json away") from None


def parse_items(text: bytes) -> dict[bytes, bytes]:
    """The keys and values of a JSON object. Of a key that comes twice, the last value counts, as in most readers.

    Takes the file of a checkpoint too, and then its `data`, with the times when keys expire. Raises `BadRequestError`.
    """
    expires: dict[str, int] = {}
    text = text.removeprefix(b"\xef\xbb\xbf")
    _check_utf8(text)
    try:
        items = _decode_object(text)
        if "data" in items and bytes(items.get("format", b"")) == b'"mvcc-kv-checkpoint"':
            expires = _decode_times(items.get("expires", b"{}"))
            items = _decode_object(items["data"])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRequestError(f"not a JSON object of keys and values: {error}") from None
    found = {_key_bytes(key): _on_one_line(bytes(value)) for key, value in items.items()}
    for key, expires_us in expires.items():
        if key in items:
            found[_key_bytes(key)] = Expiring(found[_key_bytes(key)], expires_us)
    return found


def encode_items(items: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """The chunks of the object's file, one an entry, as they come."""
    before = b"{\n"
    for key, value in items:
        yield b"%b%b: %b" % (before, json_string(key), value.replace(b"\n", b" "))
        before = b",\n"
    yield b"{}\n" if before == b"{\n" else b"\n}\n"


def _check_utf8(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(f"JSON is UTF-8, and byte {error.start} of this is not") from None


def _key_bytes(key: str) -> bytes:
    return key.encode()


def _on_one_line(value: bytes) -> bytes:
    if b"\n" not in value and b"\r" not in value:
        return value
    return _STRING_OR_SPACE.sub(_without_break, value)


def _without_break(found: re.Match[bytes]) -> bytes:
    text = found.group()
    return b" " if text[:1] != b'"' and (b"\n" in text or b"\r" in text) else text
