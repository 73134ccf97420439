"""CONFIG: what is told, what can be set, and what has an effect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mvcc_kv.server.redis.house import House
from mvcc_kv.server.redis.parameters import PARAMETERS
from mvcc_kv.server.settings import Fsync, Settings
from tests.server.redis.clients import Client, Place


def configured(client: Client, *patterns: str) -> dict[bytes, bytes]:
    told = client("CONFIG", "GET", *patterns)
    return dict(zip(told[::2], told[1::2], strict=True))


def test_patterns_find_names_in_any_case() -> None:
    client = Place().client()
    assert configured(client, "MaxMem*Y") == {b"maxmemory": b"0", b"maxmemory-policy": b"noeviction"}
    assert configured(client, "databases", "nosuch", "port") == {b"databases": b"1", b"port": b"0"}
    assert len(configured(client, "*")) == len(PARAMETERS)


def test_in_resp3_it_is_a_map() -> None:
    client = Place().client()
    client("HELLO", 3)
    assert client.raw("CONFIG", "GET", "databases") == b"%1\r\n$9\r\ndatabases\r\n$1\r\n1\r\n"


def test_all_are_set_or_none() -> None:
    client = Place().client()
    assert client.fails("CONFIG", "SET", "hz", 20, "maxmemory", "lots").startswith("ERR CONFIG SET failed")
    assert configured(client, "hz") == {b"hz": b"10"}
    assert client("CONFIG", "SET", "hz", 20, "SLOWLOG-MAX-LEN", 5) == b"OK"
    assert configured(client, "hz", "slowlog-max-len") == {b"hz": b"20", b"slowlog-max-len": b"5"}


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_what_is_told_can_be_set_again(name: str) -> None:
    """A client that saves a parameter, sets it and puts it back never stumbles; Redis refuses some of its own."""
    client = Place().client()
    (value,) = configured(client, name).values()
    if PARAMETERS[name].is_immutable:
        assert client.fails("CONFIG", "SET", name, value).endswith("can't set immutable config")
    else:
        assert client("CONFIG", "SET", name, value) == b"OK"
        assert configured(client, name) == {name.encode(): value}


def test_what_does_not_exist_is_not_pretended() -> None:
    client = Place().client()
    for name, value in (
        ("maxmemory", "100mb"),
        ("notify-keyspace-events", "KEA"),
        ("appendonly", "yes"),
        ("save", "1 1"),
    ):
        assert client.fails("CONFIG", "SET", name, value).startswith(
            f"ERR CONFIG SET failed (possibly related to argument '{name}') - "
        )


def test_two_names_of_one_parameter_tell_the_same() -> None:
    client = Place().client()
    client("CONFIG", "SET", "zset-max-ziplist-entries", 7)
    assert configured(client, "zset-max-listpack-entries") == {b"zset-max-listpack-entries": b"7"}


def test_the_longest_argument_is_set_at_once() -> None:
    place = Place()
    client = place.client()
    client("CONFIG", "SET", "proto-max-bulk-len", "2mb")
    assert place.services.redis.bulk_bytes_max == 2 * 1024 * 1024


def test_the_longest_argument_is_at_first_what_the_server_was_started_with() -> None:
    place = Place()
    place.services = replace(place.services, redis=House(Settings(max_bulk_bytes=5_000_000)))
    client = place.client()
    assert configured(client, "proto-max-bulk-len") == {b"proto-max-bulk-len": b"5000000"}
    assert "maximum allowed size" in client.fails("SETRANGE", "a", 5_000_000, "x")
    client("CONFIG", "SET", "proto-max-bulk-len", "6mb")
    assert client("SETRANGE", "a", 5_000_000, "x") == 5_000_001


@pytest.mark.parametrize(
    ("keeps", "fsync", "told"),
    [(True, "always", b"always"), (True, "interval", b"everysec"), (True, "never", b"no"), (False, "always", b"no")],
)
def test_what_is_not_kept_is_not_forced_to_disk(keeps: bool, fsync: Fsync, told: bytes) -> None:
    place = Place()
    place.services = replace(place.services, redis=House(Settings(fsync=fsync), keeps=keeps))
    assert configured(place.client(), "appendfsync") == {b"appendfsync": told}


def test_help_is_redis_own() -> None:
    assert Place().client()("CONFIG", "HELP")[0] == (b"CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
