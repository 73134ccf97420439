"""DUMP and RESTORE: a string as Redis's own dumps have it (RDB version 10, that of Redis 7.0).

00                 a string ...
c0 | 2a            ... that is an integer of 1, 2 or 4 bytes, or
05 | lunch         ... its length and its bytes, or
c3 | 0b 14 | ...   ... two lengths, compressed and not, and what LZF made of it; read, but never written
0a 00              the version
3f 8b ...          CRC-64 of all that, as Jones has it, little end first
"""

from __future__ import annotations

from mvcc_kv.server.redis.arguments import integer_of

__all__ = ["BadChecksumError", "BadFormatError", "dumped", "loaded"]

RDB_VERSION = 10
LOADED_BYTES_MAX = 512 * 1024 * 1024
_STRING = b"\x00"
_FOOTER_BYTES = 10
_CRC_BYTES = 8
_INTEGER_BYTES = {0: 1, 1: 2, 2: 4}
_LZF = 3
_POLYNOMIAL = 0x95AC9329AC4BC9B5  # 0xad93d23594c935a9, its bits the other way round


class BadChecksumError(Exception):
    """The version is too new, or the checksum is another."""


class BadFormatError(Exception):
    """What was dumped is no string, or damaged."""


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


_CRC = _crc_table()


def crc64(data: bytes) -> int:
    """The checksum of the bytes, as Redis has it.

    >>> hex(crc64(b"123456789"))
    '0xe9c6d914c4b8d9ca'
    """
    crc, table = 0, _CRC
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


# Writing


def dumped(text: bytes) -> bytes:
    """The dump of a string."""
    body = _STRING + _encoded(text) + RDB_VERSION.to_bytes(2, "little")
    return body + crc64(body).to_bytes(_CRC_BYTES, "little")


def _encoded(text: bytes) -> bytes:
    number = integer_of(text)
    for kind, size in _INTEGER_BYTES.items():
        if number is not None and -(1 << 8 * size - 1) <= number < 1 << 8 * size - 1:
            return bytes((0xC0 | kind,)) + number.to_bytes(size, "little", signed=True)
    return _length(len(text)) + text


def _length(count: int) -> bytes:
    if count < 1 << 6:
        return bytes((count,))
    if count < 1 << 14:
        return (0x4000 | count).to_bytes(2, "big")
    return b"\x80" + count.to_bytes(4, "big")


# Reading


def loaded(dump: bytes) -> bytes:
    """The string that was dumped. Raises `BadChecksumError`, `BadFormatError`."""
    body = dump[:-_CRC_BYTES]
    if len(dump) < _FOOTER_BYTES or int.from_bytes(body[-2:], "little") > RDB_VERSION:
        raise BadChecksumError
    if crc64(body) != int.from_bytes(dump[-_CRC_BYTES:], "little"):
        raise BadChecksumError
    if body[:1] != _STRING:
        raise BadFormatError
    return _Reader(body).string()


class _Reader:
    """Reads a dump from its second byte on."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 1

    def string(self) -> bytes:
        kind, count = self._length()
        if kind is None:
            return self._take(count)
        if kind in _INTEGER_BYTES:
            return b"%d" % int.from_bytes(self._take(_INTEGER_BYTES[kind]), "little", signed=True)
        if kind != _LZF:
            raise BadFormatError
        compressed_bytes, text_bytes = self._length()[1], self._length()[1]
        return decompressed(self._take(compressed_bytes), text_bytes)

    def _length(self) -> tuple[int | None, int]:
        """A length, or, first of the two, which special encoding comes instead."""
        first = self._take(1)[0]
        if first < 0x40:
            return None, first
        if first < 0x80:
            return None, (first & 0x3F) << 8 | self._take(1)[0]
        if first in (0x80, 0x81):
            return None, int.from_bytes(self._take(4 if first == 0x80 else 8), "big")
        if first >= 0xC0:
            return first & 0x3F, 0
        raise BadFormatError

    def _take(self, count: int) -> bytes:
        taken = self._body[self._at : self._at + count]
        if len(taken) < count:
            raise BadFormatError
        self._at += count
        return taken


def decompressed(packed: bytes, text_bytes: int) -> bytes:
    """What LZF made `packed` of. A token is a run of bytes, or says where, in what is written, the same ones are."""
    if text_bytes > LOADED_BYTES_MAX:
        raise BadFormatError
    text = bytearray()
    at = 0
    try:
        while at < len(packed) and len(text) <= text_bytes:
            token = packed[at]
            if token < 0x20:
                text += packed[at + 1 : at + token + 2]
                at += token + 2
            else:
                at = _copy(packed, at, text)
    except IndexError:
        raise BadFormatError from None
    if len(text) != text_bytes or at != len(packed):
        raise BadFormatError
    return bytes(text)


def _copy(packed: bytes, at: int, text: bytearray) -> int:
    """Append what a back reference says; where the next token is."""
    token = packed[at]
    count = token >> 5
    if count == 7:
        at += 1
        count += packed[at]
    begin = len(text) - ((token & 0x1F) << 8) - packed[at + 1] - 1
    if begin < 0:
        raise BadFormatError
    piece = text[begin : begin + count + 2]
    while len(piece) < count + 2:  # it reaches into what it is writing
        piece += piece[: count + 2 - len(piece)]
    text += piece
    return at + 2
