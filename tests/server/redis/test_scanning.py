"""KEYS, SCAN, RANDOMKEY."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from mvcc_kv.server.redis import scanning
from tests.server.redis.clients import Client, Place


def filled(count: int = 100) -> Client:
    client = Place().client()
    for number in range(count):
        client("SET", f"key:{number:04}", number)
    return client


def scanned(client: Client, *options: Any) -> list[list[bytes]]:
    """The pages of a whole scan."""
    cursor, pages = b"0", []
    while True:
        cursor, keys = client("SCAN", cursor, *options)
        pages.append(keys)
        if cursor == b"0":
            return pages


def all_of(pages: list[list[bytes]]) -> list[bytes]:
    return [key for page in pages for key in page]


def test_keys_are_told_in_order() -> None:
    client = filled(12)
    assert client("KEYS", "key:*1") == [b"key:0001", b"key:0011"]
    assert client("KEYS", "key:0001") == [b"key:0001"]
    assert client("KEYS", "nobody*") == []


def test_a_scan_tells_each_key_once_in_pages_of_so_many() -> None:
    pages = scanned(filled(), "COUNT", 30)
    assert [len(page) for page in pages] == [30, 30, 30, 10]
    assert len(set(all_of(pages))) == 100


def test_a_scan_counts_ten_unless_told() -> None:
    assert [len(page) for page in scanned(filled(25))] == [10, 10, 5]


def test_a_pattern_narrows_what_is_looked_at() -> None:
    client = filled()
    client("SET", "other", 1)
    assert scanned(client, "MATCH", "oth*", "COUNT", 1) == [[b"other"]]
    assert all_of(scanned(client, "MATCH", "*9", "COUNT", 50)) == [b"key:00%d9" % tens for tens in range(10)]


def test_a_scan_goes_on_whatever_comes_and_goes() -> None:
    client = filled()
    cursor, first = client("SCAN", 0, "COUNT", 50)
    for number in range(40, 60):
        client("DEL", f"key:{number:04}")
        client("SET", f"new:{number:04}", 1)
    _, rest = client("SCAN", cursor, "COUNT", 1_000)
    assert first + rest == [b"key:%04d" % number for number in (*range(50), *range(60, 100))] + [
        b"new:%04d" % number for number in range(40, 60)
    ]


def test_a_cursor_may_be_used_again() -> None:
    client = filled()
    cursor, _ = client("SCAN", 0)
    assert client("SCAN", cursor)[1] == client("SCAN", cursor)[1]


def test_only_strings_are_of_a_type() -> None:
    client = filled(3)
    assert len(client("SCAN", 0, "TYPE", "STRING")[1]) == 3
    assert client("SCAN", 0, "TYPE", "list", "COUNT", 1) == [b"0", []]


def test_a_page_is_bounded_whatever_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "COUNT_MAX", 20)
    assert len(filled()("SCAN", 0, "COUNT", 10**18)[1]) == 20


@pytest.mark.parametrize("cursor", ["x", " 1", "1 ", "1x", "77", "-1", str(2**64), "9" * 10_000])
def test_what_is_no_cursor_of_ours_is_refused(cursor: str) -> None:
    assert filled(1).fails("SCAN", cursor) == "ERR invalid cursor"


@pytest.mark.parametrize("cursor", ["", "+0", "-0", "000"])
def test_zero_is_a_cursor_however_it_is_written(cursor: str) -> None:
    assert filled(1)("SCAN", cursor) == [b"0", [b"key:0000"]]


@pytest.mark.parametrize(
    ("options", "failure"),
    [
        ("COUNT 0", "ERR syntax error"),
        ("COUNT x", "ERR value is not an integer or out of range"),
        ("COUNT", "ERR syntax error"),
        ("MATCH a b", "ERR syntax error"),
    ],
)
def test_options_that_cannot_be_are_refused(options: str, failure: str) -> None:
    assert filled(1).fails("SCAN", 0, *options.split()) == failure


def test_a_snapshot_is_scanned_with_its_own_writes() -> None:
    client = filled(3)
    client("START")
    client("SET", "key:0001x", 1)
    client("DEL", "key:0000")
    assert all_of(scanned(client, "COUNT", 1)) == [b"key:0001", b"key:0001x", b"key:0002"]


def test_each_key_is_drawn_about_as_often() -> None:
    client = filled(10)
    for number in range(5):
        client("DEL", f"key:{number:04}")
    drawn = Counter(client("RANDOMKEY") for _ in range(1_000))
    assert sorted(drawn) == [b"key:%04d" % number for number in range(5, 10)]
    assert min(drawn.values()) > 100  # of 200; eight standard deviations away


def test_a_key_is_drawn_from_among_the_deleted() -> None:
    place = Place()
    client = place.client()
    holder = place.client()
    for number in range(2_000):
        client("SET", number, number)
    holder("START")  # whose snapshot keeps the places of deleted keys
    for number in range(1_999):
        client("DEL", number)
    assert {client("RANDOMKEY") for _ in range(5)} == {b"1999"}
    client("DEL", 1999)
    assert client("RANDOMKEY") is None
    assert holder("RANDOMKEY") is not None


def test_a_transaction_draws_from_its_own_writes_too() -> None:
    client = filled(1)
    client("START")
    client("SET", "mine", 1)
    assert {client("RANDOMKEY") for _ in range(200)} == {b"mine", b"key:0000"}
