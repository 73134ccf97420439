"""TIME, SAVE, DEBUG SLEEP, SHUTDOWN, MEMORY, COMMAND: what concerns the server as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.server.redis.commands import COMMANDS
from tests.server.redis.clients import Place
from tests.server.redis.real import RealRedis
from tests.server.redis.test_clients import run_due


def with_checkpoints(place: Place) -> list[Callable[[int | Error], None]]:
    """What is to be told how its checkpoint went; nothing is, until the test says so."""
    asked: list[Callable[[int | Error], None]] = []
    place.services = replace(place.services, checkpoint=asked.append)
    return asked


def test_time_is_the_wall_clock() -> None:
    place = Place()
    place.now_us = 1_234_567_890
    assert place.client()("TIME") == [b"1234", b"567890"]


def test_save_answers_when_it_is_done() -> None:
    place = Place()
    asked = with_checkpoints(place)
    client = place.client()
    assert client.raw("SAVE") is None
    asked[0](7)
    assert client.later == [b"OK"]


def test_save_answers_what_went_wrong() -> None:
    place = Place()
    asked = with_checkpoints(place)
    client = place.client()
    client.raw("SAVE")
    asked[0](UnavailableError("the disk is full"))
    assert str(client.later[0]) == "ERR the disk is full"


def test_bgsave_answers_at_once_and_one_is_enough() -> None:
    place = Place()
    asked = with_checkpoints(place)
    client = place.client()
    assert client("BGSAVE") == b"Background saving started"
    assert client.fails("BGSAVE") == "ERR Background save already in progress"
    assert client("BGSAVE", "SCHEDULE") == b"Background saving scheduled"
    asked[0](7)
    assert client("BGREWRITEAOF") == b"Background append only file rewriting started"


def test_bgsave_of_what_is_not_kept_is_refused() -> None:
    place = Place()
    place.services = replace(place.services, checkpoint=lambda answer: answer(UnavailableError("nothing is kept")))
    client = place.client()
    assert client.fails("BGSAVE") == "ERR nothing is kept"
    assert client.fails("BGSAVE") == "ERR nothing is kept"


def test_only_who_sleeps_waits() -> None:
    place = Place()
    client, other = place.client(), place.client()
    assert client.raw("DEBUG", "SLEEP", "1.5") is None
    assert other("PING") == b"PONG"
    run_due(place, 1.4)
    assert client.later == []
    run_due(place, 0.2)
    assert client.later == [b"OK"]


def test_what_debug_cannot_do_it_says() -> None:
    client = Place().client()
    assert client("DEBUG", "SET-ACTIVE-EXPIRE", 0) == b"OK"
    assert client.fails("DEBUG", "OBJECT", "a") == (
        "ERR DEBUG OBJECT is not supported here; only SLEEP and SET-ACTIVE-EXPIRE are"
    )
    assert "JMAP" in client.fails("DEBUG", "JMAP")
    assert client.fails("DEBUG", "SLEEP", "x") == "ERR value is not a valid float"
    assert client.fails("DEBUG", "SLEEP", "nan").startswith("ERR DEBUG SLEEP is from 0")


def test_no_client_stops_the_server() -> None:
    assert Place().client().fails("SHUTDOWN", "NOSAVE") == (
        "ERR SHUTDOWN is not for clients here; stop the server with SIGTERM, or Ctrl-C where it runs"
    )


def test_memory_of_a_key_grows_with_it() -> None:
    client = Place().client()
    client("SET", "a", "x")
    small = client("MEMORY", "USAGE", "a")
    client("SET", "a", "x" * 1000)
    assert client("MEMORY", "USAGE", "a", "SAMPLES", 0) == small + 999


def test_every_command_is_listed_described_and_documented() -> None:
    client = Place().client()
    names = client("COMMAND", "LIST")
    assert client("COMMAND", "COUNT") == len(names) == len(client("COMMAND")) == len(client("COMMAND", "INFO"))
    documents = client("COMMAND", "DOCS")
    assert sorted(documents[::2]) == sorted(names)
    assert b"client|kill" in client("COMMAND", "LIST", "FILTERBY", "PATTERN", "client|*")
    assert b"flushall" in client("COMMAND", "LIST", "FILTERBY", "ACLCAT", "dangerous")


def test_every_command_tells_what_it_is_for() -> None:
    for entry in COMMANDS.values():
        for one in (entry, *entry.subcommands.values()):
            assert one.summary, one.name
            assert not one.writes or "readonly" not in one.flags, one.name


def test_in_a_batch_nobody_sleeps() -> None:
    place = Place()
    client = place.client()
    client("MULTI")
    assert client("DEBUG", "SLEEP", "0.1") == b"QUEUED"
    client("DEBUG", "SLEEP", "x")
    client("SET", "a", 1)
    ok, error, then = client("EXEC")
    assert (ok, str(error), then) == (b"OK", "ERR value is not a valid float", b"OK")
    assert not len(place.services.deadlines)
    assert client.raw("DEBUG", "SLEEP", "1.5") is None


@pytest.mark.parametrize(
    "words", ["", "x", "5", "VERSION", "VERSION 7", "VERSION 9 x", "VERSION -1 x", "VERSION 5 1 1 1 x"]
)
def test_lolwut_tells_the_version_unless_a_number_is_none(words: str) -> None:
    assert Place().client()("LOLWUT", *words.split()).startswith(b"Redis ver. 7.0.15")


@pytest.mark.parametrize(
    ("container", "absent"), [("SCRIPT", "DEBUG KILL LOAD"), ("FUNCTION", "LOAD DELETE STATS KILL DUMP RESTORE")]
)
def test_the_help_on_scripts_is_redis_own_but_for_what_is_not_here(
    redis_server: RealRedis, container: str, absent: str
) -> None:
    expected, is_here = [], True
    for line in redis_server(container, "HELP"):
        if not line.startswith(b" "):
            is_here = line.split()[0].decode() not in absent.split()
        if is_here:
            expected.append(line)
    assert Place().client()(container, "HELP") == expected
    assert container.encode() + b" <subcommand> [<arg> [value] [opt] ...]. Subcommands are:" == expected[0]
