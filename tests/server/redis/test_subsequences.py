"""LCS by rows of bits against the plain table that Redis fills."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.redis.clients import Place

texts = st.text("abc", max_size=20).map(str.encode)


def longest(one: bytes, other: bytes) -> bytes:
    """What Redis answers, by its own table and its own way back."""
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for at, byte in enumerate(one):
        for beside, its in enumerate(other):
            alike = table[at][beside] + 1
            table[at + 1][beside + 1] = alike if byte == its else max(table[at][beside + 1], table[at + 1][beside])
    at, beside, found = len(one), len(other), b""
    while at and beside:
        if one[at - 1] == other[beside - 1]:
            at, beside, found = at - 1, beside - 1, one[at - 1 : at] + found
        elif table[at - 1][beside] > table[at][beside - 1]:
            at -= 1
        else:
            beside -= 1
    return found


@given(texts, texts)
def test_the_longest_is_the_one_that_redis_finds(one: bytes, other: bytes) -> None:
    client = Place().client()
    client("MSET", "a", one, "b", other)
    expected = longest(one, other)
    assert client("LCS", "a", "b") == expected
    assert client("LCS", "a", "b", "LEN") == len(expected)


def test_ranges_are_told_last_first() -> None:
    client = Place().client()
    client("MSET", "a", "ohmytext", "b", "mynewtext")
    long, short = [[4, 7], [5, 8], 4], [[2, 3], [0, 1], 2]
    assert client("LCS", "a", "b", "IDX", "WITHMATCHLEN") == [b"matches", [long, short], b"len", 6]
    assert client("LCS", "a", "b", "IDX", "MINMATCHLEN", 3) == [b"matches", [long[:2]], b"len", 6]


@pytest.mark.parametrize("options", [("MINMATCHLEN",), ("NO",), ("IDX", 1)])
def test_other_words_are_a_syntax_error(options: tuple[str, ...]) -> None:
    assert Place().client().fails("LCS", "a", "b", *options) == "ERR syntax error"


def test_a_table_that_redis_would_not_fill_is_refused() -> None:
    place = Place()
    client = place.client()
    client("MSET", "a", "x" * 99, "b", "y" * 99)
    place.services.redis.bulk_bytes_max = 39_999
    assert "exceeds proto-max-bulk-len" in client.fails("LCS", "a", "b")
