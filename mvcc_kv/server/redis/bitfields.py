"""BITFIELD: integers of 1 to 64 bits anywhere in a string. All its operations are read first, then done in order."""

from __future__ import annotations

from dataclasses import dataclass

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer, integer_of
from mvcc_kv.server.redis.bits import bit_offset
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import SYNTAX, Failure
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.strings import lengthened, put_kept, text_at
from mvcc_kv.server.redis.texts import text_of, value_of

__all__: list[str] = []

_GROUP = "bitmap"
_ONE = (1, 1, 1)
_ARGUMENTS = {b"GET": 2, b"SET": 3, b"INCRBY": 3, b"OVERFLOW": 1}
_OVERFLOWS = (b"WRAP", b"SAT", b"FAIL")


@dataclass(frozen=True, slots=True)
class _Operation:
    """`name`: GET, SET or INCRBY, on the `bits` at `offset`; `number`: what is set or added. `overflow`: what then."""

    name: bytes
    is_signed: bool
    bits: int
    offset: int
    number: int
    overflow: bytes

    @property
    def least(self) -> int:
        return -(1 << (self.bits - 1)) if self.is_signed else 0

    @property
    def most(self) -> int:
        return (1 << (self.bits - self.is_signed)) - 1

    @property
    def end(self) -> int:
        """How many bytes a string has that holds it."""
        return (self.offset + self.bits + 7) >> 3

    def read(self, text: bytes | bytearray) -> int:
        """The integer that is there; behind the string's end there are zeros."""
        part = text[self.offset >> 3 : self.end].ljust(self.end - (self.offset >> 3), b"\0")
        number = int.from_bytes(part, "big") >> -(self.offset + self.bits) % 8
        return self._wrapped(number)

    def write(self, text: bytearray, number: int) -> None:
        """Put the integer there; the string is long enough."""
        shift, place = -(self.offset + self.bits) % 8, slice(self.offset >> 3, self.end)
        mask = ((1 << self.bits) - 1) << shift
        whole = int.from_bytes(text[place], "big") & ~mask | (number << shift & mask)
        text[place] = whole.to_bytes(place.stop - place.start, "big")

    def fitted(self, number: int) -> int | None:
        """The number, or what becomes of it if it is too large or too small; None: nothing."""
        if self.least <= number <= self.most:
            return number
        if self.overflow == b"FAIL":
            return None
        return self._wrapped(number) if self.overflow == b"WRAP" else min(max(number, self.least), self.most)

    def _wrapped(self, number: int) -> int:
        number &= (1 << self.bits) - 1
        return number - (1 << self.bits) if number > self.most else number


def _operations(session: RedisSession, arguments: list[bytes]) -> list[_Operation]:
    operations, overflow, at = [], b"WRAP", 0
    while at < len(arguments):
        name = arguments[at].upper()
        count = _ARGUMENTS.get(name, len(arguments))
        own = arguments[at + 1 : at + 1 + count]
        if len(own) < count:
            raise Failure(SYNTAX)
        if name == b"OVERFLOW":
            overflow = _overflow(own[0])
        else:
            operations.append(_operation(session, name, own, overflow))
        at += 1 + count
    return operations


def _overflow(name: bytes) -> bytes:
    if name.upper() not in _OVERFLOWS:
        raise Failure("ERR Invalid OVERFLOW type specified")
    return name.upper()


def _operation(session: RedisSession, name: bytes, arguments: list[bytes], overflow: bytes) -> _Operation:
    is_signed, bits = _type(arguments[0])
    if arguments[1].startswith(b"#"):
        offset = bit_offset(session, arguments[1][1:], bits)
    else:
        offset = bit_offset(session, arguments[1])
    number = integer(arguments[2]) if name != b"GET" else 0
    return _Operation(name, is_signed, bits, offset, number, overflow)


def _type(text: bytes) -> tuple[bool, int]:
    bits, is_signed = integer_of(text[1:]), text.startswith(b"i")
    if text[:1] not in (b"i", b"u") or bits is None or not 1 <= bits <= 63 + is_signed:
        raise Failure(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
        )
    return is_signed, bits


@command(
    "bitfield",
    -2,
    "write denyoom",
    keys=_ONE,
    group=_GROUP,
    since="3.2.0",
    summary="Reads, sets and increments integers of any number of bits within a string.",
)
def bitfield(session: RedisSession, arguments: list[bytes]) -> bytes:
    operations = _operations(session, arguments[2:])
    ends = [operation.end for operation in operations if operation.name != b"GET"]
    if not ends:
        return _read(session, arguments[1], operations)
    old = session.space.get(arguments[1])
    before = b"" if old is None else text_of(old)
    text = lengthened(before, max(ends))
    replies = [_done(session, operation, text) for operation in operations]
    if text != before:
        put_kept(session, arguments[1], value_of(text), old)
    return resp.array(replies)


def _done(session: RedisSession, operation: _Operation, text: bytearray) -> bytes:
    """Do it; the reply is what was there, or what INCRBY has made of it."""
    was = operation.read(text)
    if operation.name == b"GET":
        return resp.integer(was)
    is_sum = operation.name == b"INCRBY"
    number = operation.fitted(was + operation.number if is_sum else operation.number)
    if number is None:
        return resp.null(session.proto)
    operation.write(text, number)
    return resp.integer(number if is_sum else was)


@command(
    "bitfield_ro",
    -2,
    "readonly fast",
    keys=_ONE,
    group=_GROUP,
    since="6.0.0",
    summary="Reads integers of any number of bits within a string.",
)
def bitfield_ro(session: RedisSession, arguments: list[bytes]) -> bytes:
    operations = _operations(session, arguments[2:])
    if any(operation.name != b"GET" for operation in operations):
        raise Failure("ERR BITFIELD_RO only supports the GET subcommand")
    return _read(session, arguments[1], operations)


def _read(session: RedisSession, key: bytes, operations: list[_Operation]) -> bytes:
    text = text_at(session, key)
    return resp.array([resp.integer(operation.read(text)) for operation in operations])
