"""What is refused is told and forgotten: an error that was raised, and is kept, would keep all who were there then."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import product

import pytest

from mvcc_kv.errors import Error
from mvcc_kv.server.redis.commands import COMMANDS
from mvcc_kv.server.redis.failures import Failure

from .running import Client, Running, running
from .test_gathering import packed

Kept = Callable[[], list[BaseException]]

PING = packed(b"PING")
LEFT_OUT = {b"QUIT", b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"MONITOR", b"CLIENT"}  # what follows isn't as before


@pytest.fixture
def kept() -> Kept:
    """Tells which errors were raised since, and are still there."""
    before = _raised()
    return lambda: [it for it in _raised() if all(it is not one for one in before)]


def _raised() -> list[BaseException]:
    gc.collect()
    return [it for it in gc.get_objects() if isinstance(it, Error | Failure) and it.__traceback__ is not None]


def refused(client: Client, *commands: bytes) -> None:
    """Whatever these are answered with, they are answered."""
    client.send(b"".join(commands) + PING)
    while client.reply() != b"+PONG\r":
        pass


def told(client: Client, *commands: bytes) -> list[bytes]:
    """What each is answered with, which is one line."""
    client.send(b"".join(commands))
    return [client.reply() for _ in commands]


def conflict(run: Running, label: bytes) -> Client:
    """One that has lost, told so, and asks why; it stays."""
    loser = run.connect()
    refused(loser, packed(b"START", b"LABEL", label), packed(b"SET", b"a", b"1"))
    refused(run.connect(), packed(b"SET", b"a", b"2"))
    refused(loser, packed(b"COMMIT"), packed(b"CONFLICT", b"LAST"))
    return loser


def test_a_conflict_that_is_kept_for_who_asks_keeps_nobody_else(kept: Kept) -> None:
    with running() as run:
        for number in range(5):
            conflict(run, b"%d" % number)
        assert kept() == []


def test_a_transaction_that_was_refused_something_or_ended_keeps_nobody_else(kept: Kept) -> None:
    with running(transaction_timeout_s=5) as run:
        slow, killed, spoilt, line = (run.connect() for _ in range(4))
        for client in (slow, killed):
            told(client, packed(b"START"), packed(b"SET", b"a", b"1"))
        assert run.store.kill(max(it.id for it in run.store.transactions()))
        run.advance(10)
        told(spoilt, packed(b"START"), packed(b"INCR", b"a", b"b"))
        for client in (slow, killed, spoilt):
            lines = told(client, *[packed(b"GET", b"a")] * 3)
            assert [line[:1] for line in lines] == [b"-"] * 3
        for command in (b"START", b"PUT", b"GET a", b"PUT a 1", b"GET", b"NO"):
            line.ask(command)
        assert kept() == []


@pytest.mark.parametrize("word", [b"x", b"-1", b"99999999999999999999"])
def test_no_refusal_of_a_command_is_kept(word: bytes, kept: Kept) -> None:
    with running() as run:
        client = run.connect()
        names = {name.upper() for name in COMMANDS} - LEFT_OUT
        for name, count in product(sorted(names), range(6)):
            refused(client, packed(name, *[word] * count), packed(b"DISCARD"), packed(b"ROLLBACK"))
            if name in (b"HELLO", b"RESET"):
                client = run.connect()
        assert kept() == []


def test_nor_is_that_of_one_with_a_value_of_another_kind(kept: Kept) -> None:
    with running() as run:
        client = run.connect()
        refused(client, packed(b"SET", b"a", b"x"))
        for name in (b"INCR", b"DECR", b"INCRBYFLOAT", b"GETBIT", b"SETRANGE", b"RENAME", b"COPY", b"SCAN", b"EXPIRE"):
            refused(client, *(packed(name, b"a", *[b"x"] * count) for count in range(4)))
        refused(client, packed(b"SET", b"n", b"9223372036854775807"), packed(b"INCR", b"n"))
        assert kept() == []
