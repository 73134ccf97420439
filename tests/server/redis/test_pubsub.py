"""SUBSCRIBE and PUBLISH."""

from __future__ import annotations

import socket

import pytest

from mvcc_kv.server.redis.silence import Silence
from tests.server.redis.clients import Client, Place
from tests.server.redis.real import RealRedis


def test_messages_reach_who_listens_to_the_channel_or_a_pattern() -> None:
    place = Place()
    one, both, other = place.client(), place.client(), place.client()
    assert one("SUBSCRIBE", "news") == [b"subscribe", b"news", 1]
    both("SUBSCRIBE", "news")
    assert both("PSUBSCRIBE", "n?ws") == [b"psubscribe", b"n?ws", 2]
    assert other("PUBLISH", "news", "hi") == 3
    assert one.pushed == [[b"message", b"news", b"hi"]]
    assert both.pushed == [[b"message", b"news", b"hi"], [b"pmessage", b"n?ws", b"news", b"hi"]]


def test_each_channel_is_told_of_with_its_count() -> None:
    client = Place().client()
    assert client.raw("SUBSCRIBE", "a", "b", "a") == (
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n"
    )
    assert client.raw("UNSUBSCRIBE") == (
        b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n"
    )
    assert client("UNSUBSCRIBE") == [b"unsubscribe", None, 0]


def test_in_resp3_they_are_pushes_and_everything_else_goes_on() -> None:
    place = Place()
    client = place.client()
    client("HELLO", 3)
    assert client.raw("SUBSCRIBE", "a") == b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
    assert client("SET", "k", 1) == b"OK"
    assert client("PING") == b"PONG"
    assert client("PUBLISH", "a", "b") == 1
    assert client.pushed == [[b"message", b"a", b"b"]]


def test_in_resp2_a_subscriber_only_subscribes() -> None:
    client = Place().client()
    client("SUBSCRIBE", "a")
    assert client.fails("GET", "k") == (
        "ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
        "are allowed in this context"
    )
    assert client("PING") == [b"pong", b""]
    assert client("PING", "x") == [b"pong", b"x"]
    client("UNSUBSCRIBE", "a")
    assert client("PING") == b"PONG"


def test_who_is_gone_listens_no_more() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("SUBSCRIBE", "a")
    client("PSUBSCRIBE", "*")
    client.session.close()
    assert other("PUBLISH", "a", "b") == 0
    assert [other("PUBSUB", "CHANNELS"), other("PUBSUB", "NUMPAT")] == [[], 0]


def test_channels_are_counted() -> None:
    place = Place()
    one, two, other = place.client(), place.client(), place.client()
    one("SUBSCRIBE", "a")
    two("SUBSCRIBE", "a")
    two("SUBSCRIBE", "b")
    two("PSUBSCRIBE", "a*")
    one("PSUBSCRIBE", "a*")
    assert other("PUBSUB", "NUMSUB", "a", "b", "c") == [b"a", 2, b"b", 1, b"c", 0]
    assert other("PUBSUB", "CHANNELS", "a*") == [b"a"]
    assert other("PUBSUB", "NUMPAT") == 1


def test_a_message_in_a_batch_leaves_at_exec() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("SUBSCRIBE", "a")
    other("MULTI")
    other("PUBLISH", "a", "x")
    assert client.pushed == []
    assert other("EXEC") == [1]
    assert client.pushed == [[b"message", b"a", b"x"]]


def published_to_oneself(proto: int) -> tuple[Client, bytes | None]:
    """Who subscribes and publishes in one batch, and what EXEC answered it."""
    client = Place().client()
    client("HELLO", proto)
    for words in (["MULTI"], ["SUBSCRIBE", "zz"], ["PSUBSCRIBE", "z*"], ["PUBLISH", "zz", "b"], ["ECHO", "x"]):
        client(*words)
    return client, client.raw("EXEC")


SAID_TO_ONESELF = (
    b"*4\r\n*3\r\n$9\r\nsubscribe\r\n$2\r\nzz\r\n:1\r\n*3\r\n$10\r\npsubscribe\r\n$2\r\nz*\r\n:2\r\n"
    b"*3\r\n$7\r\nmessage\r\n$2\r\nzz\r\n$1\r\nb\r\n"
    b"*4\r\n$8\r\npmessage\r\n$2\r\nz*\r\n$2\r\nzz\r\n$1\r\nb\r\n:2\r\n$1\r\nx\r\n"
)


def test_a_message_to_oneself_stands_before_the_reply_of_its_publish_in_exec() -> None:
    client, said = published_to_oneself(2)
    assert said == SAID_TO_ONESELF
    assert client.pushed == []


def test_in_resp3_it_stands_there_as_a_push() -> None:
    _, said = published_to_oneself(3)
    as_pushes = SAID_TO_ONESELF.replace(b"\n*3", b"\n>3").replace(b"\n*4", b"\n>4")
    assert said == as_pushes


@pytest.mark.parametrize("proto", [2, 3])
def test_redis_itself_puts_it_there(redis_server: RealRedis, proto: int) -> None:
    with socket.create_connection(("127.0.0.1", redis_server.port), timeout=30) as wire:
        words = (b"SUBSCRIBE zz", b"PSUBSCRIBE z*", b"PUBLISH zz b", b"ECHO x")
        wire.sendall(b"".join(line + b"\r\n" for line in (b"HELLO %d" % proto, b"MULTI", *words, b"EXEC")))
        said, expected = b"", published_to_oneself(proto)[1] or b""
        while not said.endswith(b"$1\r\nx\r\n") and (received := wire.recv(65536)):
            said += received
    assert said.partition(4 * b"+QUEUED\r\n")[2] == expected


def test_who_wants_no_replies_hears_its_own_messages_in_exec_all_the_same() -> None:
    place = Place()
    client = place.client()
    client("HELLO", 3)
    client("SUBSCRIBE", "a")
    for silence in ("SKIP", "OFF"):
        client.pushed.clear()
        client("MULTI")
        client("PUBLISH", "a", "b")
        client.session.silence = Silence[silence]
        assert client.raw("EXEC") == b""
        assert client.pushed == [[b"message", b"a", b"b"]]
    assert client.raw("PING") == b""
    assert client.session.silence is Silence.OFF
