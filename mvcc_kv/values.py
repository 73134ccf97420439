"""Between Python objects and what the store holds: keys as UTF-8 bytes, values as JSON text.

Every decode makes a new object, so what a read returns is the caller's own copy.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any

import msgspec

from mvcc_kv.errors import BadRequestError

__all__ = [
    "NESTING_MAX",
    "TTL_S_MAX",
    "TTL_S_MIN",
    "Expiring",
    "add_numbers",
    "add_to",
    "check_nesting",
    "check_ttl",
    "decode_key",
    "decode_time",
    "decode_value",
    "encode_key",
    "encode_number",
    "encode_time",
    "encode_value",
    "expiring",
    "is_overdue",
    "json_string",
    "microseconds",
    "seconds_left",
]

# Deep enough for people, and well below what makes parsers in this and other languages give up.
NESTING_MAX = 500
TTL_S_MIN = 0.001
TTL_S_MAX = 10 * 365 * 24 * 3600
_DIGITS_MAX = 640  # the least that Python's own limit can be set to
_BITS_MAX = 2_000  # fewer digits than that
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)\Z")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_NESTING_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = msgspec.json.Decoder().decode
_encode_plain = _encode_string = msgspec.json.Encoder().encode
_PLAIN = frozenset({str, int, bool, type(None)})  # of which msgspec makes what json makes, in a tenth of the time
_utf8 = str.encode


class Expiring(bytes):
    """A value's JSON text that is there until `expires_us`, the wall clock in microseconds since 1970.

    Everywhere a value goes, this one goes too; who makes a text of it (a slice, a sum) has a plain one.

    >>> value = Expiring(b'"lunch"', 1_795_425_757_000_000)
    >>> value == b'"lunch"', value.expires_us, type(value[1:])
    (True, 1795425757000000, <class 'bytes'>)
    """

    expires_us: int

    def __new__(cls, text: bytes, expires_us: int) -> Expiring:
        value = super().__new__(cls, text)
        value.expires_us = expires_us
        return value

    def __getnewargs__(self) -> tuple[bytes, int]:  # type: ignore[override]  # for copies and pickles
        return bytes(self), self.expires_us


def expiring(value: bytes, ttl_s: float, now_us: int) -> Expiring:
    """The value, there for `ttl_s` seconds from now. Raises `BadRequestError` for a time that can't be meant.

    >>> expiring(b"1", 2.5, now_us=1_000_000).expires_us
    3500000
    """
    check_ttl(ttl_s)
    return Expiring(value, now_us + round(ttl_s * 1_000_000))


def check_ttl(ttl_s: object) -> None:
    """Raise `BadRequestError` for what is no time that a value can be there for."""
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float):
        raise BadRequestError(f"ttl_s is a number of seconds, not {type(ttl_s).__name__}: {ttl_s!r}")
    if not TTL_S_MIN <= ttl_s <= TTL_S_MAX:
        raise BadRequestError(
            f"ttl_s is from {TTL_S_MIN} to {TTL_S_MAX} seconds, not {ttl_s!r}; leave it out for a value that stays"
        )


def is_overdue(value: bytes | None, now_us: int) -> bool:
    """Whether the value's time was up at `now_us`, and only the commit that takes it away is still to come."""
    return type(value) is Expiring and value.expires_us <= now_us


def seconds_left(value: bytes, now_us: int) -> float | None:
    """How long the value will be there, 0.0 if its time is up; None if it stays.

    >>> seconds_left(Expiring(b"1", 2_500_000), now_us=1_000_000), seconds_left(b"1", now_us=1_000_000)
    (1.5, None)
    """
    return max(value.expires_us - now_us, 0) / 1_000_000 if isinstance(value, Expiring) else None


def encode_key(key: str) -> bytes:
    """The key's UTF-8 bytes. Raises `BadRequestError` for anything but a `str` that UTF-8 can hold."""
    try:
        return _utf8(key)
    except TypeError:
        raise BadRequestError(f"a key is a str, not {type(key).__name__}: {key!r}") from None
    except UnicodeEncodeError:
        raise BadRequestError(f"the key {key!r} holds a lone surrogate, which UTF-8 can't encode") from None


def decode_key(key: bytes) -> str:
    """The key as the `str` it was given as."""
    return key.decode()


def encode_value(value: Any) -> bytes:
    r"""The value as JSON text, non-ASCII characters as themselves.

    Takes what `json.dumps` takes, less NaN and the infinities, which JSON has no text for. Tuples become
    arrays and a dict's numeric keys become strings, as with `json.dumps`. Raises `BadRequestError`.

    >>> encode_value({"name": "Zoë", "n": 10**30})
    b'{"name":"Zo\xc3\xab","n":1000000000000000000000000000000}'
    """
    if type(value) in _PLAIN:
        try:
            return _encode_plain(value)
        except (ValueError, OverflowError):
            pass  # a lone surrogate, or an integer that is too long for it: json knows what to do, or to say
    return _encode_anything(value)


