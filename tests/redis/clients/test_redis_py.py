"""redis-py, in both protocols. What holds for Redis holds for us."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError, WatchError

from ...server.running import DEADLINE_S, until
from ..servers import Place

FAR_S = 4_102_444_800  # in the year 2100


def test_it_connects_as_it_comes(place: Place) -> None:
    with redis.Redis(host=place.host, port=place.port) as client:
        assert client.ping()
        assert client.info()["redis_version"] == "7.0.15"


def test_it_connects_by_url_with_a_name(place: Place) -> None:
    with redis.Redis.from_url(f"redis://{place.host}:{place.port}/0", client_name="walker") as client:
        assert client.client_getname() == "walker"
        assert "walker" in [it["name"] for it in client.client_list()]


def test_strings(client: Any) -> None:
    assert client.set("a", "foobar") is True
    assert client.get("a") == b"foobar"
    assert client.get("nothing") is None
    assert client.set("a", "x", nx=True) is None
    assert client.set("nothing", "x", xx=True) is None
    assert client.set("a", "mumble", get=True) == b"foobar"
    assert client.append("a", "!") == 7
    assert client.strlen("a") == 7
    assert client.getrange("a", 0, 2) == b"mum"
    assert client.substr("a", 3, -1) == b"ble!"
    assert client.setrange("a", 7, "?") == 8
    assert client.getset("a", "1") == b"mumble!?"
    assert client.getdel("a") == b"1"
    assert client.setnx("a", b"\x00\xff") is True
    assert client.get("a") == b"\x00\xff"
    assert client.mset({"b": 1, "c": "2"}) is True
    assert client.msetnx({"c": 1, "d": 2}) in (False, 0)
    assert client.mget("b", "c", "d") == [b"1", b"2", None]
    assert client.lcs("b", "c") == b""


def test_large_values_and_many_arguments(client: Any) -> None:
    large = bytes(range(256)) * 20_000
    assert client.set("large", large) and client.get("large") == large
    many = {b"k%d" % n: b"v%d" % n for n in range(20_000)}
    assert client.mset(many) and client.mget(list(many)) == list(many.values())
    assert client.delete(*many) == len(many)


def test_counters(client: Any) -> None:
    assert client.incr("n") == 1
    assert client.incrby("n", 41) == 42
    assert client.decr("n") == 41
    assert client.decrby("n", 1) == 40
    assert client.incrbyfloat("n", 0.5) == 40.5
    with pytest.raises(ResponseError, match=r"^value is not an integer or out of range$"):
        client.incr("n")


def test_bits(client: Any) -> None:
    assert client.setbit("bits", 7, 1) == 0
    assert client.getbit("bits", 7) == 1
    assert client.bitcount("bits") == 1
    assert client.bitpos("bits", 1) == 7
    assert client.bitop("NOT", "inverse", "bits") == 1
    assert client.get("inverse") == b"\xfe"
    assert client.bitfield("field").set("u8", "#1", 255).incrby("u8", "#1", 1).execute() == [0, 0]


def test_keys(client: Any) -> None:
    client.mset({"a": 1, "b": 2, "c": 3})
    assert client.exists("a", "b", "nothing") == 2
    assert client.type("a") == b"string"
    assert client.touch("a", "b") == 2
    assert client.rename("a", "d") is True
    assert client.renamenx("d", "c") in (False, 0)
    assert client.copy("b", "e") in (True, 1)
    assert sorted(client.keys("[b-e]")) == [b"b", b"c", b"d", b"e"]
    assert client.randomkey() in (b"b", b"c", b"d", b"e")
    assert client.dbsize() == 4
    assert client.delete("b", "nothing") == 1
    assert client.unlink("c") == 1
    assert client.object("ENCODING", "d") == b"int"
    assert client.flushdb() is True and client.dbsize() == 0


def test_expiry(client: Any) -> None:
    client.set("a", "x", ex=100)
    assert 90 < client.ttl("a") <= 100
    assert 90_000 < client.pttl("a") <= 100_000
    assert client.expire("a", 50, gt=True) in (False, 0)
    assert client.expireat("a", FAR_S) in (True, 1)
    assert client.expiretime("a") == FAR_S
    assert client.pexpiretime("a") == FAR_S * 1000
    assert client.getex("a", persist=True) == b"x"
    assert client.ttl("a") == -1 and client.ttl("nothing") == -2
    assert client.psetex("a", 5, "y") is True
    until(lambda: client.exists("a") == 0)
    client.set("a", "x")
    assert client.pexpireat("a", 1) in (True, 1)
    assert client.get("a") is None


def test_a_value_is_dumped_and_restored(client: Any) -> None:
    client.set("a", b"\x00" * 1000)
    client.restore("b", 0, client.dump("a"))
    assert client.get("b") == b"\x00" * 1000


def test_scan_iter_finds_every_key_once(client: Any) -> None:
    names = {b"key:%d" % n for n in range(500)}
    client.mset(dict.fromkeys(names, 1))
    client.set("other", 1)
    found = list(client.scan_iter(match="key:*", count=50))
    assert set(found) == names and len(found) >= len(names)


def test_replies_can_be_decoded(place: Place, protocol: int) -> None:
    with redis.Redis(host=place.host, port=place.port, protocol=protocol, decode_responses=True) as client:
        client.set("ключ", "größer")
        assert client.get("ключ") == "größer"
        assert client.keys() == ["ключ"]


def test_a_pipeline_is_a_transaction(client: Any) -> None:
    with client.pipeline() as pipe:
        assert pipe.set("a", 1).incr("a").get("a").execute() == [True, 2, b"2"]


def test_a_pipeline_need_not_be_one(client: Any) -> None:
    with client.pipeline(transaction=False) as pipe:
        for n in range(1000):
            pipe.set(f"k{n}", n)
        assert pipe.execute() == [True] * 1000
    assert client.get("k999") == b"999"


def test_an_error_in_a_pipeline_leaves_the_rest(client: Any) -> None:
    with client.pipeline() as pipe:
        replies = pipe.set("a", "x").incr("a").set("b", 1).execute(raise_on_error=False)
    assert isinstance(replies[1], ResponseError)
    assert client.get("b") == b"1"


def test_who_watched_what_changed_starts_again(client: Any) -> None:
    """`transaction` runs its function again until nobody came in between."""
    client.set("a", 1)
    runs: list[int] = []

    def double(pipe: Any) -> None:
        value = int(pipe.get("a"))
        if not runs:
            client.set("a", 10)
        runs.append(value)
        pipe.multi()
        pipe.set("a", value * 2)

    assert client.transaction(double, "a") == [True]
    assert runs == [1, 10] and client.get("a") == b"20"


def test_a_lost_watch_is_told(client: Any) -> None:
    with client.pipeline() as pipe:
        pipe.watch("a")
        client.set("a", "changed")
        pipe.multi()
        pipe.set("a", "mine")
        with pytest.raises(WatchError):
            pipe.execute()
    assert client.get("a") == b"changed"


def test_what_was_not_changed_is_unwatched_by_unwatch(client: Any) -> None:
    with client.pipeline() as pipe:
        pipe.watch("a")
        client.set("a", "changed")
        pipe.unwatch()
        pipe.multi()
        assert pipe.set("a", "mine").execute() == [True]


def test_messages_are_published_to_subscribers(client: Any) -> None:
    with client.pubsub() as listener:
        listener.subscribe("news")
        listener.psubscribe("n[ae]*")
        assert [_message(listener)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
        assert client.publish("news", "hello") == 2
        heard = {(it["type"], it["channel"], it["data"]) for it in (_message(listener), _message(listener))}
        assert heard == {("message", b"news", b"hello"), ("pmessage", b"news", b"hello")}
        listener.unsubscribe("news")
        assert _message(listener)["type"] == "unsubscribe"
        assert client.publish("news", "again") == 1
        assert client.pubsub_numpat() == 1


def _message(listener: Any) -> Any:
    message = listener.get_message(timeout=DEADLINE_S)
    assert message is not None
    return message


def test_many_threads_share_a_client(client: Any) -> None:
    threads = [threading.Thread(target=lambda: [client.incr("n") for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("n") == b"400"


def test_clients_see_each_other(client: Any) -> None:
    assert client.client_id() > 0
    assert client.client_setname("me") is True
    assert client.client_getname() in (b"me", "me")
    assert client.client_info()["name"] == "me"
    assert client.echo("hello") == b"hello"
    assert len(client.time()) == 2


def test_the_server_tells_of_itself(client: Any) -> None:
    assert client.info("server")["arch_bits"] == 64
    assert client.info("keyspace") == {}
    client.set("a", 1)
    assert client.info("keyspace")["db0"]["keys"] == 1
    assert client.command_count() > 80
    assert client.command_getkeys("MSET", "a", 1, "b", 2) == ["a", "b"] or client.command_getkeys(
        "MSET", "a", 1, "b", 2
    ) == [b"a", b"b"]
    assert "maxmemory" in client.config_get("maxmem*")


@pytest.mark.parametrize("command", ["LPUSH a", "NOSUCH b"])
def test_an_unknown_command_is_an_error_like_others(our_client: Any, command: str) -> None:
    with pytest.raises(ResponseError, match="unknown command"):
        our_client.execute_command(*command.split())
    assert our_client.ping()


def test_locks_want_lua_which_we_do_not_have(our_client: Any) -> None:
    """To take one is SET NX; to give it back is a script. docs/redis.md says what to use instead."""
    lock = our_client.lock("door", timeout=10)
    assert lock.acquire()
    with pytest.raises(ResponseError, match="unknown command"):
        lock.release()
