"""CLIENT: who is there, who has to go, who waits, who wants no replies."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest

from tests.server.redis.clients import Client, Place


def listed(client: Client, *words: bytes | str | int) -> list[dict[str, str]]:
    lines = client("CLIENT", "LIST", *words).decode().splitlines()
    return [dict(field.partition("=")[::2] for field in line.split(" ")) for line in lines]


def test_everybody_is_listed_until_he_goes() -> None:
    place = Place()
    first, second = place.client(), place.client()
    second("CLIENT", "SETNAME", "worker")
    place.pass_s(7)
    assert [(one["id"], one["name"], one["age"]) for one in listed(first)] == [("1", "", "7"), ("2", "worker", "7")]
    assert [one["id"] for one in listed(first, "ID", 2, 99)] == ["2"]
    second.session.close()
    assert [one["id"] for one in listed(first)] == ["1"]


def test_a_line_tells_what_the_client_is_about() -> None:
    place = Place()
    watcher, listener, other = place.client(), place.client(), place.client()
    watcher("WATCH", "a")
    watcher("MULTI")
    watcher("GET", "a")
    other("SET", "a", 1)
    listener("HELLO", 3)
    listener("SUBSCRIBE", "x")
    listener("PSUBSCRIBE", "y*")
    one, two, _ = listed(other)
    assert (one["flags"], one["multi"], one["cmd"], one["resp"]) == ("xd", "1", "get", "2")
    assert (two["flags"], two["sub"], two["psub"], two["cmd"], two["resp"]) == ("P", "1", "1", "psubscribe", "3")
    assert [one["id"] for one in listed(other, "TYPE", "pubsub")] == ["2"]
    assert [one["id"] for one in listed(other, "TYPE", "NORMAL")] == ["1", "3"]


def test_a_killed_client_is_gone_with_its_transaction() -> None:
    place = Place()
    killer, victim = place.client(), place.client()
    victim("START")
    victim("SET", "a", 1)
    assert killer("CLIENT", "KILL", "ID", 2) == 1
    assert victim.is_hung_up
    assert place.store.transactions() == []
    assert len(listed(killer)) == 1


def test_who_asks_is_spared_unless_he_says_otherwise() -> None:
    place = Place()
    killer, victim = place.client(), place.client()
    assert killer("CLIENT", "KILL", "TYPE", "normal") == 1
    assert (killer.session.wants_to_close, victim.is_hung_up) == (False, True)
    assert killer("CLIENT", "KILL", "SKIPME", "no") == 1
    assert killer.session.wants_to_close


def test_the_old_form_kills_by_address_and_who_asks_too() -> None:
    client = Place().client()
    assert client.fails("CLIENT", "KILL", "127.0.0.1:1") == "ERR No such client"
    assert client("CLIENT", "KILL", "127.0.0.1:50000") == b"OK"
    assert client.session.wants_to_close


# CLIENT REPLY


def test_a_skipped_reply_is_the_next_one_only() -> None:
    client = Place().client()
    said = [client.raw(*words) for words in (("CLIENT", "REPLY", "SKIP"), ("PING",), ("PING",))]
    assert said == [b"", b"", b"+PONG\r\n"]


def test_replies_are_off_until_they_are_on() -> None:
    client = Place().client()
    assert client.raw("CLIENT", "REPLY", "OFF") == b""
    assert [client.raw("PING"), client.raw("NOSUCH"), client.raw("CLIENT", "REPLY", "SKIP")] == [b"", b"", b""]
    assert client.raw("PING") == b""
    assert [client("CLIENT", "REPLY", "ON"), client("PING")] == [b"OK", b"PONG"]


def test_on_is_answered_even_behind_a_skip() -> None:
    client = Place().client()
    client.raw("CLIENT", "REPLY", "SKIP")
    assert [client("CLIENT", "REPLY", "ON"), client("PING")] == [b"OK", b"PONG"]


def test_subscriptions_are_told_to_who_wants_no_replies() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client.raw("CLIENT", "REPLY", "OFF")
    assert client("SUBSCRIBE", "news") == [b"subscribe", b"news", 1]
    assert other("PUBLISH", "news", "hi") == 1
    assert client.pushed == [[b"message", b"news", b"hi"]]


def test_a_later_reply_is_not_said_either() -> None:
    place = Place()
    client = place.client()
    client.raw("CLIENT", "REPLY", "OFF")
    assert client.raw("DEBUG", "SLEEP", "1") is None
    answers: list[bytes] = []
    client.session.answer_later = answers.append
    run_due(place, 1)
    assert answers == [b""]


# CLIENT PAUSE


def run_due(place: Place, after_s: float) -> None:
    """What is due after so long, is done."""
    place.pass_s(after_s)
    now = place.services.clock()
    for action in place.services.deadlines.due(now):
        action(now)


def test_a_pause_holds_everybody_until_it_ends() -> None:
    place = Place()
    client, other = place.client(), place.client()
    assert client("CLIENT", "PAUSE", 2000) == b"OK"
    assert other.raw("SET", "a", 1) is None
    assert client.raw("CLIENT", "UNPAUSE") is None
    run_due(place, 1.9)
    assert other.later == []
    run_due(place, 0.2)
    assert (other.later, client.later) == ([b"OK"], [b"OK"])
    assert client("GET", "a") == b"1"


def test_a_pause_of_writes_lets_reads_pass() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("CLIENT", "PAUSE", 2000, "WRITE")
    assert other("GET", "a") is None
    assert other.raw("INCR", "a") is None
    assert place.client().raw("PUBLISH", "a", "b") is None
    assert client("CLIENT", "UNPAUSE") == b"OK"
    assert other.later == [1]


@pytest.mark.parametrize(("queued", "comes"), [("GET", [[None]]), ("INCR", [])])
def test_a_batch_waits_as_a_whole(queued: str, comes: list[Any]) -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("CLIENT", "PAUSE", 2000, "WRITE")
    assert [other("MULTI"), other(queued, "a")] == [b"OK", b"QUEUED"]
    reply = other.raw("EXEC")
    assert (reply is None) == (comes == [])
    client("CLIENT", "UNPAUSE")
    assert other.later == ([[1]] if reply is None else [])


def test_a_pause_is_made_longer_never_shorter() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("CLIENT", "PAUSE", 2000, "WRITE")
    client("CLIENT", "PAUSE", 1000, "WRITE")
    assert other.raw("INCR", "a") is None
    run_due(place, 1.5)
    assert other.later == []
    run_due(place, 1)
    assert other.later == [1]


def test_who_was_killed_in_a_pause_does_nothing_after_it() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("CLIENT", "PAUSE", 2000, "WRITE")
    assert other.raw("INCR", "a") is None
    client("CLIENT", "KILL", "ID", 2)
    client("CLIENT", "UNPAUSE")
    assert client("GET", "a") is None


def test_who_went_in_a_pause_does_nothing_after_it() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("CLIENT", "PAUSE", 2000, "WRITE")
    assert other.raw("INCR", "a") is None
    other.session.close()
    client("CLIENT", "UNPAUSE")
    assert client("GET", "a") is None


def test_client_side_caching_is_refused() -> None:
    client = Place().client()
    assert client.fails("CLIENT", "TRACKING", "ON") == (
        "ERR CLIENT TRACKING is not supported here; go on without client side caching"
    )
    assert isinstance(client("CLIENT", "CACHING", "YES"), hiredis.ReplyError)