def _encode_anything(value: Any) -> bytes:
    """As `encode_value`, whatever it is; its slow twin for what is plain."""
    try:
        text = _encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequestError(f"a value is anything JSON can hold: {error}") from None
    check_nesting(text)
    return text


def encode_number(number: object) -> bytes:
    """The number as JSON text. Raises `BadRequestError` for anything but an `int` or a finite `float`."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise BadRequestError(f"a number is an int or a float, not {type(number).__name__}: {number!r}")
    if isinstance(number, int) and number.bit_length() > _BITS_MAX:
        return format(Decimal(number), "f").encode()  # Python's own conversion refuses more than some thousand digits
    return encode_value(number)


def decode_value(text: bytes) -> Any:
    """The Python object that the JSON text stands for, newly made.

    >>> decode_value(b'[1.0, 1e400, "x"]')
    [1.0, inf, 'x']
    """
    try:
        return _decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return json.loads(text, parse_int=_exact_int)  # slower, but takes numbers of any size


def _exact_int(digits: str) -> int:
    """The integer, even past the number of digits that `int` refuses to read."""
    return int(digits) if len(digits) < _DIGITS_MAX else int(Decimal(digits))


def check_nesting(text: bytes) -> None:
    """Raise `BadRequestError` for JSON text nested deeper than `NESTING_MAX`; free for short texts."""
    if len(text) <= NESTING_MAX or text.count(b"[") + text.count(b"{") <= NESTING_MAX:
        return
    depth = 0
    for token in _NESTING_TOKEN.finditer(text):
        found = token.group()
        depth += found in (b"[", b"{")
        depth -= found in (b"]", b"}")
        if depth > NESTING_MAX:
            raise BadRequestError(f"a value is nested at most {NESTING_MAX} deep")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def decode_time(time_us: int) -> datetime:
    """The moment so many microseconds after the beginning of 1970, in UTC; no later than calendars go."""
    return _EPOCH + timedelta(microseconds=min(time_us, _LAST_US))


def microseconds(moment: datetime) -> int:
    """How many microseconds after the beginning of 1970 the moment is.

    >>> microseconds(decode_time(1_795_425_757_123_456))
    1795425757123456
    """
    return (moment - _EPOCH) // timedelta(microseconds=1)


def encode_time(time_us: int) -> str:
    """The same as text.

    >>> encode_time(1_795_425_757_123_456)
    '2026-11-23T09:22:37.123456Z'
    """
    return decode_time(time_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def json_string(text: bytes) -> bytes:
    r"""UTF-8 `text` as a JSON string, non-ASCII characters as themselves: how a key is written into JSON.

    >>> json_string(b'say "hi"')
    b'"say \\"hi\\""'
    """
    return _encode_string(text.decode())


def add_numbers(value: bytes, by: bytes) -> bytes:
    """The sum of two JSON numbers, as JSON text: exact for integers of any size; a fraction anywhere makes a float.

    Takes time by the number of digits. Raises `BadRequestError` for what is no number, and for sums that no float can
    hold.

    >>> add_numbers(b"99999999999999999999", b"1"), add_numbers(b"1", b"0.5")
    (b'100000000000000000000', b'1.5')
    """
    if _INTEGER.match(value) and _INTEGER.match(by):
        if len(value) < _DIGITS_MAX and len(by) < _DIGITS_MAX:
            return b"%d" % (int(value) + int(by))
        return _long_sum(value, by)
    total = _float(value) + _float(by)
    if not math.isfinite(total):
        raise BadRequestError(f"the sum of {_shown(value)} and {_shown(by)} is too large for a float")
    return repr(total).encode()


def add_to(value: bytes | None, by: bytes) -> bytes:
    """What a key becomes by adding: the sum of `by` and its value, 0 where there is none, for as long as that was for.

    Raises as `add_numbers`.

    >>> add_to(Expiring(b"1", 5), b"2").expires_us, add_to(None, b"2")
    (5, b'2')
    """
    if value is None:
        return add_numbers(b"0", by)
    total = add_numbers(value, by)
    return Expiring(total, value.expires_us) if type(value) is Expiring else total


def _long_sum(value: bytes, by: bytes) -> bytes:
    """In decimal digits: to make a binary number of them would take time by the square of their number."""
    context = Context(prec=max(len(value), len(by)) + 1, Emax=MAX_EMAX, Emin=MIN_EMIN)
    total = context.add(context.create_decimal(value.decode()), context.create_decimal(by.decode()))
    return format(total if total else abs(total), "f").encode()


def _float(text: bytes) -> float:
    if not _NUMBER.match(text):
        raise BadRequestError(
            f'only numbers can be added, and {_shown(text)} is none; PUT {{"key": ..., "value": 1}} stores a number'
        )
    number = float(text)
    if not math.isfinite(number):
        raise BadRequestError(f"{_shown(text)} is too large for a float, so no float can be added to it")
    return number


def _shown(text: bytes) -> str:
    return text.decode(errors="replace") if len(text) <= 40 else f"{text[:40].decode(errors='replace')}..."
