r"""Between the JSON text of the store and the raw strings of Redis.

store                      Redis              which Redis's commands write
"lunch"                    lunch              a string, where it is UTF-8
{"$bytes": "//4="}         \xff\xfe           where it is not, or is long and mostly zeros, which JSON writes as \u0000
90                         90                 a counter
{"balance": 1.0}           {"balance": 1.0}   (never: other JSON is its text)
"""

from __future__ import annotations

from base64 import b64encode

import msgspec

__all__ = ["text_of", "value_of"]

_LONG_BYTES = 1024
_LOOK_BYTES = 64 * 1024
_encode_string = msgspec.json.Encoder().encode
_decode_string = msgspec.json.Decoder(str).decode


class _Bytes(msgspec.Struct, forbid_unknown_fields=True):
    raw: bytes = msgspec.field(name="$bytes")  # in base64, which msgspec knows


_decode_bytes = msgspec.json.Decoder(_Bytes).decode


def text_of(value: bytes) -> bytes:
    """The raw string that a JSON text is read as.

    >>> text_of(b'"lunch"'), text_of(b'[1.0, 2]'), text_of(b'{"$bytes": "//4="}')
    (b'lunch', b'[1.0, 2]', b'\\xff\\xfe')
    """
    if value[0] == 0x22:
        return value[1:-1] if value.find(b"\\") < 0 else _decode_string(value).encode()
    if value[0] == 0x7B and value.find(b'"$bytes"') > 0:
        try:
            return _decode_bytes(value).raw
        except msgspec.MsgspecError:
            return bytes(value)
    return bytes(value)


def value_of(text: bytes | bytearray) -> bytes:
    """The JSON text that a raw string is kept as.

    >>> value_of(b'say "hi"'), value_of(b"\\xff\\xfe")
    (b'"say \\\\"hi\\\\""', b'{"$bytes": "//4="}')
    """
    try:
        if len(text) < _LONG_BYTES or not _is_mostly_zeros(text):
            return _encode_string(text.decode())
    except UnicodeDecodeError:
        pass
    return b"".join((b'{"$bytes": "', b64encode(text), b'"}'))


def _is_mostly_zeros(text: bytes | bytearray) -> bool:
    """Whether an eighth of it are, told as soon as that is sure."""
    zeros, enough = 0, (len(text) + 7) // 8
    for at in range(0, len(text), _LOOK_BYTES):
        zeros += text.count(0, at, at + _LOOK_BYTES)
        if zeros >= enough:
            return True
    return False
