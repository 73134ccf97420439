"""What was set over one protocol is read over the others: RESP, the line protocol, the Python API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import mvcc_kv

from ..server.running import Client, until
from .servers import Connection, Place


class Fronts:
    """One connection of each kind to one server."""

    def __init__(self, place: Place) -> None:
        self.resp: Connection = place.connect()
        self.line = Client((place.host, place.port))
        self.python = mvcc_kv.connect(f"{place.host}:{place.port}")

    def line_put(self, key: str, value: Any, **options: Any) -> None:
        reply = self.line.ask(b"PUT " + json.dumps({"key": key, "value": value, **options}).encode())
        assert json.loads(reply)["status"] == "Ok", reply

    def line_get(self, key: str) -> Any:
        return self.line.asked(b"GET " + key.encode())["value"]

    def close(self) -> None:
        self.resp.close()
        self.line.close()
        self.python.close()


@pytest.fixture
def fronts(ours: Place) -> Iterator[Fronts]:
    fronts = Fronts(ours)
    yield fronts
    fronts.close()


READ_AS = [
    ("lunch", b"lunch"),
    ("größer\n", "größer\n".encode()),
    ("", b""),
    (90, b"90"),
    (1.5, b"1.5"),
    (True, b"true"),
    (None, b"null"),
    ([1, 2], b"[1, 2]"),
    ({"balance": 1.0}, b'{"balance": 1.0}'),
    ({"$bytes": "AP/+"}, b"\x00\xff\xfe"),
]
"""A JSON value, and what GET says of it."""


@pytest.mark.parametrize(("value", "text"), READ_AS)
def test_json_reads_as_a_string_over_resp(fronts: Fronts, value: Any, text: bytes) -> None:
    fronts.line_put("a", value)
    assert fronts.resp.asked("GET", "a") == text
    assert fronts.python["a"] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"lunch", "lunch"), (b"90", "90"), (b'{"n": 1}', '{"n": 1}'), (b"", ""), (b"\x00\xff\xfe", {"$bytes": "AP/+"})],
)
def test_a_string_of_redis_reads_as_json(fronts: Fronts, text: bytes, value: Any) -> None:
    assert fronts.resp.ask("SET", "a", text) == b"+OK\r\n"
    assert fronts.line_get("a") == value
    assert fronts.python["a"] == value


def test_a_counter_is_one_counter_everywhere(fronts: Fronts) -> None:
    assert fronts.resp.ask("INCR", "hits") == b":1\r\n"
    assert fronts.line.asked(b'ADD {"key": "hits", "by": 2}')["value"] == 3
    fronts.python.add("hits", 4)
    assert fronts.resp.ask("INCRBY", "hits", 10) == b":17\r\n"
    assert fronts.line_get("hits") == 17


def test_a_time_to_live_is_one_everywhere(fronts: Fronts) -> None:
    fronts.line_put("a", "x", ttl_s=100)
    assert 90 < fronts.resp.asked("TTL", "a") <= 100
    with fronts.python.transaction() as tx:
        tx.put("b", "y", ttl_s=100)
    assert 90 < fronts.resp.asked("TTL", "b") <= 100
    assert fronts.resp.ask("SET", "c", "z", "PX", 5) == b"+OK\r\n"
    until(lambda: "c" not in fronts.python)
    assert fronts.line.asked(b"GET c").get("code") == "KEY_NOT_FOUND"


def test_a_transaction_of_the_line_protocol_loses_to_a_redis_client(fronts: Fronts) -> None:
    fronts.line.ask(b"START")
    fronts.line.ask(b"PUT a mine")
    assert fronts.resp.ask("SET", "a", "theirs") == b"+OK\r\n"
    assert fronts.line.asked(b"COMMIT")["code"] == "CONFLICT"


def test_a_watch_is_lost_to_a_commit_of_the_line_protocol(fronts: Fronts) -> None:
    fronts.resp.ask("WATCH", "a")
    fronts.line.ask(b"PUT a theirs")
    fronts.resp.ask("MULTI")
    fronts.resp.ask("SET", "a", "mine")
    assert fronts.resp.ask("EXEC") == b"*-1\r\n"
    assert fronts.line_get("a") == "theirs"


def test_a_key_that_is_no_text_is_refused(fronts: Fronts) -> None:
    assert fronts.resp.ask("SET", b"\xff", "x").startswith(b"-ERR a key must be UTF-8")
    assert fronts.resp.ask("GET", b"\xff") == b"$-1\r\n"


def test_the_feed_tells_of_commits_of_redis_clients(fronts: Fronts) -> None:
    with fronts.python.changes() as feed:
        fronts.resp.ask("MSET", "a", 1, "b", 2)
        change = next(iter(feed))
    assert dict(change.puts) == {"a": "1", "b": "2"}
