"""DEL, RENAME, COPY, FLUSHALL and their kin."""

from __future__ import annotations

import pytest

from tests.server.redis.clients import Client, Place


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def client(place: Place) -> Client:
    return place.client()


def test_del_and_unlink_count_keys_that_were_there_and_each_once(client: Client, place: Place) -> None:
    client("SET", "a", 1)
    client("SET", "b", 2)
    assert client("DEL", "a", "a", "nobody") == 1
    assert client("UNLINK", "b", "a") == 1
    assert client("DBSIZE") == 0
    place.store.check()


def test_a_del_of_nothing_is_no_commit(client: Client, place: Place) -> None:
    assert client("DEL", "a", b"\xff") == 0
    assert place.store.commit_ts == 0


def test_exists_and_touch_count_each_mention(client: Client) -> None:
    client("SET", "a", 1)
    assert client("EXISTS", "a", "a", "b", b"\xff") == 2
    assert client("TOUCH", "a", "b") == 1


def test_type_is_string_or_none(client: Client) -> None:
    client("SET", "a", 1)
    assert [client.raw("TYPE", key) for key in "ab"] == [b"+string\r\n", b"+none\r\n"]


def test_rename_takes_value_and_expiry_along(client: Client, place: Place) -> None:
    client("SET", "a", "x")
    client("EXPIRE", "a", 10)
    client("SET", "b", "y")
    assert client("RENAME", "a", "b") == b"OK"
    assert [client("GET", "b"), client("TTL", "b"), client("EXISTS", "a")] == [b"x", 10, 0]
    place.store.check()


def test_rename_over_a_key_that_expires_leaves_it_no_expiry(client: Client) -> None:
    client("SET", "a", "x")
    client("SET", "b", "y")
    client("EXPIRE", "b", 10)
    client("RENAME", "a", "b")
    assert client("TTL", "b") == -1


def test_rename_to_itself_changes_nothing(client: Client, place: Place) -> None:
    client("SET", "a", "x")
    assert client("RENAME", "a", "a") == b"OK"
    assert client("RENAMENX", "a", "a") == 0
    assert place.store.commit_ts == 1


def test_renamenx_spares_what_is_there(client: Client) -> None:
    client("SET", "a", "x")
    client("SET", "b", "y")
    assert client("RENAMENX", "a", "b") == 0
    assert client("RENAMENX", "a", "c") == 1
    assert [client("GET", key) for key in "abc"] == [None, b"y", b"x"]


def test_who_renames_nothing_is_told(client: Client) -> None:
    assert client.fails("RENAME", "a", "b") == "ERR no such key"
    assert client.fails("RENAMENX", "a", "a") == "ERR no such key"


def test_a_rename_to_what_is_no_text_leaves_the_key(client: Client) -> None:
    client("SET", "a", "x")
    assert client.fails("RENAME", "a", b"\xff").startswith("ERR a key must be UTF-8 text here")
    assert client("GET", "a") == b"x"


def test_copy_spares_what_is_there_unless_it_is_to_replace(client: Client) -> None:
    client("SET", "a", "x")
    client("EXPIRE", "a", 10)
    assert client("COPY", "a", "b") == 1
    client("SET", "c", "z")
    assert client("COPY", "a", "c", "db", 0) == 0
    assert client("COPY", "a", "c", "replace", "DB", 0) == 1
    assert [client("GET", "c"), client("TTL", "b"), client("TTL", "c")] == [b"x", 10, 10]
    assert client("COPY", "nobody", "c") == 0


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        ("COPY a a", "ERR source and destination objects are the same"),
        ("COPY a b DB 1", "ERR DB index is out of range"),
        ("COPY a b DB x", "ERR value is not an integer or out of range"),
        ("COPY a b DB 2147483648", "ERR value is out of range, value must between -2147483648 and 2147483647"),
        ("COPY a b DB", "ERR syntax error"),
        ("COPY a b NOW", "ERR syntax error"),
        ("MOVE a 1", "ERR DB index is out of range"),
        ("MOVE a 0", "ERR source and destination objects are the same"),
        ("MOVE a x", "ERR value is not an integer or out of range"),
        ("SWAPDB 0 x", "ERR invalid second DB index"),
        ("SWAPDB x 0", "ERR invalid first DB index"),
        ("SWAPDB 0 1", "ERR DB index is out of range"),
        ("FLUSHALL NOW", "ERR syntax error"),
        ("FLUSHDB SYNC ASYNC", "ERR syntax error"),
        ("WAIT x 0", "ERR value is not an integer or out of range"),
        ("WAIT 0 x", "ERR timeout is not an integer or out of range"),
        ("WAIT 0 -1", "ERR timeout is negative"),
    ],
)
def test_what_cannot_be_is_refused_in_redis_words(client: Client, command: str, failure: str) -> None:
    client("SET", "a", 1)
    assert client.fails(*command.split()) == failure


def test_the_one_database_is_swapped_with_itself(client: Client) -> None:
    assert client("SWAPDB", 0, 0) == b"OK"


def test_no_replica_is_waited_for(client: Client) -> None:
    assert client("WAIT", 3, 0) == 0


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB", "FLUSHALL async", "FLUSHDB SYNC"])
def test_flushing_is_one_commit(client: Client, place: Place, command: str) -> None:
    for number in range(2_500):
        client("SET", number, number)
    before_ts = place.store.commit_ts
    assert client(*command.split()) == b"OK"
    assert [client("DBSIZE"), place.store.commit_ts] == [0, before_ts + 1]
    assert client("FLUSHALL") == b"OK"
    assert place.store.commit_ts == before_ts + 1
    place.store.check()


def test_a_flush_touches_watched_keys_that_are_there_and_no_others(client: Client, place: Place) -> None:
    other = place.client()
    client("SET", "a", 1)
    for key, reply in ("nobody", [b"PONG"]), ("a", None):
        client("WATCH", key)
        other("FLUSHALL")
        client("MULTI")
        client("PING")
        assert client("EXEC") == (reply if key == "nobody" else None)
        other("SET", "a", 1)


def test_a_flush_in_a_transaction_is_seen_there_and_applied_at_its_end(client: Client, place: Place) -> None:
    other = place.client()
    client("SET", "a", 1)
    client("START")
    client("FLUSHALL")
    client("SET", "b", 2)
    assert [client("DBSIZE"), client("KEYS", "*"), client("RANDOMKEY")] == [1, [b"b"], b"b"]
    assert other("KEYS", "*") == [b"a"]
    client("COMMIT")
    assert other("KEYS", "*") == [b"b"]
    place.store.check()


def test_keys_are_flushed_and_written_in_one_exec(client: Client, place: Place) -> None:
    client("SET", "a", 1)
    client("MULTI")
    for command in "FLUSHALL", "SET b 2", "RENAME b c", "DBSIZE", "RANDOMKEY", "DEL c", "DBSIZE", "RANDOMKEY":
        client(*command.split())
    assert client("EXEC") == [b"OK", b"OK", b"OK", 1, b"c", 1, 0, None]
    place.store.check()


def test_flushall_beside_a_transaction_leaves_its_snapshot_and_beats_its_writes() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("MSET", "a", 1, "b", 2)
    client("START")
    client("SET", "b", 3)
    assert other("FLUSHALL") == b"OK"
    assert [client("GET", "a"), other("GET", "a"), other("DBSIZE")] == [b"1", None, 0]
    assert client.fails("COMMIT").startswith("CONFLICT key 'b' was committed at 2")
    place.store.check()
