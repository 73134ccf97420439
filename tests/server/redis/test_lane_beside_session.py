"""What the quick lane answers and leaves in the store is what the session alone would, however the bytes come."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.engine import VersionedStore
from mvcc_kv.server.connection import Connection
from mvcc_kv.server.peer import Peer
from mvcc_kv.server.redis.house import House
from mvcc_kv.server.rounds import Rounds
from mvcc_kv.server.served import Services
from mvcc_kv.server.settings import Settings
from tests.engine.logs import DeferringLog
from tests.server.redis.test_quick import COMMANDS, INTERACTIVE, KEYS, TRANSACTIONS, packed

OTHERS = st.one_of(
    st.tuples(st.just(b"DEL"), KEYS),
    st.tuples(st.just(b"MULTI")),
    st.tuples(st.just(b"EXEC")),
    st.tuples(st.just(b"WATCH"), KEYS),
    st.tuples(st.just(b"START")),
    st.tuples(st.just(b"COMMIT")),
    st.tuples(st.just(b"ROLLBACK")),
    st.tuples(st.just(b"APPEND"), KEYS, st.sampled_from([b"0", b"\n"])),
    st.tuples(st.just(b"PEXPIRE"), KEYS, st.sampled_from([b"2", b"100"])),
    st.tuples(st.just(b"CLIENT"), st.just(b"REPLY"), st.sampled_from([b"SKIP", b"ON", b"OFF"])),
    st.tuples(st.just(b"HELLO"), st.sampled_from([b"2", b"3"])),
    st.tuples(st.just(b"NOSUCH")),
)


class NoTimers:
    """Nobody's time is up."""

    has_limit = True

    def arm(self, peer: Peer, now: float) -> None:
        pass

    def expire(self, peer: Peer, now: float) -> None:
        pass


class Place:
    """A server with two connections and a wall clock, whose loop is the test; with the quick lane, or without.

    If it `logs`, commits are visible when `publish` says so.
    """

    def __init__(self, stack: ExitStack, *, has_lane: bool, logs: bool) -> None:
        self.now_us = 1_000_000
        self.store = VersionedStore(DeferringLog() if logs else None, time_us=lambda: self.now_us)
        house = House()
        if not has_lane:
            house.note_slower_than(0)  # who wants every command timed gets none in the lane
        services = Services(
            store=self.store, stats=self.store.stats, checkpoint=lambda _: None, clock=lambda: 0.0, redis=house
        )
        pairs = [socket.socketpair() for _ in range(2)]
        for sock in chain.from_iterable(pairs):
            stack.enter_context(sock).setblocking(False)
        self._peers = [Peer(ours, "", Connection(services, Settings()), 0.0) for ours, _ in pairs]
        self._clients = [theirs for _, theirs in pairs]
        self._rounds = Rounds(services, keep=lambda *_: pytest.fail("there is room"), timers=NoTimers())

    def said(self, *data: bytes) -> list[bytes]:
        """What each is told at once when they have sent this, of one turn."""
        plain = [(peer, sent) for peer, sent in zip(self._peers, data, strict=True) if self._is_for_a_round(peer, sent)]
        self._rounds.run([peer for peer, _ in plain], [sent for _, sent in plain], 0.0)
        for peer, sent in zip(self._peers, data, strict=True):
            if sent and (peer, sent) not in plain:
                self._rounds.leave(peer)
                peer.connection.receive(sent, is_burst_end=True)
        told = [self._told(client) for client in self._clients]
        return [said + self._run(peer) for said, peer in zip(told, self._peers, strict=True)]

    def _is_for_a_round(self, peer: Peer, sent: bytes) -> bool:
        return bool(sent) and peer.descriptor in self._rounds.plain

    def _told(self, client: socket.socket) -> bytes:
        try:
            return client.recv(1 << 20)
        except BlockingIOError:
            return b""

    def _run(self, peer: Peer) -> bytes:
        connection = peer.connection
        while connection.can_run:
            connection.run()
        if peer.waits_for is None and connection.is_plain:
            self._rounds.join(peer)
        return connection.take_output()

    def publish(self) -> list[bytes]:
        """All commits are visible: what was held back until then."""
        self.store.publish(self.store.commit_ts)
        self._rounds.release(self.store.visible_ts, 0.0)
        told = [self._told(client) for client in self._clients]
        for peer in self._peers:
            peer.connection.release(self.store.visible_ts)
        return [said + self._run(peer) for said, peer in zip(told, self._peers, strict=True)]

    def _keys(self) -> list[bytes]:
        return self.store.keys()

    def opened(self) -> list[object]:
        """Who is in a transaction, by number: all that the engine tells of it but its age."""
        return [replace(it, age_s=0.0, id=0) for it in self.store.transactions()]

    def chains(self) -> dict[bytes, object]:
        return {key: self.store.chain(key) for key in self._keys()}


PARTS = st.one_of(COMMANDS.map(lambda it: [it]), TRANSACTIONS, INTERACTIVE, OTHERS.map(lambda it: [it]))
SENT = st.lists(PARTS, max_size=6).map(lambda parts: [command for part in parts for command in part])
BURSTS = st.lists(st.tuples(st.tuples(SENT, SENT), st.integers(0, 3)), max_size=8)
GREETING = b"*1\r\n$4\r\nPING\r\n"


