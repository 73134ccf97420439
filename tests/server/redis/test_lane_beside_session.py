"""What the quick lane answers and leaves in the store is what the session alone would, however the bytes come."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.engine import VersionedStore
from mvcc_kv.server.connection import Connection
from mvcc_kv.server.redis.house import House
from mvcc_kv.server.rounds import Rounds
from mvcc_kv.server.served import Services
from mvcc_kv.server.settings import Settings
from tests.engine.logs import DeferringLog
from tests.server.redis.test_quick import COMMANDS, KEYS, TRANSACTIONS, packed

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


class Place:
    """A server without sockets, two connections, and a wall clock; with the quick lane, or without.

    If it `logs`, commits are visible when `publish` says so.
    """

    def __init__(self, *, has_lane: bool, logs: bool) -> None:
        self.now_us = 1_000_000
        self.store = VersionedStore(DeferringLog() if logs else None, time_us=lambda: self.now_us)
        house = House()
        if not has_lane:
            house.note_slower_than(0)  # who wants every command timed gets none in the lane
        services = Services(
            store=self.store, stats=self.store.stats, checkpoint=lambda _: None, clock=lambda: 0.0, redis=house
        )
        self.connections = [Connection(services, Settings()) for _ in range(2)]
        self._rounds = Rounds(services)

    def said(self, *data: bytes) -> list[bytes]:
        """What each is told at once when they have sent this, of one turn."""
        plain = [at for at, sent in enumerate(data) if self._is_for_a_round(at, sent)]
        connections = [self.connections[at] for at in plain]
        done = self._rounds.run(connections, [data[at] for at in plain])
        self._rounds.count(done)
        said = dict(zip(plain, done.replies, strict=True))
        for at, sent in enumerate(data):
            if sent and at not in plain:
                self.connections[at].receive(sent, is_burst_end=True)
        return [said.get(at, b"") + self._run(connection) for at, connection in enumerate(self.connections)]

    def _is_for_a_round(self, at: int, sent: bytes) -> bool:
        return self._rounds.are_held and self.connections[at].is_plain and sent[:1] == b"*"

    def _run(self, connection: Connection) -> bytes:
        while connection.can_run:
            connection.run()
        return connection.take_output()

    def publish(self) -> list[bytes]:
        """All commits are visible: what was held back until then."""
        self.store.publish(self.store.commit_ts)
        for connection in self.connections:
            connection.release(self.store.visible_ts)
        return [connection.take_output() for connection in self.connections]

    def _keys(self) -> list[bytes]:
        return self.store.keys()

    def chains(self) -> dict[bytes, object]:
        return {key: self.store.chain(key) for key in self._keys()}


PARTS = st.one_of(COMMANDS.map(lambda it: [it]), TRANSACTIONS, OTHERS.map(lambda it: [it]))
SENT = st.lists(PARTS, max_size=6).map(lambda parts: [command for part in parts for command in part])
BURSTS = st.lists(st.tuples(st.tuples(SENT, SENT), st.integers(0, 3)), max_size=8)
GREETING = b"*1\r\n$4\r\nPING\r\n"


@settings(max_examples=500)
@given(bursts=BURSTS, cut=st.integers(1, 50), logs=st.booleans(), publishes=st.integers(1, 4))
def test_a_client_cannot_tell_whether_there_is_a_lane(
    bursts: list[tuple[tuple[list[tuple[bytes, ...]], ...], int]], cut: int, logs: bool, publishes: int
) -> None:
    quick, slow = Place(has_lane=True, logs=logs), Place(has_lane=False, logs=logs)
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
    together, apart = Place(has_lane=True, logs=logs), Place(has_lane=True, logs=logs)
    for place in (together, apart):
        assert place.said(GREETING, GREETING) == [b"+PONG\r\n"] * 2
    for sent in turns:
        first, second = (b"".join(map(packed, _quick_only(commands))) for commands in sent)
        told = together.said(first, second)
        assert told == [apart.said(first, b"")[0], apart.said(b"", second)[1]]
        assert together.publish() == apart.publish()
        assert together.chains() == apart.chains()
        together.store.check()


def _quick_only(commands: list[tuple[bytes, ...]]) -> list[tuple[bytes, ...]]:
    """Commands that the lane may execute: others end their client's part of a round, and what follows comes later."""
    return [it for it in commands if it[0].upper() in (b"GET", b"SET") and all(map(_is_plain_text, it))]


def _is_plain_text(text: bytes) -> bool:
    return text.isalnum() and text.isascii()


def _told(place: Place) -> dict[str, object]:
    return {name: fact for name, fact in place.store.stats().items() if name not in ("pinned_bytes", "hot_keys")}
