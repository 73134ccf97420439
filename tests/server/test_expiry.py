"""Expiry on a server: keys go with nobody asking, a part of them a turn, and those who follow are told."""

from __future__ import annotations

from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.expiry import EXPIRED_AT_ONCE
from mvcc_kv.errors import UnavailableError
from mvcc_kv.server.deadlines import Deadlines
from mvcc_kv.server.expiry import LOOK_UP_S, RETRY_S, ExpiryTimer
from tests.engine.logs import DeferringLog

from .breaking_log import BreakingLog
from .running import Clock, running


class House:
    """A store and its timer, in a loop that is turned by hand; `now` is the time of both."""

    def __init__(self, log: DeferringLog | None = None) -> None:
        self.now = 100.0
        self.set_ahead_s = 0.0  # the wall clock, before the other
        self.store = VersionedStore(log, time_us=lambda: round((self.now + self.set_ahead_s) * 1_000_000))
        self.deadlines = Deadlines()
        self.timer = ExpiryTimer(self.store, self.deadlines)

    def turn(self) -> float | None:
        """A turn; how long the loop may sleep then, None being without end."""
        self.timer.sweep(self.now)
        for action in self.deadlines.due(self.now):
            action(self.now)
        return 0.0 if self.timer.has_more else self.deadlines.wait_s(self.now)


def test_the_loop_wakes_when_the_next_key_is_due() -> None:
    house = House()
    assert house.turn() is None
    house.store.put(b"a", b"1", ttl_s=5)
    assert house.turn() == 5
    house.store.put(b"b", b"1", ttl_s=1)
    assert house.turn() == 1
    house.store.put(b"c", b"1", ttl_s=3)
    assert house.turn() == 1
    assert len(house.deadlines) == 1
    house.now += 1
    house.turn()
    assert (house.store.stats()["expired_total"], house.turn()) == (1, 2)
    house.now += 9
    house.turn()
    assert (house.store.stats()["expired_total"], house.turn()) == (3, None)


def test_of_very_many_some_go_in_each_turn() -> None:
    house = House()
    writer = house.store.begin()
    for number in range(EXPIRED_AT_ONCE * 2 + 1):
        writer.put(b"%d" % number, b"1", ttl_s=1)
    writer.commit()
    house.now += 1
    assert [house.turn() for _ in range(3)] == [0.0, 0.0, None]
    assert house.store.stats()["expired_total"] == EXPIRED_AT_ONCE * 2 + 1
    house.store.check()


def test_a_key_that_stays_after_all_costs_one_turn_at_most() -> None:
    house = House()
    house.store.put(b"a", b"1", ttl_s=5)
    house.turn()
    house.store.put(b"a", b"1")
    assert house.turn() == 5
    house.now += 5
    house.turn()
    assert house.turn() is None


def test_a_wall_clock_that_is_set_anew_is_noticed() -> None:
    house = House()
    house.store.put(b"a", b"1", ttl_s=100_000)
    assert house.turn() == LOOK_UP_S
    house.set_ahead_s = 200_000.0
    house.now += LOOK_UP_S
    house.turn()
    assert house.store.stats()["expired_total"] == 1
    house.store.put(b"a", b"1", ttl_s=1)
    house.set_ahead_s = 0.0
    house.now += 1
    house.turn()
    assert house.turn() == LOOK_UP_S


def test_a_log_that_takes_no_commits_is_not_asked_in_every_turn() -> None:
    log = DeferringLog()
    house = House(log)
    house.store.put(b"a", b"1", ttl_s=1)
    log.failure = UnavailableError("the disk is gone")
    house.now += 1
    house.turn()
    assert house.turn() == RETRY_S
    assert house.store.get(b"a") is None


def test_a_server_takes_keys_away_with_nobody_asking_and_tells_those_who_follow() -> None:
    clock = Clock()
    store = VersionedStore(time_us=lambda: round(clock.now_s * 1_000_000))
    with running(store, clock=clock) as run:
        feed, client = run.connect(), run.connect()
        feed.asked(b"CHANGES")
        assert client.asked(b'PUT {"key": "a", "value": 1, "ttl_s": 2.5}') == {"key": "a", "value": 1, "ttl_s": 2.5}
        assert client.asked(b'GET {"key": "a", "ttl": true}') == {"key": "a", "value": 1, "ttl_s": 2.5}
        told = feed.result()
        assert told["changes"] == [{"key": "a", "value": 1}]
        assert told["expires"] == {"a": "1970-01-01T00:16:42.500000Z"}
        run.advance(2.4)
        assert not feed.has_answer()
        run.advance(0.1)
        assert feed.result()["changes"] == [{"key": "a", "deleted": True}]
        assert client.asked(b"GET a")["code"] == "KEY_NOT_FOUND"
        assert client.asked(b"STATS")["expired_total"] == 1
        assert run.is_at_rest()


def test_an_expiry_is_told_when_it_is_durable_and_the_key_is_gone_before() -> None:
    clock, log = Clock(), BreakingLog()
    store = VersionedStore(time_us=lambda: round(clock.now_s * 1_000_000))
    store.attach(log)
    with running(store, log=log, clock=clock) as run:
        feed, client = run.connect(), run.connect()
        feed.asked(b"CHANGES")
        client.asked(b'PUT {"key": "a", "value": 1, "ttl_s": 1}')
        feed.result()
        log.may_write.clear()
        run.advance(1)
        assert client.asked(b"GET a")["code"] == "KEY_NOT_FOUND"
        assert client.asked(b"SCAN")["items"] == []
        assert not feed.has_answer()
        log.may_write.set()
        assert feed.result()["changes"] == [{"key": "a", "deleted": True}]


def test_a_backup_says_what_expires_and_when() -> None:
    clock = Clock()
    store = VersionedStore(time_us=lambda: round(clock.now_s * 1_000_000))
    with running(store, clock=clock) as run:
        client = run.connect()
        client.ask(b"PUT b 1")
        assert "may_expire" not in client.asked(b"BACKUP")
        client.ask(b'PUT {"key": "a", "value": 1, "ttl_s": 1}')
        told = client.asked(b"BACKUP")
        assert (told["may_expire"], told["expires"]) == (True, {"a": "1970-01-01T00:16:41.000000Z"})


def test_what_is_no_time_is_refused() -> None:
    with running() as run:
        client = run.connect()
        for ttl_s in (b"0", b"-1", b"1e99", b'"1"', b"true"):
            refused = client.asked(b'PUT {"key": "a", "value": 1, "ttl_s": %b}' % ttl_s)
            assert refused["code"] == "BAD_REQUEST"
