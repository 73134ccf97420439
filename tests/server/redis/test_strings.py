"""Strings: what is kept for others to read, how long it is there, and what only our store can be asked."""

from __future__ import annotations

import tracemalloc

import pytest

from mvcc_kv.values import Expiring
from tests.server.redis.clients import Client, Place

NOW_S = 1_795_000_000


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def client(place: Place) -> Client:
    return place.client()


def kept(place: Place, key: str = "a") -> bytes | None:
    """The JSON text of the key."""
    return place.store.newest(key.encode())


def expires_us(place: Place, key: str = "a") -> int | None:
    value = kept(place, key)
    return value.expires_us if isinstance(value, Expiring) else None


# What others read


def test_a_string_is_kept_as_a_json_string(place: Place, client: Client) -> None:
    client("SET", "a", 'say "hi"')
    assert kept(place) == b'"say \\"hi\\""'
    client("SET", "a", 12)
    assert kept(place) == b'"12"'


def test_bytes_that_are_no_text_are_kept_in_base64(place: Place, client: Client) -> None:
    client("SET", "a", b"\xff\xfe")
    assert kept(place) == b'{"$bytes": "//4="}'
    assert [client("GET", "a"), client("STRLEN", "a")] == [b"\xff\xfe", 2]


def test_a_long_row_of_zeros_takes_base64s_room(place: Place, client: Client) -> None:
    assert client("SETRANGE", "a", 30_000, "x") == 30_001
    assert len(kept(place) or b"") < 41_000
    assert client("GET", "a") == b"\0" * 30_000 + b"x"


@pytest.mark.parametrize("text", ["12", '{"b": 1.0}', '[1, "x"]', "null", "true"])
def test_what_is_no_json_string_reads_as_its_text(place: Place, client: Client, text: str) -> None:
    place.store.put(b"a", text.encode())
    assert [client("GET", "a"), client("STRLEN", "a")] == [text.encode(), len(text)]


def test_what_is_appended_to_becomes_a_string(place: Place, client: Client) -> None:
    place.store.put(b"a", b"[1]")
    assert client("APPEND", "a", "!") == 4
    assert kept(place) == b'"[1]!"'


# Several keys


def test_mset_is_one_commit(place: Place, client: Client) -> None:
    client("MSET", "a", 1, "b", 2, "a", 3)
    assert place.store.commit_ts == 1
    assert client("MGET", "a", "b", "c") == [b"3", b"2", None]


def test_msetnx_sets_all_or_none(client: Client) -> None:
    assert client("MSETNX", "a", 1, "b", 2) == 1
    assert client("MSETNX", "c", 1, "b", 3) == 0
    assert client("MGET", "a", "b", "c") == [b"1", b"2", None]


@pytest.mark.parametrize("name", ["mset", "msetnx"])
def test_a_key_without_a_value_is_a_wrong_number_of_arguments(client: Client, name: str) -> None:
    assert client.fails(name, "a", 1, "b") == f"ERR wrong number of arguments for '{name}' command"


def test_nothing_is_committed_by_what_changes_nothing(place: Place, client: Client) -> None:
    for command in ("GETDEL", "GETEX", "GET"):
        assert client(command, "a") is None
    client("SETRANGE", "a", 5, "")
    client("BITFIELD", "a", "GET", "u8", 0)
    client("SET", "a", 1, "XX")
    assert place.store.commit_ts == 0


# How long it is there


@pytest.mark.parametrize(
    ("option", "time"), [("EX", 10), ("PX", 10_000), ("EXAT", NOW_S + 10), ("PXAT", (NOW_S + 10) * 1_000)]
)
def test_a_key_is_there_for_as_long_as_set_says(place: Place, client: Client, option: str, time: int) -> None:
    client("SET", "a", 1, option, time)
    assert expires_us(place) == (NOW_S + 10) * 1_000_000
    place.pass_s(9.999)
    assert client("GET", "a") == b"1"
    place.pass_s(0.001)
    assert client("GET", "a") is None


def test_setex_and_psetex_are_set_with_a_time(place: Place, client: Client) -> None:
    client("SETEX", "a", 10, 1)
    client("PSETEX", "b", 10_000, 1)
    assert expires_us(place, "a") == expires_us(place, "b") == (NOW_S + 10) * 1_000_000


def test_a_time_that_is_past_leaves_nothing_there(place: Place, client: Client) -> None:
    client("SET", "a", 1)
    assert client("SET", "a", 2, "GET", "EXAT", 1) == b"1"
    assert kept(place) is None


