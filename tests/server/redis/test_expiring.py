"""EXPIRE, TTL, PERSIST, and what becomes of keys, watches and transactions when time passes."""

from __future__ import annotations

import pytest

from tests.server.redis.clients import Client, Place

NOW_S = 1_795_000_000


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def client(place: Place) -> Client:
    client = place.client()
    client("SET", "a", "x")
    return client


@pytest.mark.parametrize(
    "command", ["EXPIRE a 10", "PEXPIRE a 10000", f"EXPIREAT a {NOW_S + 10}", f"pexpireat a {NOW_S + 10}000"]
)
def test_a_key_is_there_until_its_time(client: Client, place: Place, command: str) -> None:
    assert client("TTL", "a") == -1
    assert client(*command.split()) == 1
    assert [client("TTL", "a"), client("PTTL", "a")] == [10, 10_000]
    assert [client("EXPIRETIME", "a"), client("PEXPIRETIME", "a")] == [NOW_S + 10, (NOW_S + 10) * 1000]
    place.pass_s(9.999)
    assert [client("GET", "a"), client("PTTL", "a"), client("TTL", "a")] == [b"x", 1, 0]
    place.pass_s(0.001)
    assert [client("GET", "a"), client("TTL", "a"), client("DBSIZE"), client("KEYS", "*")] == [None, -2, 0, []]
    place.store.check()


@pytest.mark.parametrize(("left_ms", "ttl"), [(499, 0), (500, 1), (1_499, 1), (1_500, 2)])
def test_half_a_second_is_rounded_up(client: Client, left_ms: int, ttl: int) -> None:
    client("PEXPIRE", "a", left_ms)
    assert client("TTL", "a") == ttl


def test_a_key_that_is_not_there_cannot_expire(client: Client, place: Place) -> None:
    assert client("EXPIRE", "b", 10) == client("PERSIST", "b") == 0
    assert client("TTL", "b") == client("PTTL", "b") == client("EXPIRETIME", "b") == client("PEXPIRETIME", "b") == -2
    assert place.store.commit_ts == 1


@pytest.mark.parametrize(
    "command", ["EXPIRE a 0", "EXPIRE a -1", "PEXPIRE a 0", f"EXPIREAT a {NOW_S}", "PEXPIREAT a -9223372036854775808"]
)
def test_a_time_that_is_past_deletes_at_once(client: Client, place: Place, command: str) -> None:
    assert client(*command.split()) == 1
    assert client("EXISTS", "a") == 0
    assert place.store.commit_ts == 2


def test_persist_makes_a_key_stay(client: Client, place: Place) -> None:
    client("EXPIRE", "a", 10)
    assert [client("PERSIST", "a"), client("PERSIST", "a"), client("TTL", "a")] == [1, 0, -1]
    place.pass_s(11)
    assert client("GET", "a") == b"x"


@pytest.mark.parametrize(
    ("current", "condition", "new", "is_set"),
    [
        (None, "NX", 10, True),
        (10, "NX", 20, False),
        (None, "XX", 10, False),
        (10, "XX", 20, True),
        (10, "GT", 20, True),
        (10, "GT", 10, False),
        (None, "GT", 20, False),
        (10, "LT", 5, True),
        (10, "LT", 10, False),
        (None, "LT", 20, True),
        (10, "xx gt", 20, True),
        (None, "XX LT", 20, False),
        (10, "LT LT", 5, True),
        (10, "LT", -5, True),
        (10, "NX", -5, False),
    ],
)
def test_conditions_are_as_in_redis(
    client: Client, current: int | None, condition: str, new: int, is_set: bool
) -> None:
    if current is not None:
        client("EXPIRE", "a", current)
    assert client("EXPIRE", "a", new, *condition.split()) == is_set
    left = new if is_set else current
    assert client("TTL", "a") == (-1 if left is None else -2 if left < 0 else left)


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        ("EXPIRE a 10 NX XX", "ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("EXPIRE a 10 NX LT GT", "ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("EXPIRE a 10 GT LT", "ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE a 10 AB", "ERR Unsupported option AB"),
        ("EXPIRE a x", "ERR value is not an integer or out of range"),
        ("EXPIRE a 1.5", "ERR value is not an integer or out of range"),
        ("EXPIRE a 9223372036854775808", "ERR value is not an integer or out of range"),
        ("EXPIRE a 9223372036854775807", "ERR invalid expire time in 'expire' command"),
        ("EXPIRE a -9223372036854775808", "ERR invalid expire time in 'expire' command"),
        ("expireat nobody 9223372036854775807", "ERR invalid expire time in 'expireat' command"),
        ("EXPIRE a 9223372036854775", "ERR invalid expire time in 'expire' command"),
        ("PEXPIRE a 9223372036854775807", "ERR invalid expire time in 'pexpire' command"),
    ],
)
def test_what_cannot_be_is_refused_in_redis_words(client: Client, command: str, failure: str) -> None:
    assert client.fails(*command.split()) == failure
    assert client("TTL", "a") == -1


