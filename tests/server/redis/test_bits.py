"""Bits of strings, by a plain model. That replies are Redis's is shown in `test_strings_like_redis.py`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.server.redis.clients import Place

places = st.integers(-40, 40)


@given(st.binary(min_size=1, max_size=4), places, places)
def test_a_range_of_bits_is_counted(text: bytes, first: int, last: int) -> None:
    client = Place().client()
    client("SET", "a", text)
    row = "".join(f"{byte:08b}" for byte in text)
    begin = max(first + len(row), 0) if first < 0 else first
    end = max(last + len(row), 0) if last < 0 else last
    expected = row[begin : end + 1].count("1") if first >= 0 or last >= 0 or first <= last else 0
    assert client("BITCOUNT", "a", first, last, "BIT") == expected


@given(st.binary(max_size=4), st.integers(0, 1))
def test_the_first_bit_of_a_kind_is_found(text: bytes, bit: int) -> None:
    client = Place().client()
    client("SET", "a", text)
    row = "".join(f"{byte:08b}" for byte in text)
    found = row.find(str(bit))
    behind = len(row) if text and bit == 0 else -1
    assert client("BITPOS", "a", bit) == (found if found >= 0 else behind)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1)), max_size=10))
def test_a_bit_that_was_set_is_got(sets: list[tuple[int, int]]) -> None:
    place = Place()
    client, model = place.client(), dict[int, int]()
    for offset, bit in sets:
        assert client("SETBIT", "a", offset, bit) == model.get(offset, 0)
        model[offset] = bit
    assert [client("GETBIT", "a", offset) for offset in range(48)] == [model.get(offset, 0) for offset in range(48)]
    place.store.check()


def test_a_bit_that_does_not_change_is_no_commit() -> None:
    place = Place()
    client = place.client()
    assert [client("SETBIT", "a", 7, 0), client("SETBIT", "a", 7, 0)] == [0, 0]
    assert place.store.commit_ts == 1


def test_bitop_of_nothing_deletes_the_target() -> None:
    client = Place().client()
    client("SET", "a", "x")
    assert client("BITOP", "AND", "a", "b", "c") == 0
    assert client("GET", "a") is None


def test_shorter_strings_are_combined_as_if_zeros_followed() -> None:
    client = Place().client()
    client("MSET", "a", b"\xf0\xff", "b", b"\xff")
    assert client("BITOP", "AND", "c", "a", "b") == 2
    assert client("GET", "c") == b"\xf0\0"
    assert client("BITOP", "NOT", "c", "b") == 1
    assert client("GET", "c") == b"\0"


def test_bitfield_overflows_as_it_is_told() -> None:
    client = Place().client()
    assert client("BITFIELD", "a", "SET", "u8", "#1", 250, "INCRBY", "u8", "#1", 10) == [0, 4]
    assert client("BITFIELD", "a", "OVERFLOW", "SAT", "INCRBY", "u8", 8, 999) == [255]
    assert client("BITFIELD", "a", "OVERFLOW", "FAIL", "INCRBY", "u8", 8, 1, "GET", "i8", 8) == [None, -1]


def test_bitfield_that_fails_makes_its_room_all_the_same() -> None:
    client = Place().client()
    assert client("BITFIELD", "a", "OVERFLOW", "FAIL", "SET", "u8", 8, 256) == [None]
    assert client("GET", "a") == b"\0\0"


def test_bitfield_ro_only_reads() -> None:
    client = Place().client()
    assert client("BITFIELD_RO", "a", "GET", "u8", 0) == [0]
    assert client.fails("BITFIELD_RO", "a", "SET", "u8", 0, 1) == "ERR BITFIELD_RO only supports the GET subcommand"
