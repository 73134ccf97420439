"""What the quick lane answers and leaves in the store is what the session alone would, however the bytes come."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.engine import VersionedStore
from mvcc_kv.server.connection import Connection
from mvcc_kv.server.redis.house import House
from mvcc_kv.server.served import Services
from mvcc_kv.server.settings import Settings
from tests.engine.logs import DeferringLog
from tests.server.redis.test_quick import COMMANDS, KEYS, packed

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

    def said(self, who: int, data: bytes) -> bytes:
        connection = self.connections[who]
        connection.receive(data, is_burst_end=True)
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


BURSTS = st.lists(
    st.tuples(st.integers(0, 1), st.lists(st.one_of(COMMANDS, COMMANDS, OTHERS), max_size=6), st.integers(0, 3)),
    max_size=8,
)


@settings(max_examples=500)
@given(bursts=BURSTS, cut=st.integers(1, 50), logs=st.booleans(), publishes=st.integers(1, 4))
def test_a_client_cannot_tell_whether_there_is_a_lane(
    bursts: list[tuple[int, list[tuple[bytes, ...]], int]], cut: int, logs: bool, publishes: int
) -> None:
    quick, slow = Place(has_lane=True, logs=logs), Place(has_lane=False, logs=logs)
    for number, (who, commands, passed_ms) in enumerate(bursts):
        data = b"*1\r\n$4\r\nPING\r\n" + b"".join(map(packed, commands))
        for part in filter(None, (data[:cut], data[cut:])):
            assert quick.said(who, part) == slow.said(who, part)
        if number % publishes == 0:
            assert quick.publish() == slow.publish()
        assert quick.chains() == slow.chains()
        quick.store.check()
        for place in (quick, slow):
            place.now_us += passed_ms * 1000
            place.store.expire_due()  # as the loop does in every turn
    assert quick.publish() == slow.publish()
    assert _told(quick) == _told(slow)


def _told(place: Place) -> dict[str, object]:
    return {name: fact for name, fact in place.store.stats().items() if name not in ("pinned_bytes", "hot_keys")}
