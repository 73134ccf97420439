"""Redis's clients over real sockets, where it is about connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import hiredis
import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.server.running import Client, Clock, Running, running, until


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as run:
        yield run


class Speaker:
    """A socket that says commands and reads replies."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._reader = hiredis.Reader()

    def say(self, *words: str | int) -> None:
        self.client.send(b"*%d\r\n" % len(words) + b"".join(_bulk(str(word).encode()) for word in words))

    def __call__(self, *words: str | int) -> Any:
        self.say(*words)
        return self.next()

    def next(self) -> Any:
        """What comes next, asked for or not."""
        while (reply := self._reader.gets()) is False:
            data = self.client.socket.recv(65536)
            if not data:
                raise EOFError
            self._reader.feed(data)
        return reply


def _bulk(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


def test_a_killed_connection_is_closed_at_once(server: Running) -> None:
    killer, victim = Speaker(server.connect()), Speaker(server.connect())
    number = victim("CLIENT", "ID")
    victim("START")
    assert killer("CLIENT", "KILL", "ID", number) == 1
    assert victim.client.is_closed_by_server()
    until(lambda: len(server.peers) == 1)
    assert server.store.transactions() == []


def test_who_kills_himself_is_told_before_he_goes(server: Running) -> None:
    client = Speaker(server.connect())
    assert client("CLIENT", "KILL", "SKIPME", "no") == 1
    assert client.client.is_closed_by_server()


def test_a_connection_that_waits_can_be_killed(server: Running) -> None:
    killer, sleeper = Speaker(server.connect()), Speaker(server.connect())
    number = sleeper("CLIENT", "ID")
    sleeper.say("DEBUG", "SLEEP", 1000)
    sleeper.say("SET", "a", 1)
    assert killer("CLIENT", "KILL", "ID", number) == 1
    assert sleeper.client.is_closed_by_server()
    server.advance(2000)
    assert killer("GET", "a") is None


def test_sleep_holds_its_own_connection_only(server: Running) -> None:
    sleeper, other = Speaker(server.connect()), Speaker(server.connect())
    sleeper.say("DEBUG", "SLEEP", 5)
    sleeper.say("PING")
    assert other("PING") == b"PONG"
    assert not sleeper.client.has_answer()
    server.advance(6)
    assert [sleeper.next(), sleeper.next()] == [b"OK", b"PONG"]


def test_a_message_comes_to_who_says_nothing(server: Running) -> None:
    listener, other = Speaker(server.connect()), Speaker(server.connect())
    assert listener("SUBSCRIBE", "news") == [b"subscribe", b"news", 1]
    assert other("PUBLISH", "news", "hi") == 1
    assert listener.next() == [b"message", b"news", b"hi"]


def test_who_listens_is_not_idle() -> None:
    with running(idle_timeout_s=10) as server:
        listener, other = Speaker(server.connect()), Speaker(server.connect())
        listener("SUBSCRIBE", "news")
        other("PING")
        server.advance(11)
        assert other.client.is_closed_by_server()
        publisher = Speaker(server.connect())
        assert publisher("PUBLISH", "news", "hi") == 1
        assert listener.next() == [b"message", b"news", b"hi"]


def test_who_does_not_read_what_he_listens_to_is_disconnected() -> None:
    with running(output_max_bytes=100_000) as server:
        listener, other = Speaker(server.connect(receive_bytes=4096)), Speaker(server.connect())
        listener("SUBSCRIBE", "news")
        message = "x" * 50_000
        told = [other("PUBLISH", "news", message) for _ in range(200)]
        assert told[0] == 1
        assert told[-1] == 0


def test_a_pause_holds_what_was_sent_behind_it(server: Running) -> None:
    client, other = Speaker(server.connect()), Speaker(server.connect())
    client("CLIENT", "PAUSE", 5000)
    other.say("SET", "a", 1)
    other.say("GET", "a")
    server.advance(4)
    assert not other.client.has_answer()
    server.advance(2)
    assert [other.next(), other.next()] == [b"OK", b"1"]


def test_a_client_tells_how_long_it_was_silent(server: Running) -> None:
    client, other = Speaker(server.connect()), Speaker(server.connect())
    other("PING")
    server.advance(30)
    assert b" age=30 idle=30 " in client("CLIENT", "LIST", "ID", 1)


def test_the_address_is_the_one_that_kill_takes(server: Running) -> None:
    client = Speaker(server.connect())
    host, port = client.client.socket.getsockname()
    assert f" addr={host}:{port} laddr={server.address[0]}:{server.address[1]} ".encode() in client("CLIENT", "INFO")
    other = Speaker(server.connect())
    assert other("CLIENT", "KILL", f"{host}:{port}") == b"OK"
    assert client.client.is_closed_by_server()


def redis_py(server: Running, **options: Any) -> redis.Redis:
    """A client that reports an error the first time it meets it."""
    host, port = server.address
    return redis.Redis(host=host, port=port, retry=Retry(NoBackoff(), 0), **options)


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py_connects_out_of_the_box(protocol: int) -> None:
    with running(clock=Clock(ticks=True)) as server, redis_py(server, protocol=protocol, client_name="me") as client:
        assert client.set("a", "1")
        assert client.get("a") == b"1"
        assert client.client_list()[0]["lib-name"].startswith("redis-py")
        assert client.info()["redis_version"] == "7.0.15"
        assert client.config_get("databases") == {"databases": "1"}
        assert client.command()["get"]["arity"] == 2
        with client.pubsub() as listener:
            listener.subscribe("news")
            assert listener.get_message(timeout=5)["type"] == "subscribe"
            client.publish("news", "hi")
            assert listener.get_message(timeout=5)["data"] == b"hi"


def test_redis_py_of_its_own_accord_connects_with_a_password() -> None:
    with running(clock=Clock(ticks=True), password="secret") as server:
        with redis_py(server, password="secret") as client:
            assert client.ping()
        with redis_py(server) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.get("a")
        with redis_py(server, password="wrong") as guesser, pytest.raises(redis.AuthenticationError):
            guesser.get("a")


def test_redis_py_connects_asynchronously() -> None:
    async def talk(host: str, port: int) -> Any:
        async with redis.asyncio.Redis(host=host, port=port, protocol=3) as client:
            await client.set("a", "1")
            return await client.get("a")

    with running(clock=Clock(ticks=True)) as server:
        assert asyncio.run(talk(*server.address)) == b"1"
