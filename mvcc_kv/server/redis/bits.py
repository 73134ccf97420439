"""SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP: strings as rows of bits. Bit 0 is the highest one of the first byte.

       byte      0          1
       bit       01234567   89...
    "ab"         01100001   01100010

The bits are counted, searched and combined as one large integer, which is what Python is quick at.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import and_, or_, xor

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer, integer_of
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import SYNTAX, Failure
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.strings import lengthened, put_kept, text_at
from mvcc_kv.server.redis.texts import text_of, value_of

__all__ = ["bit_offset"]

_GROUP = "bitmap"
_ONE = (1, 1, 1)
_COMBINED: dict[bytes, Callable[[int, int], int]] = {b"AND": and_, b"OR": or_, b"XOR": xor}


def bit_offset(session: RedisSession, text: bytes, step: int = 1) -> int:
    """The bit that an argument names, in steps of so many bits. Raises for one that no string could have."""
    offset = integer_of(text)
    if offset is None or offset < 0 or offset * step >> 3 >= session.house.bulk_bytes_max:
        raise Failure("ERR bit offset is not an integer or out of range")
    return offset * step


@command(
    "setbit",
    4,
    "write denyoom",
    keys=_ONE,
    group=_GROUP,
    since="2.2.0",
    summary="Sets or clears a bit of a string, and returns what it was.",
)
def setbit(session: RedisSession, arguments: list[bytes]) -> bytes:
    offset, on = bit_offset(session, arguments[2]), integer_of(arguments[3])
    if on not in (0, 1):
        raise Failure("ERR bit is not an integer or out of range")
    old = session.space.get(arguments[1])
    text = b"" if old is None else text_of(old)
    byte, mask = offset >> 3, 0x80 >> (offset & 7)
    was = byte < len(text) and text[byte] & mask != 0
    if byte >= len(text) or was != on:
        bits = lengthened(text, byte + 1)
        bits[byte] ^= mask if was != on else 0
        del text
        put_kept(session, arguments[1], value_of(bits), old)
    return resp.ONE if was else resp.ZERO


@command(
    "getbit", 3, "readonly fast", keys=_ONE, group=_GROUP, since="2.2.0", summary="Returns a bit of a string: 0 or 1."
)
def getbit(session: RedisSession, arguments: list[bytes]) -> bytes:
    offset = bit_offset(session, arguments[2])
    text = text_at(session, arguments[1])
    is_set = offset >> 3 < len(text) and text[offset >> 3] & 0x80 >> (offset & 7)
    return resp.ONE if is_set else resp.ZERO


# Ranges


def _is_in_bits(unit: bytes) -> bool:
    if unit.upper() not in (b"BIT", b"BYTE"):
        raise Failure(SYNTAX)
    return unit.upper() == b"BIT"


def _clipped(first: int, last: int, length: int) -> tuple[int, int]:
    """The range within the length; numbers below zero count from the end."""
    first, last = (max(place + length, 0) if place < 0 else place for place in (first, last))
    return first, min(last, length - 1)


def _number(text: bytes, first: int, last: int) -> int:
    """The bits from `first` to `last`, as one number of `last - first + 1` digits."""
    whole = int.from_bytes(text[first >> 3 : (last >> 3) + 1], "big") >> (7 - (last & 7))
    return whole & ((1 << (last - first + 1)) - 1)


@command(
    "bitcount",
    -2,
    "readonly",
    keys=_ONE,
    group=_GROUP,
    since="2.6.0",
    summary="Counts the set bits of a string, or of a part of it.",
)
def bitcount(session: RedisSession, arguments: list[bytes]) -> bytes:
    value = session.space.get(arguments[1])
    if value is None:
        return resp.ZERO
    text = text_of(value)
    if len(arguments) == 2:
        return resp.integer(int.from_bytes(text, "big").bit_count())
    if len(arguments) not in (4, 5):
        raise Failure(SYNTAX)
    first, last = integer(arguments[2]), integer(arguments[3])
    if first < 0 and last < 0 and first > last:
        return resp.ZERO
    return resp.integer(_count(text, first, last, len(arguments) == 5 and _is_in_bits(arguments[4])))


def _count(text: bytes, first: int, last: int, is_in_bits: bool) -> int:
    if is_in_bits:
        first, last = _clipped(first, last, 8 * len(text))
        return 0 if first > last else _number(text, first, last).bit_count()
    first, last = _clipped(first, last, len(text))
    return int.from_bytes(text[first : last + 1], "big").bit_count()


@command(
    "bitpos",
    -3,
    "readonly",
    keys=_ONE,
    group=_GROUP,
    since="2.8.7",
    summary="Finds the first set (1) or clear (0) bit of a string, or of a part of it.",
)
def bitpos(session: RedisSession, arguments: list[bytes]) -> bytes:
    bit = integer(arguments[2])
    if bit not in (0, 1):
        raise Failure("ERR The bit argument must be 1 or 0.")
    value = session.space.get(arguments[1])
    if value is None:
        return resp.integer(-bit)
    if len(arguments) > 6:
        raise Failure(SYNTAX)
    text = text_of(value)
    first, last, is_open = _searched(text, arguments[3:])
    if first > last:
        return resp.integer(-1)
    return resp.integer(_found(_number(text, first, last), first, last, bit, is_open))


def _searched(text: bytes, arguments: list[bytes]) -> tuple[int, int, bool]:
    """The first and the last bit of what is searched, and whether it goes on with zeros behind the string's end."""
    if not arguments:
        return 0, 8 * len(text) - 1, True
    first = integer(arguments[0])
    is_in_bits = len(arguments) == 3 and _is_in_bits(arguments[2])
    last = integer(arguments[1]) if len(arguments) > 1 else -1
    if is_in_bits:
        return (*_clipped(first, last, 8 * len(text)), False)
    first, last = _clipped(first, last, len(text))
    return 8 * first, 8 * last + 7, len(arguments) == 1


def _found(number: int, first: int, last: int, bit: int, is_open: bool) -> int:
    """Where the bit is, counted from the string's begin; -1 if nowhere. The number's digits are `first` to `last`."""
    size = last - first + 1
    if bit == 0:
        number ^= (1 << size) - 1
    if number:
        return last + 1 - number.bit_length()
    return last + 1 if bit == 0 and is_open else -1


# Several strings


@command(
    "bitop",
    -4,
    "write denyoom",
    keys=(2, -1, 1),
    group=_GROUP,
    since="2.6.0",
    summary="Combines strings bit by bit, and stores the result.",
)
def bitop(session: RedisSession, arguments: list[bytes]) -> bytes:
    operation, target, keys = arguments[1].upper(), arguments[2], arguments[3:]
    if operation != b"NOT" and operation not in _COMBINED:
        raise Failure(SYNTAX)
    if operation == b"NOT" and len(keys) != 1:
        raise Failure("ERR BITOP NOT must be called with a single source key.")
    session.effort = len(keys)
    text = _combined(operation, [text_at(session, key) for key in keys])
    if text:
        session.space.put(target, value_of(text))
    else:
        session.space.delete(target)
    return resp.integer(len(text))


def _combined(operation: bytes, texts: list[bytes]) -> bytes:
    length = max(map(len, texts))
    numbers = [int.from_bytes(text.ljust(length, b"\0"), "big") for text in texts]
    result = numbers[0]
    if operation == b"NOT":
        result ^= (1 << 8 * length) - 1
    for number in numbers[1:]:
        result = _COMBINED[operation](result, number)
    return result.to_bytes(length, "big")
