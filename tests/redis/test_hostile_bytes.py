"""What is no RESP, to servers that run: an error in Redis's words, then the end of that connection and of no other."""

from __future__ import annotations

import random

import pytest

from .servers import Connection, Place, packed

SEEDS = range(8)


def test_a_broken_request_is_answered_and_the_connection_closed(place: Place) -> None:
    broken = {
        b"*x\r\n": b"invalid multibulk length",
        b"*9999999999\r\n": b"invalid multibulk length",
        b"*1\r\n:1\r\n": b"expected '$', got ':'",
        b"*1\r\n$-1\r\n": b"invalid bulk length",
        b"*1\r\n$x\r\n": b"invalid bulk length",
        b"*1\r\n$9999999999\r\n": b"invalid bulk length",
        b"PING 'open\r\n": b"unbalanced quotes in request",
    }
    for data, words in broken.items():
        with place.connect() as connection:
            connection.socket.sendall(packed(["PING"]) + data)
            replies = connection.rest()
            assert replies.endswith(b"-ERR Protocol error: " + words + b"\r\n"), (data, replies)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_bytes_harm_nobody(place: Place, seed: int) -> None:
    chance = random.Random(seed)
    with place.connect() as bystander:
        for _ in range(40):
            with place.connect() as connection:
                _shout(connection, chance)
        assert bystander.ask("PING") == b"+PONG\r\n"


def _shout(connection: Connection, chance: random.Random) -> None:
    kind = chance.choice((b"*", b"*2\r\n$", b"GET ", b"*1\r\n$3\r\nGET\r\n"))
    noise = bytes(chance.choice(b"*$:+-\r\n0129 \x00\xffGETset\"'") for _ in range(chance.randrange(200)))
    try:
        connection.socket.sendall(kind + noise)
        connection.socket.shutdown(1)
    except OSError:
        return
    connection.rest()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_request_may_come_in_any_pieces(place: Place, seed: int) -> None:
    chance = random.Random(seed)
    requests = [
        ["SET", "a", b"\r\n*1\r\n\x00\xff"],
        ["GET", "a"],
        ["APPEND", "a", "x" * 300],
        ["STRLEN", "a"],
        ["ECHO", ""],
    ]
    data = b"".join(map(packed, requests)) + b"PING\r\nECHO 'in line'\r\n"
    with place.connect() as connection:
        while data:
            size = chance.choice((1, 2, 3, 7, 50))
            connection.socket.sendall(data[:size])
            data = data[size:]
        replies = [connection.reply() for _ in range(7)]
    assert replies == [
        b"+OK\r\n",
        b"$8\r\n\r\n*1\r\n\x00\xff\r\n",
        b":308\r\n",
        b":308\r\n",
        b"$0\r\n\r\n",
        b"+PONG\r\n",
        b"$7\r\nin line\r\n",
    ]


def test_who_vanishes_in_the_middle_of_a_request_leaves_nothing(place: Place) -> None:
    request = packed(["SET", "a", "x" * 100])
    for cut in (1, 5, 20, len(request) - 1):
        with place.connect() as connection:
            connection.socket.sendall(request[:cut])
    with place.connect() as connection:
        assert connection.ask("EXISTS", "a") == b":0\r\n"
