"""JSON text by hand, where a whole encoder would be too much: the one place that quotes keys."""

from __future__ import annotations

import msgspec

__all__ = ["json_string"]

_encode = msgspec.json.Encoder().encode


def json_string(text: bytes) -> bytes:
    r"""UTF-8 `text` as a JSON string, non-ASCII characters as themselves.

    >>> json_string(b'say "hi"')
    b'"say \\"hi\\""'
    """
    return _encode(text.decode())
