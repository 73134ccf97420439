"""Turns, one by one: which commits go to the log together, and what a round says when a client has no room.

Commits wait a moment for those of others who are just speaking; never for others' silence, and never for long.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from mvcc_kv.engine import VersionedStore
from mvcc_kv.server import Listeners, Server, Settings

from .breaking_log import Batch, BreakingLog
from .running import Client, until

SET = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
GET = b"*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"


class CountingLog(BreakingLog):
    """Notes up to which commit each batch goes."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def batch(self) -> Batch:
        batch = super().batch()
        self.batches.append(batch.last_ts)
        return batch


class Table(NamedTuple):
    """A server that turns when it is told to, and three clients that have spoken already."""

    server: Server
    address: tuple[str, int]
    log: CountingLog
    clients: list[Client]

    def turn(self) -> None:
        self.server._loop.turn()

    def turn_until_answered(self, client: Client) -> None:
        def is_answered() -> bool:
            self.server.wake()
            self.turn()
            return client.has_answer()

        until(is_answered)
        client.reply()


@pytest.fixture
def table() -> Iterator[Table]:
    with ExitStack() as stack:
        settings, log = Settings(port=0, fsync="always"), CountingLog()
        listeners = Listeners(settings)
        listeners.listen()
        server = Server(VersionedStore(log), settings, listeners, log=log, clock=lambda: 0.0)
        stack.callback(listeners.close)
        stack.callback(server._close)
        server._loop.door.open()
        made = Table(server, listeners.sockets[0].getsockname(), log, [])
        for _ in range(3):
            client = Client(made.address)
            stack.callback(client.close)
            client.send(b"*1\r\n$4\r\nPING\r\n")
            made.turn_until_answered(client)
            made.clients.append(client)
        yield made


def test_a_commit_goes_to_the_log_when_nobody_speaks_any_more(table: Table) -> None:
    table.clients[0].send(SET)
    table.turn()
    assert table.log.batches == [], "others may have something to say"
    table.turn()
    assert table.log.batches == [1], "they had not, and nobody waits for that"
    table.turn_until_answered(table.clients[0])


def test_commits_of_those_who_speak_meanwhile_go_with_it(table: Table) -> None:
    table.clients[0].send(SET)
    table.turn()
    table.clients[1].send(SET)
    table.turn()
    table.turn()
    assert table.log.batches == [2]


def test_when_all_wait_there_is_nobody_to_wait_for(table: Table) -> None:
    for client in table.clients:
        client.send(SET)
    table.turn()
    assert table.log.batches == [3]


def test_others_who_speak_on_and_on_hold_no_commit_up(table: Table) -> None:
    table.clients[0].send(SET)
    turns = 0
    while not table.log.batches:
        table.clients[1].send(GET)
        table.turn()
        assert table.clients[1].reply().rstrip() == b"$-1", "nor do they wait for it"
        turns += 1
    assert turns == 5


def packed(*arguments: bytes) -> bytes:
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(it), it) for it in arguments)


def test_a_reply_that_is_held_comes_behind_what_the_client_had_no_room_for(table: Table) -> None:
    slow = _who_is_alone_and_slow(table)
    big = b"x" * 4000
    slow.send(packed(b"SET", b"big", big))
    table.turn_until_answered(slow)
    slow.send(packed(b"GET", b"big") * 60 + packed(b"SET", b"a", b"1"))
    table.turn()
    (peer,) = table.server._loop.peers
    assert peer.connection.output_bytes, "the client had room for all of it: the test tells nothing"
    until(lambda: bool(table.server._disk._log_worker._finished))  # the commit is on disk before the next turn
    expected = (b"$4000\r\n" + big + b"\r\n") * 60 + b"+OK\r\n"
    received = b""
    while len(received) < len(expected):
        table.server.wake()
        table.turn()
        while slow.has_answer():
            received += slow.socket.recv(65536)
    assert received == expected
    slow.close()


def _who_is_alone_and_slow(table: Table) -> Client:
    slow = Client(table.address, receive_bytes=4096)
    for client in table.clients:
        client.close()
    slow.send(packed(b"PING"))
    table.turn_until_answered(slow)
    while len(table.server._loop.peers) > 1:
        table.server.wake()
        table.turn()
    for peer in table.server._loop.peers:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return slow


def test_who_vanishes_with_a_reply_held_is_forgotten(table: Table) -> None:
    table.log.may_write.clear()
    first, second, _ = table.clients
    first.send(packed(b"SET", b"a", b"1"))
    table.turn()
    first.reset()
    until_gone = len(table.server._loop.peers) - 1
    while len(table.server._loop.peers) > until_gone:
        table.server.wake()
        table.turn()
    table.log.may_write.set()
    second.send(packed(b"SET", b"a", b"2"))
    table.turn_until_answered(second)
    assert not table.server._loop._holding and not table.server._loop._rounds.waiting


def test_who_vanishes_in_the_turn_in_which_the_reply_could_leave_ends_nobody_else(table: Table) -> None:
    first, second, _ = table.clients
    first.send(packed(b"SET", b"a", b"1"))
    for _ in range(2):
        table.turn()
    until(lambda: bool(table.server._disk._log_worker._finished))  # the loop hears of that first,
    first.reset()  # and in the same turn of this
    table.turn()
    second.send(packed(b"GET", b"a"))
    table.turn_until_answered(second)
    assert len(table.server._loop.peers) == 2
