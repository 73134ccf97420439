"""etcd's v3 API in bytes: gRPC over HTTP/2, as much of it as ranges and transactions take.

    request   HEADERS (always the same), DATA (the message, end of stream)
    answer    HEADERS, DATA ..., HEADERS (the trailers, end of stream)

A client written for the load, with no library: what is measured is the server. Header fields are sent as plain
literals, so there is no compression state to keep; those that come back are not looked at, since an answer without a
message is an error. (RFC 9113, RFC 7541; the messages are etcd's `rpc.proto` and `kv.proto`.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

__all__ = [
    "RANGE_PATH",
    "TXN_PATH",
    "Http2",
    "compare_and_put_message",
    "is_succeeded",
    "put_all_message",
    "range_items",
    "range_message",
    "read_all_message",
    "read_items",
]

RANGE_PATH = b"/etcdserverpb.KV/Range"
TXN_PATH = b"/etcdserverpb.KV/Txn"

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM = _ACK = 1
_END_HEADERS = 4
_WINDOW_MAX = (1 << 31) - 1
_WINDOW_AT_FIRST = 65_535
_INITIAL_WINDOW_SIZE = 4  # a setting


class Http2:
    """One connection with one call under way at a time."""

    __slots__ = ("_buffer", "_message", "_stream", "_window")

    def __init__(self) -> None:
        self._buffer = b""
        self._message = b""
        self._stream = -1
        self._window = _WINDOW_MAX

    def begin(self) -> bytes:
        """What a client says first: that it will take as much as there is."""
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _WINDOW_MAX)
        update = struct.pack(">I", _WINDOW_MAX - _WINDOW_AT_FIRST)
        return _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, update)

    def call(self, path: bytes, message: bytes) -> bytes:
        """A call of the method with the message."""
        self._stream += 2
        head = _frame(_HEADERS, _END_HEADERS, self._stream, _header_fields(path))
        return head + _frame(_DATA, _END_STREAM, self._stream, struct.pack(">BI", 0, len(message)) + message)

    def hear(self, data: bytes) -> tuple[bytes | None, bytes]:
        """The answer's message, None as long as it is not whole; and what is to be sent at once.

        Raises `RuntimeError` if the answer is an error.
        """
        self._buffer += data
        answer, sent = None, b""
        for kind, flags, payload in self._frames():
            if kind == _DATA:
                self._message += payload
                sent += self._widened(len(payload))
            elif kind == _HEADERS and flags & _END_STREAM:
                answer, self._message = _unwrapped(self._message), b""
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                sent += _frame(kind, _ACK, 0, payload if kind == _PING else b"")
            elif kind in (_RST_STREAM, _GOAWAY):
                raise RuntimeError(f"etcd ended the conversation: {payload!r}")
        return answer, sent

    def _frames(self) -> Iterator[tuple[int, int, bytes]]:
        """The whole frames that are there: kind, flags, payload."""
        at = 0
        while len(self._buffer) >= at + 9:
            end = at + 9 + int.from_bytes(self._buffer[at : at + 3], "big")
            if len(self._buffer) < end:
                break
            yield self._buffer[at + 3], self._buffer[at + 4], self._buffer[at + 9 : end]
            at = end
        self._buffer = self._buffer[at:]

    def _widened(self, received_bytes: int) -> bytes:
        """Give back what of the connection's window was used, once that is a lot."""
        self._window -= received_bytes
        used = _WINDOW_MAX - self._window
        if used < 1 << 30:
            return b""
        self._window = _WINDOW_MAX
        return _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", used))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _header_fields(path: bytes) -> bytes:
    """:method POST and :scheme http from HPACK's static table, the others as literals that are not to be indexed."""

    def text(value: bytes) -> bytes:
        return bytes([len(value)]) + value

    literal = b"\x04" + text(path) + b"\x01" + text(b"127.0.0.1") + b"\x0f\x10" + text(b"application/grpc")
    return b"\x83\x86" + literal + b"\x00" + text(b"te") + text(b"trailers")


def _unwrapped(answer: bytes) -> bytes:
    """The message in a gRPC answer, of which there is one."""
    if not answer:
        raise RuntimeError("etcd answered with an error")
    if answer[0]:
        raise RuntimeError("etcd's answer is compressed")
    return answer[5:]


# Messages


def range_message(start: bytes, end: bytes, limit: int) -> bytes:
    """A RangeRequest: up to so many keys with `start <= key < end`, in order."""
    return _bytes_field(1, start) + _bytes_field(2, end) + b"\x18" + _varint(limit)


def range_items(message: bytes) -> list[tuple[bytes, bytes]]:
    """The keys and values of a RangeResponse."""
    pairs = [dict(_fields(value)) for number, value in _fields(message) if number == 2 and isinstance(value, bytes)]
    return [(bytes(pair[1]), bytes(pair[5])) for pair in pairs]


def put_all_message(items: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A TxnRequest that puts them all: etcd takes up to 128."""
    puts = (_bytes_field(1, key) + _bytes_field(2, value) for key, value in items)
    return b"".join(_bytes_field(2, _bytes_field(2, put)) for put in puts)


def read_all_message(keys: Iterable[bytes]) -> bytes:
    """A TxnRequest that reads them all, in one state."""
    return b"".join(_bytes_field(2, _bytes_field(1, _bytes_field(1, key))) for key in keys)


def read_items(message: bytes) -> list[tuple[bytes, int, bytes]]:
    """What such a TxnResponse has found: keys, the revisions that they were last changed by, values."""
    ranges = [dict(_fields(it))[1] for number, it in _fields(message) if number == 3 and isinstance(it, bytes)]
    found = [value for it in ranges for number, value in _fields(bytes(it)) if number == 2]
    pairs = [dict(_fields(value)) for value in found if isinstance(value, bytes)]
    return [(bytes(pair[1]), int(pair[3]), bytes(pair[5])) for pair in pairs]


def compare_and_put_message(items: Iterable[tuple[bytes, int | None, bytes]]) -> bytes:
    """A TxnRequest that puts them all if each was last changed by that revision; None: whatever it was."""
    items = list(items)
    compared = (
        b"\x10\x02" + _bytes_field(3, key) + b"\x30" + _varint(revision)  # mod_revision = this
        for key, revision, _ in items
        if revision is not None
    )
    puts = put_all_message((key, value) for key, _, value in items)
    return b"".join(_bytes_field(1, it) for it in compared) + puts


def is_succeeded(message: bytes) -> bool:
    """Did a Txn find what it compared with?"""
    return bool(dict(_fields(message)).get(2, 0))


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message, by number: integers and bytes."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        value, at = _read_varint(message, at)
        if tag & 7 == 2:
            yield tag >> 3, message[at : at + value]
            at += value
        else:
            yield tag >> 3, value


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    made = b""
    while number > 0x7F:
        made += bytes([number & 0x7F | 0x80])
        number >>= 7
    return made + bytes([number])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
