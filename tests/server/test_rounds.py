"""Rounds with transactions in them: who is in one is heard with all others, and it comes to an end as it does alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from selectors import EVENT_READ, EVENT_WRITE
from typing import NamedTuple

import pytest

from mvcc_kv.engine import VersionedStore
from mvcc_kv.server import Listeners, Server, Settings

from .breaking_log import BreakingLog
from .running import Client, Clock, until
from .test_gathering import packed

START, COMMIT, ROLLBACK = packed(b"START"), packed(b"COMMIT"), packed(b"ROLLBACK")
GET, SET = packed(b"GET", b"a"), packed(b"SET", b"a", b"mine")


class Table(NamedTuple):
    """A server that turns when it is told to, at a time that it is told, and two clients that have spoken already."""

    server: Server
    store: VersionedStore
    log: BreakingLog
    clock: Clock
    clients: list[Client]

    def turn(self) -> None:
        self.server.wake()
        self.server._loop.turn()

    def asked(self, client: Client, *requests: bytes) -> list[bytes]:
        """What the client is told that sends these together: of each the value, or the one line that there is."""
        client.send(b"".join(requests))
        return [self._reply(client) for _ in requests]

    def _reply(self, client: Client) -> bytes:
        line = self.line(client)
        return self.line(client) if line[:1] == b"$" and line != b"$-1" else line

    def line(self, client: Client) -> bytes:
        if b"\n" not in client._received:
            until(lambda: self._has_answer(client))
        return client.reply().rstrip()

    def _has_answer(self, client: Client) -> bool:
        if not client.has_answer():
            self.turn()
        return client.has_answer()

    @property
    def are_all_plain(self) -> bool:
        """Whether the next round is for everybody."""
        loop = self.server._loop
        return len(loop._rounds.plain) == len(loop.peers)

    @property
    def opened(self) -> int:
        """How many transactions are open."""
        return len(self.store.transactions())


@pytest.fixture
def table() -> Iterator[Table]:
    with ExitStack() as stack:
        settings, log, clock = Settings(port=0, fsync="always", transaction_timeout_s=5), BreakingLog(), Clock()
        listeners = Listeners(settings)
        listeners.listen()
        store = VersionedStore(log)
        server = Server(store, settings, listeners, log=log, clock=clock)
        stack.callback(listeners.close)
        stack.callback(server._close)
        server._loop.door.open()
        made = Table(server, store, log, clock, [])
        for _ in range(2):
            client = Client(listeners.sockets[0].getsockname())
            stack.callback(client.close)
            assert made.asked(client, packed(b"SET", b"a", b"first")) == [b"+OK"]
            made.clients.append(client)
        yield made


def test_who_is_in_a_transaction_is_heard_in_rounds(table: Table) -> None:
    client, other = table.clients
    assert table.asked(client, START, GET) == [b":2", b"first"]
    assert table.are_all_plain and table.opened == 1
    assert table.asked(other, packed(b"SET", b"b", b"new")) == [b"+OK"]
    assert table.asked(client, packed(b"GET", b"b"), SET) == [b"$-1", b"+OK"]
    assert table.asked(other, GET) == [b"first"]
    assert table.asked(client, COMMIT, GET) == [b":4", b"mine"]
    assert table.are_all_plain and table.opened == 0
    table.store.check()


def test_of_two_in_one_round_one_wins_and_the_other_is_told_who(table: Table) -> None:
    first, second = table.clients
    for client in (first, second):
        assert table.asked(client, START, GET, SET) == [b":2", b"first", b"+OK"]
    first.send(COMMIT)
    second.send(COMMIT)
    lost, won = sorted(((table.line(client), client) for client in (first, second)), key=lambda it: it[0])
    assert won[0] == b":3" and lost[0].startswith(b"-CONFLICT key 'a' was committed at 3")
    assert table.asked(lost[1], START, GET) == [b":3", b"mine"]
    assert table.store.stats()["conflicts_total"] == 1


def test_a_transaction_begun_in_a_round_times_out(table: Table) -> None:
    client, other = table.clients
    assert table.asked(client, START, SET) == [b":2", b"+OK"]
    table.clock.now_s += 6
    assert table.asked(other, GET) == [b"first"]
    assert table.opened == 0
    assert table.asked(client, GET)[0].startswith(b"-TIMEOUT")
    assert table.asked(client, COMMIT)[0].startswith(b"-TRANSACTION_DOOMED")
    assert table.asked(client, START, GET, COMMIT) == [b":2", b"first", b":2"]


def test_a_commit_in_the_very_turn_in_which_time_is_up_is_refused(table: Table) -> None:
    client = table.clients[0]
    assert table.asked(client, START, SET) == [b":2", b"+OK"]
    table.clock.now_s += 6
    assert table.asked(client, COMMIT, GET)[0].startswith(b"-TIMEOUT")
    assert table.asked(client, GET) == [b"first"]


def test_the_next_transaction_in_rounds_has_a_time_of_its_own(table: Table) -> None:
    client, other = table.clients
    for number in range(3, 6):
        assert table.asked(client, START)[0] == b":%d" % (number - 1)
        table.clock.now_s += 4
        assert table.asked(client, SET, COMMIT) == [b"+OK", b":%d" % number]
    assert table.asked(client, START) == [b":5"]
    table.clock.now_s += 4
    assert table.asked(other, GET) == [b"mine"] and table.opened == 1
    table.clock.now_s += 2
    assert table.asked(other, GET) == [b"mine"] and table.opened == 0


def test_who_vanishes_in_a_transaction_leaves_none_open(table: Table) -> None:
    client = table.clients[0]
    assert table.asked(client, START, SET) == [b":2", b"+OK"]
    client.reset()
    while len(table.server._loop.peers) > 1:
        table.turn()
    assert (table.opened, table.store.stats()["rollbacks_total"]) == (0, 1)
    table.store.check()


def in_one_turn(table: Table, first: Client, command: bytes, second: Client, then: bytes) -> None:
    """The first, whom the selector watches as one who had no room, says that; and behind it speaks the second."""
    loop = table.server._loop
    peer = next(it for it in loop.peers if it.socket.getpeername() == first.socket.getsockname())
    loop._rounds.leave(peer)
    peer.events = EVENT_READ | EVENT_WRITE
    loop._selector.modify(peer.socket, peer.events, peer)
    first.send(command)
    second.send(then)
    table.turn()


def test_who_is_killed_by_somebody_in_the_very_turn_in_which_it_speaks_has_nothing_executed(table: Table) -> None:
    killer, client = table.clients
    assert table.asked(client, START, SET) == [b":2", b"+OK"]
    in_one_turn(table, killer, packed(b"CLIENT", b"KILL", b"TYPE", b"normal"), client, SET)
    assert table.line(killer) == b":1"
    while len(table.server._loop.peers) > 1:
        table.turn()
    assert (table.store.stats()["commits_total"], table.opened) == (2, 0)
    assert client.is_closed_by_server()


def test_who_speaks_in_the_very_turn_in_which_all_are_paused_waits(table: Table) -> None:
    pauser, client = table.clients
    in_one_turn(table, pauser, packed(b"CLIENT", b"PAUSE", b"1000", b"WRITE"), client, SET)
    assert table.line(pauser) == b"+OK"
    assert table.store.stats()["commits_total"] == 2 and not client.has_answer()
    table.clock.now_s += 2
    assert table.line(client) == b"+OK"
    assert table.store.stats()["commits_total"] == 3


def test_a_transaction_that_is_killed_says_so(table: Table) -> None:
    client = table.clients[0]
    assert table.asked(client, START, SET) == [b":2", b"+OK"]
    (opened,) = table.store.transactions()
    assert table.store.kill(opened.id)
    assert table.asked(client, GET)[0].startswith(b"-TRANSACTION_DOOMED this transaction was ended by KILL")
    assert table.asked(client, ROLLBACK) == [b"+OK"]


def test_commits_in_rounds_are_refused_when_the_log_fails_and_so_is_what_began_behind_them(table: Table) -> None:
    client, other = table.clients
    assert table.asked(client, START, SET) == [b":2", b"+OK"]
    assert table.asked(other, START) == [b":2"]
    table.log.is_broken = True
    told = table.asked(client, COMMIT, START, GET)
    assert [line[:12] for line in told] == [b"-UNAVAILABLE"] * 3
    assert table.asked(client, GET)[0].startswith(b"-UNAVAILABLE"), "its snapshot is of what will never be"
    assert table.asked(client, GET) == [b"first"]
    assert table.asked(other, GET, SET) == [b"first", b"+OK"]
    assert table.asked(other, COMMIT)[0].startswith(b"-UNAVAILABLE")


def test_a_watch_ends_with_the_start_of_a_transaction(table: Table) -> None:
    client, other = table.clients
    assert table.asked(client, packed(b"WATCH", b"a"), START, COMMIT) == [b"+OK", b":2", b":2"]
    assert table.asked(other, SET) == [b"+OK"]
    told = table.asked(client, packed(b"MULTI"), packed(b"SET", b"a", b"x"), packed(b"EXEC"))
    assert told == [b"+OK", b"+QUEUED", b"*1"] and table.line(client) == b"+OK"


def test_what_is_asked_of_it_is_counted_as_ever(table: Table) -> None:
    client = table.clients[0]
    house = table.server._loop._services.redis
    assert table.asked(client, START, GET, packed(b"GET", b"none"), SET, COMMIT)[-1] == b":3"
    calls = {name: tally.calls for name, tally in house.tallies.items()}
    assert calls == {"start": 1, "get": 2, "set": 3, "commit": 1}
    assert (house.lookups.hits, house.lookups.misses) == (0, 0), "a transaction's are not among them"
