"""SUBSCRIBE and PUBLISH."""

from __future__ import annotations

from tests.server.redis.clients import Place


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