def test_the_end_of_time_is_a_time(client: Client) -> None:
    assert client("PEXPIREAT", "a", 2**63 - 1) == 1
    assert client("PEXPIRETIME", "a") == 2**63 - 1


def test_an_expiry_that_is_set_touches_a_watched_key(client: Client, place: Place) -> None:
    client("WATCH", "a")
    place.client()("EXPIRE", "a", 10)
    client("MULTI")
    client("PING")
    assert client("EXEC") is None


def test_a_watched_key_that_expires_before_exec_loses_it(client: Client, place: Place) -> None:
    client("EXPIRE", "a", 10)
    client("WATCH", "a")
    place.pass_s(10)
    client("MULTI")
    client("PING")
    assert client("EXEC") is None


def test_a_key_that_expired_before_it_was_watched_loses_nothing(client: Client, place: Place) -> None:
    client("EXPIRE", "a", 10)
    place.pass_s(10)
    client("WATCH", "a")
    client("MULTI")
    client("PING")
    assert client("EXEC") == [b"PONG"]


def test_a_key_that_expired_before_it_was_watched_too_loses_nothing(client: Client, place: Place) -> None:
    client("WATCH", "b")
    client("EXPIRE", "a", 10)
    place.pass_s(10)
    client("WATCH", "a")
    client("MULTI")
    client("PING")
    assert client("EXEC") == [b"PONG"]


def test_a_snapshot_keeps_a_key_whose_time_is_up(client: Client, place: Place) -> None:
    client("EXPIRE", "a", 10)
    other = place.client()
    other("START")
    place.pass_s(20)
    assert client("GET", "a") is None
    assert [other("GET", "a"), other("TTL", "a"), other("DBSIZE")] == [b"x", 0, 1]
    place.store.check()


def test_exec_sets_expiries_and_sees_them(client: Client) -> None:
    client("MULTI")
    for command in "EXPIRE a 10", "TTL a", "EXPIRE a 0", "EXISTS a", "SET a y", "PEXPIRE a 5", "PERSIST a", "TTL a":
        client(*command.split())
    assert client("EXEC") == [1, 10, 1, 0, b"OK", 1, 1, -1]


def test_a_flush_takes_keys_that_expire(client: Client, place: Place) -> None:
    client("EXPIRE", "a", 10)
    client("FLUSHALL")
    client("SET", "a", "y")
    place.pass_s(11)
    assert client("GET", "a") == b"y"
    place.store.check()


def test_dbsize_counts_overdue_keys_whose_turn_has_not_come_and_nothing_else_sees_them() -> None:
    """As docs/redis.md says: one commit takes 2,000 keys away."""
    place = Place()
    client = place.client()
    client("MSET", *(word for n in range(5_000) for word in (f"k{n:04}", n)))
    for n in range(5_000):
        client("PEXPIREAT", f"k{n:04}", (place.now_us + 1_000_000) // 1000)
    place.pass_s(2)
    assert client("DBSIZE") == 3_000
    assert [client("EXISTS", "k4999"), client("GET", "k4999"), client("DBSIZE")] == [0, None, 0]
