"""SLOWLOG."""

from __future__ import annotations

from tests.server.redis.clients import Place


def test_what_took_long_is_told_newest_first() -> None:
    place = Place()
    client = place.client()
    client("CONFIG", "SET", "slowlog-log-slower-than", 0)
    client("CLIENT", "SETNAME", "worker")
    client("SET", "a", 1)
    newest, older = client("SLOWLOG", "GET")[:2]
    assert newest[0] == older[0] + 1
    assert newest[1] == place.now_us // 1_000_000
    assert newest[3:] == [[b"SET", b"a", b"1"], b"127.0.0.1:50000", b"worker"]
    assert client("SLOWLOG", "LEN") >= 2
    client("CONFIG", "SET", "slowlog-log-slower-than", -1)
    client("SLOWLOG", "RESET")
    assert client("SLOWLOG", "GET") == []


def test_it_forgets_the_oldest() -> None:
    client = Place().client()
    client("CONFIG", "SET", "slowlog-log-slower-than", 0, "slowlog-max-len", 3)
    for number in range(10):
        client("GET", number)
    assert [entry[3] for entry in client("SLOWLOG", "GET", -1)] == [[b"GET", b"9"], [b"GET", b"8"], [b"GET", b"7"]]
    assert len(client("SLOWLOG", "GET", 1)) == 1
    client("CONFIG", "SET", "slowlog-max-len", 1)
    assert client("SLOWLOG", "LEN") == 1


def test_long_commands_are_cut() -> None:
    client = Place().client()
    client("CONFIG", "SET", "slowlog-log-slower-than", 0)
    client("DEL", "x" * 200, *range(40))
    (entry,) = client("SLOWLOG", "GET", 1)
    assert len(entry[3]) == 32
    assert entry[3][1] == b"x" * 128 + b"... (72 more bytes)"
    assert entry[3][31] == b"... (11 more arguments)"


def test_passwords_are_not_kept() -> None:
    client = Place(password="secret").client()
    client("AUTH", "secret")
    client("CONFIG", "SET", "slowlog-log-slower-than", 0)
    client("AUTH", "default", "secret")
    client("HELLO", 2, "AUTH", "default", "secret", "SETNAME", "x")
    client("CONFIG", "SET", "requirepass", "secret")
    assert b"secret" not in repr(client("SLOWLOG", "GET", -1)).encode()
    assert [b"HELLO", b"2", b"AUTH", b"(redacted)", b"(redacted)", b"SETNAME", b"x"] in [
        entry[3] for entry in client("SLOWLOG", "GET", -1)
    ]
