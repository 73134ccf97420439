"""The C type that INCRBYFLOAT counts in: x87's `long double`, with exact fractions.

       sign | 15 bits of exponent | 64 bits of digits          0.1 + 0.2 = 0.3, where 64-bit floats fail

What Redis reads (`strtold`) and what it sums is rounded to the nearest such number, the even one of two; what it
writes (`%.17Lf`) is that number's own decimal digits, rounded to 17 places, less the zeros at the end. Here numbers are
`Fraction`s, which are exact, and the rounding is done by hand; so it comes out alike on every machine.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

__all__ = ["LongDouble", "read", "total", "written"]

LongDouble: TypeAlias = "Fraction | float"
"""A finite number, or one of the two infinities."""

_TEXT_BYTES_MAX = 5 * 1024 - 1  # what Redis makes room for
_DIGITS = 64
_LEAST_EXPONENT = -16_445  # of the last digit: there is no number closer to zero than 2 to that
_BOUND = 1 << 16_384
_TENS_MAX, _TENS_MIN = 4_940, -4_970  # powers of ten that are surely too large, and surely nothing
_PLACES = 17
_SCALE = 10**_PLACES
_DECIMAL = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?\Z")
_HEX = re.compile(rb"([+-]?)0[xX](?:([0-9a-fA-F]+)\.?([0-9a-fA-F]*)|\.([0-9a-fA-F]+))(?:[pP]([+-]?[0-9]+))?\Z")
_INFINITY = re.compile(rb"([+-]?)inf(?:inity)?\Z", re.IGNORECASE)


def read(text: bytes) -> LongDouble | None:
    """The number that the text is; None if it is none, too large, or so small that it would be lost.

    >>> read(b"1.5"), read(b"0x.8p1"), read(b"-inf"), read(b" 1"), read(b"1e5000"), read(b"1e-5000")
    (Fraction(3, 2), Fraction(1, 1), -inf, None, None, None)
    """
    if len(text) > _TEXT_BYTES_MAX:
        return None
    if (found := _INFINITY.match(text)) is not None:
        return -math.inf if found[1] == b"-" else math.inf
    exact = _exact_decimal(text) if _DECIMAL.match(text) else _exact_hex(text)
    if exact is None:
        return None
    nearest = _nearest(exact)
    return None if isinstance(nearest, float) or (exact and not nearest) else nearest


def total(one: LongDouble, other: LongDouble) -> Fraction | None:
    """The sum; None if that is no finite number."""
    if isinstance(one, float) or isinstance(other, float):
        return None
    nearest = _nearest(one + other)
    return None if isinstance(nearest, float) else nearest


def written(number: Fraction) -> bytes:
    """The number with 17 places at most.

    >>> written(Fraction(3, 2)), written(Fraction(-1, 10**30)), written(Fraction(10**20))
    (b'1.5', b'0', b'100000000000000000000')
    """
    scaled = _divided(abs(number.numerator) * _SCALE, number.denominator)
    digits = format(Decimal(scaled), "f").rjust(_PLACES + 1, "0")  # Python's own conversion ends at 4300 digits
    text = f"{digits[:-_PLACES]}.{digits[-_PLACES:]}".rstrip("0").rstrip(".")
    return f"-{text}".encode() if scaled and number < 0 else text.encode()


def _nearest(exact: Fraction) -> LongDouble:
    """The number of 64 binary digits that is nearest."""
    if not exact:
        return exact
    size, divisor = abs(exact.numerator), exact.denominator
    unit = max(_top(size, divisor) - _DIGITS + 1, _LEAST_EXPONENT)
    digits = _divided(size, divisor << unit) if unit >= 0 else _divided(size << -unit, divisor)
    nearest = Fraction(digits << unit) if unit >= 0 else Fraction(digits, 1 << -unit)
    if nearest >= _BOUND:
        return math.inf if exact > 0 else -math.inf
    return nearest if exact > 0 else -nearest


def _top(size: int, divisor: int) -> int:
    """The exponent of the quotient's first binary digit."""
    top = size.bit_length() - divisor.bit_length()
    is_less = size < divisor << top if top >= 0 else size << -top < divisor
    return top - is_less


def _divided(size: int, divisor: int) -> int:
    """The integer that is nearest to the quotient, the even one of two."""
    whole, rest = divmod(size, divisor)
    return whole + (2 * rest > divisor or (2 * rest == divisor and whole & 1))


def _exact_decimal(text: bytes) -> Fraction | None:
    digits, _, tens = text.lower().partition(b"e")
    number = Decimal(digits.decode())
    if not number:
        return Fraction(0)
    exponent = _small(tens)
    if not _TENS_MIN <= number.adjusted() + exponent <= _TENS_MAX:
        return None
    return Fraction(number) * Fraction(10) ** exponent


def _exact_hex(text: bytes) -> Fraction | None:
    found = _HEX.match(text)
    if found is None:
        return None
    whole, places = found[2] or b"", found[3] or found[4] or b""
    digits = int(whole + places, 16)
    exponent = _small(found[5] or b"") - 4 * len(places)
    if not digits:
        return Fraction(0)
    if not _LEAST_EXPONENT - 1 <= digits.bit_length() + exponent <= _BOUND.bit_length():
        return None
    number = digits * Fraction(2) ** exponent
    return -number if found[1] == b"-" else number


def _small(exponent: bytes) -> int:
    """The exponent, or one that is beyond all bounds likewise."""
    if not exponent:
        return 0
    size = exponent.lstrip(b"+-").lstrip(b"0")
    number = int(size or b"0") if len(size) < 7 else 10**7
    return -number if exponent.startswith(b"-") else number
