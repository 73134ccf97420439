"""INFO, and what is counted for it."""

from __future__ import annotations

from tests.server.redis.clients import Client, Place


def info(client: Client, *sections: str) -> dict[str, str]:
    lines = client("INFO", *sections).decode().split("\r\n")
    return dict(line.partition(":")[::2] for line in lines if line and not line.startswith("#"))


def headings(client: Client, *sections: str) -> list[str]:
    return [line[2:] for line in client("INFO", *sections).decode().split("\r\n") if line.startswith("#")]


def test_clients_find_what_they_look_for() -> None:
    told = info(Place().client())
    assert told["redis_version"] == "7.0.15"
    assert told["arch_bits"] == "64"
    assert (told["role"], told["redis_mode"], told["cluster_enabled"]) == ("master", "standalone", "0")
    assert told["connected_clients"] == "1"
    assert int(told["used_memory"]) > 1_000_000
    assert (told["loading"], told["aof_enabled"], told["maxmemory"]) == ("0", "0", "0")


def test_sections_are_told_once_in_their_order_whatever_is_asked() -> None:
    client = Place().client()
    default = headings(client)
    assert default[:2] == ["Server", "Clients"]
    assert not {"Commandstats", "Latencystats"} & set(default)
    assert headings(client, "keyspace", "SERVER", "server") == ["Server", "Keyspace"]
    assert headings(client, "cpu", "all") == headings(client, "everything")
    assert {"Commandstats", "Errorstats"} <= set(headings(client, "all"))
    assert headings(client, "sentinel") == []


def test_keys_are_counted_under_their_database() -> None:
    client = Place().client()
    assert headings(client, "keyspace") == ["Keyspace"]
    assert info(client, "keyspace") == {}
    client("SET", "a", 1)
    client("SET", "b", 1, "EX", 100)
    assert info(client, "keyspace") == {"db0": "keys=2,expires=1,avg_ttl=0"}


def test_commands_are_counted_and_what_became_of_them() -> None:
    client = Place().client()
    client("GET", "a")
    client("GET", "a")
    client("GET")
    client("INCR", "a")
    client("SET", "b", "x")
    client("INCR", "b")
    client("CLIENT", "ID")
    told = info(client, "commandstats", "errorstats")
    assert told["cmdstat_get"].startswith("calls=2,usec=")
    assert told["cmdstat_get"].endswith(",rejected_calls=1,failed_calls=0")
    assert told["cmdstat_incr"].endswith(",rejected_calls=0,failed_calls=1")
    assert told["cmdstat_client|id"].startswith("calls=1,")
    assert told["errorstat_ERR"] == "count=2"


def test_errors_in_a_batch_are_counted_too() -> None:
    client = Place().client()
    for words in (("SET", "a", "x"), ("MULTI",), ("INCR", "a"), ("EXEC",), ("EXEC",)):
        client(*words)
    told = info(client, "commandstats", "errorstats")
    assert told["cmdstat_incr"].endswith("failed_calls=1")
    assert told["cmdstat_exec"].startswith("calls=2,")
    assert told["errorstat_ERR"] == "count=2"


def test_lookups_are_hits_or_misses() -> None:
    client = Place().client()
    client("SET", "a", 1)
    client("MGET", "a", "b", "c")
    client("GET", "a")
    told = info(client, "stats")
    assert (told["keyspace_hits"], told["keyspace_misses"]) == ("2", "2")


def test_resetstat_counts_from_nothing() -> None:
    client = Place().client()
    client("GET", "a")
    client("NOSUCH")
    client("CONFIG", "RESETSTAT")
    told = info(client, "all")
    assert "cmdstat_get" not in told
    assert "errorstat_ERR" not in told
    assert (told["keyspace_misses"], told["total_error_replies"]) == ("0", "0")


def test_the_rate_is_that_of_the_last_seconds() -> None:
    place = Place()
    client = place.client()
    info(client, "stats")
    for _ in range(39):
        client("PING")
    place.pass_s(2)
    assert info(client, "stats")["instantaneous_ops_per_sec"] == "20"


def test_expired_keys_are_counted() -> None:
    place = Place()
    client = place.client()
    client("SET", "a", 1, "PX", 10)
    place.pass_s(1)
    assert client("GET", "a") is None
    assert info(client, "stats")["expired_keys"] == "1"
