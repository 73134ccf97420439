"""INCR and its kin: counters that others count on with, and floats with Redis's digits."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mvcc_kv.server.redis import long_double
from tests.server.redis.clients import Place


def test_a_counter_is_kept_as_a_json_number() -> None:
    place = Place()
    client = place.client()
    assert [client("INCR", "a"), client("INCRBY", "a", 10), client("DECR", "a")] == [1, 11, 10]
    assert place.store.newest(b"a") == b"10"
    place.store.add(b"a", b"5")
    assert client("DECRBY", "a", 20) == -5


def test_a_string_that_is_a_number_can_be_counted_on_with() -> None:
    client = Place().client()
    client("SET", "a", "41")
    assert client("INCR", "a") == 42


@pytest.mark.parametrize("text", ["x", "", " 1", "1.0", "9223372036854775808"])
def test_what_is_no_integer_is_not_counted(text: str) -> None:
    client = Place().client()
    client("SET", "a", text)
    assert client.fails("INCR", "a") == "ERR value is not an integer or out of range"
    assert client("GET", "a") == text.encode()


def test_a_counter_does_not_leave_64_bits() -> None:
    client = Place().client()
    client("SET", "a", 2**63 - 1)
    assert client.fails("INCR", "a") == "ERR increment or decrement would overflow"
    assert client.fails("DECRBY", "a", -(2**63)) == "ERR decrement would overflow"
    assert client("INCRBY", "a", -(2**63)) == -1


def test_a_float_is_kept_as_a_json_number() -> None:
    place = Place()
    client = place.client()
    assert client("INCRBYFLOAT", "a", "0.1") == b"0.1"
    assert client("INCRBYFLOAT", "a", "0.2") == b"0.3"
    assert place.store.newest(b"a") == b"0.3"
    assert client("INCRBYFLOAT", "a", "-0.3") == b"0"


def test_infinity_is_not_reached() -> None:
    client = Place().client()
    client("SET", "a", "1e4932")
    assert client.fails("INCRBYFLOAT", "a", "+inf") == "ERR increment would produce NaN or Infinity"
    assert client.fails("INCRBYFLOAT", "a", "1.1e4932") == "ERR increment would produce NaN or Infinity"
    assert client.fails("INCRBYFLOAT", "a", "nan") == "ERR value is not a valid float"
    assert client.fails("INCRBYFLOAT", "a", "1e4933") == "ERR value is not a valid float"


def test_the_numbers_of_long_double_end_where_they_do() -> None:
    least = Fraction(1, 2**16_445)
    assert long_double.read(b"0x1p-16445") == least
    assert long_double.read(b"0x1p-16446") is None
    assert long_double.read(b"0x1.8p-16445") == 2 * least
    assert long_double.read(b"0x1.fffffffffffffffep16383") is not None
    assert long_double.read(b"0x1.ffffffffffffffffp16383") is None
    assert long_double.read(b"1e" + b"9" * 5_000) is None
    assert long_double.read(b"0e" + b"9" * 5_000) == 0


def test_a_sum_is_rounded_to_64_digits_the_even_of_two() -> None:
    big = Fraction(2**64)
    assert long_double.total(big, Fraction(1)) == big
    assert long_double.total(big, Fraction(3)) == big + 4