def test_getex_of_a_time_that_is_past_deletes(place: Place, client: Client) -> None:
    client("SET", "a", 1)
    assert client("GETEX", "a", "PXAT", 1) == b"1"
    assert kept(place) is None


def test_getex_sets_and_removes_the_time(place: Place, client: Client) -> None:
    client("SET", "a", 1)
    assert client("GETEX", "a", "EX", 10) == b"1"
    assert expires_us(place) == (NOW_S + 10) * 1_000_000
    assert client("GETEX", "a", "PERSIST") == b"1"
    assert expires_us(place) is None


KEEPING = [
    ("APPEND", "a", 1),
    ("SETRANGE", "a", 1, 1),
    ("INCR", "a"),
    ("DECRBY", "a", 2),
    ("INCRBYFLOAT", "a", 0.5),
    ("SETBIT", "a", 7, 1),
    ("BITFIELD", "a", "SET", "u8", 0, 1),
    ("SET", "a", 1, "KEEPTTL"),
    ("SET", "a", 1, "NX"),
    ("GETEX", "a"),
    ("SETNX", "a", 1),
]
DROPPING = [
    ("SET", "a", 1),
    ("SET", "a", 1, "GET"),
    ("GETSET", "a", 1),
    ("MSET", "a", 1),
    ("BITOP", "NOT", "a", "a"),
    ("GETEX", "a", "PERSIST"),
]


@pytest.mark.parametrize("command", KEEPING, ids=str)
def test_what_changes_a_value_keeps_its_time(place: Place, client: Client, command: tuple[str | int, ...]) -> None:
    client("SET", "a", 48, "EX", 10)
    client(*command)
    assert expires_us(place) == (NOW_S + 10) * 1_000_000


@pytest.mark.parametrize("command", DROPPING, ids=str)
def test_what_replaces_a_value_drops_its_time(place: Place, client: Client, command: tuple[str | int, ...]) -> None:
    client("SET", "a", 48, "EX", 10)
    client(*command)
    assert kept(place) is not None
    assert expires_us(place) is None


@pytest.mark.parametrize("name", ["SET", "GETEX"])
@pytest.mark.parametrize("time", [0, -1, 2**63 - 1])
def test_a_time_that_cannot_be_is_refused(place: Place, client: Client, name: str, time: int) -> None:
    client("SET", "a", 1)
    command = ("SET", "a", 2) if name == "SET" else ("GETEX", "a")
    assert client.fails(*command, "EX", time) == f"ERR invalid expire time in '{name.lower()}' command"
    assert client("GET", "a") == b"1"


@pytest.mark.parametrize(
    "options",
    ["NX XX", "EX", "EX 1 PX 1", "EX 1 KEEPTTL", "KEEPTTL PXAT 1", "PERSIST", "EXAT 1 EX 1", "NO", "GET GET XX NX"],
)
def test_words_that_cannot_stand_together_are_a_syntax_error(client: Client, options: str) -> None:
    assert client.fails("SET", "a", 1, *options.split()) == "ERR syntax error"


# How long it may be


def test_a_string_that_nobody_could_send_is_not_made(place: Place, client: Client) -> None:
    place.services.redis.bulk_bytes_max = 10
    client("SET", "a", "12345678")
    too_long = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
    assert client.fails("APPEND", "a", "901") == too_long
    assert client.fails("SETRANGE", "a", 10, "x") == too_long
    assert client.fails("SETRANGE", "a", 2**63 - 1, "x") == too_long
    assert client("SETRANGE", "a", 9, "x") == 10
    assert client.fails("SETBIT", "a", 80, 1) == "ERR bit offset is not an integer or out of range"
    assert client("SETBIT", "a", 79, 1) == 0


# Between START and COMMIT


def test_a_string_is_read_and_written_in_a_snapshot(client: Client, place: Place) -> None:
    client("SET", "a", "x")
    client("START")
    place.client()("SET", "a", "y")
    assert client("APPEND", "a", "!") == 2
    assert client("GETRANGE", "a", 0, -1) == b"x!"
    assert client.fails("COMMIT").startswith("CONFLICT")
    assert client("GET", "a") == b"y"


@pytest.mark.parametrize("command", [("SETBIT", "k", 8 * 2**22 - 1, 1), ("SETRANGE", "k", 2**22 - 1, "x")])
def test_a_long_string_of_zeros_is_copied_no_more_than_it_must_be(command: tuple[str | int, ...]) -> None:
    """Once SETBIT took six times the string's length, half a gigabyte of which is allowed."""
    client = Place().client()
    tracemalloc.start()
    try:
        client(*command)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert client("STRLEN", "k") == 2**22
    assert peak_bytes < 4 * 2**22  # the string, its base64, and that as JSON