@settings(max_examples=500)
@given(bursts=BURSTS, cut=st.integers(1, 50), logs=st.booleans(), publishes=st.integers(1, 4))
def test_a_client_cannot_tell_whether_there_is_a_lane(
    bursts: list[tuple[tuple[list[tuple[bytes, ...]], ...], int]], cut: int, logs: bool, publishes: int
) -> None:
    with ExitStack() as stack:
        quick, slow = (Place(stack, has_lane=has_lane, logs=logs) for has_lane in (True, False))
        _tell_apart(quick, slow, bursts, cut, publishes)


def _tell_apart(
    quick: Place, slow: Place, bursts: list[tuple[tuple[list[tuple[bytes, ...]], ...], int]], cut: int, publishes: int
) -> None:
    for place in (quick, slow):
        assert place.said(GREETING, GREETING) == [b"+PONG\r\n"] * 2
    for number, (sent, passed_ms) in enumerate(bursts):
        data = [b"".join(map(packed, commands)) for commands in sent]
        for who, said in enumerate(data):
            for part in (said[:cut], said[cut:]):
                turn = [part if at == who else b"" for at in range(2)]
                assert quick.said(*turn) == slow.said(*turn)
        if number % publishes == 0:
            assert quick.publish() == slow.publish()
        assert quick.chains() == slow.chains()
        assert quick.opened() == slow.opened()
        quick.store.check()
        for place in (quick, slow):
            place.now_us += passed_ms * 1000
            place.store.expire_due()  # as the loop does in every turn
    assert quick.publish() == slow.publish()
    assert _told(quick) == _told(slow)


@settings(max_examples=200)
@given(turns=st.lists(st.tuples(SENT, SENT), max_size=5), logs=st.booleans())
def test_in_a_round_of_several_each_is_served_as_if_they_had_come_one_by_one(
    turns: list[tuple[list[tuple[bytes, ...]], ...]], logs: bool
) -> None:
    with ExitStack() as stack:
        together, apart = (Place(stack, has_lane=True, logs=logs) for _ in range(2))
        _serve_alike(together, apart, turns)


def _serve_alike(together: Place, apart: Place, turns: list[tuple[list[tuple[bytes, ...]], ...]]) -> None:
    for place in (together, apart):
        assert place.said(GREETING, GREETING) == [b"+PONG\r\n"] * 2
    for sent in turns:
        first, second = (b"".join(map(packed, _quick_only(commands))) for commands in sent)
        told = together.said(first, second)
        assert told == [apart.said(first, b"")[0], apart.said(b"", second)[1]]
        assert together.publish() == apart.publish()
        assert together.chains() == apart.chains()
        together.store.check()


_QUICK = frozenset(((b"GET", 2), (b"SET", 3)))


def _quick_only(commands: list[tuple[bytes, ...]]) -> list[tuple[bytes, ...]]:
    """Commands that the lane may execute: others end their client's part of a round, and what follows comes later."""
    return [it for it in commands if (it[0].upper(), len(it)) in _QUICK and all(map(_is_plain_text, it))]


def _is_plain_text(text: bytes) -> bool:
    return text.isalnum() and text.isascii()


def _told(place: Place) -> dict[str, object]:
    return {name: fact for name, fact in place.store.stats().items() if name not in ("pinned_bytes", "hot_keys")}


PLAIN_KEYS = st.sampled_from([b"a", b"b", b"c"])
STEPS = st.one_of(
    st.sampled_from([(b"START",), (b"COMMIT",), (b"COMMIT",), (b"ROLLBACK",), (b"START", b"READONLY"), (b"MULTI",)]),
    st.tuples(st.just(b"GET"), PLAIN_KEYS),
    st.tuples(st.just(b"SET"), PLAIN_KEYS, st.sampled_from([b"1", b"2", b"three"])),
    st.sampled_from([(b"EXEC",), (b"DEL", b"a"), (b"INCR", b"b"), (b"WATCH", b"a"), (b"START", b"SERIALIZABLE")]),
    st.sampled_from([(b"START", b"LABEL", b"x"), (b"START", b"AT", b"2"), (b"CONFLICT", b"LAST"), (b"DBSIZE",)]),
)
CONVERSATION = st.lists(
    st.tuples(st.integers(0, 1), st.lists(STEPS, min_size=1, max_size=4), st.booleans()), min_size=3, max_size=16
)


@settings(max_examples=500)
@given(conversation=CONVERSATION, cut=st.integers(1, 60), logs=st.booleans())
def test_two_clients_in_transactions_of_ours_cannot_tell_either(
    conversation: list[tuple[int, list[tuple[bytes, ...]], bool]], cut: int, logs: bool
) -> None:
    with ExitStack() as stack:
        quick, slow = (Place(stack, has_lane=has_lane, logs=logs) for has_lane in (True, False))
        filled = b"".join(packed((b"SET", key, b"0")) for key in (b"a", b"b"))
        for place in (quick, slow):
            place.said(GREETING + filled, GREETING)
            place.publish()
        for who, commands, publishes in conversation:
            _say_alike(quick, slow, who, b"".join(map(packed, commands)), cut)
            assert not publishes or quick.publish() == slow.publish()
            assert (quick.chains(), quick.opened()) == (slow.chains(), slow.opened())
            quick.store.check()
        assert quick.publish() == slow.publish()
        assert _told(quick) == _told(slow)


def _say_alike(quick: Place, slow: Place, who: int, data: bytes, cut: int) -> None:
    for part in (data[:cut], data[cut:]):
        turn = [part if at == who else b"" for at in range(2)]
        assert quick.said(*turn) == slow.said(*turn)
