"""START in turn: who is answered when, and that nobody waits for somebody who is stuck or gone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.turns import TURN_S, WAIT_TICKS, Turns
from mvcc_kv.server.deadlines import Deadlines
from mvcc_kv.server.served import Services
from mvcc_kv.server.session import Session

from .breaking_log import BreakingLog, logged
from .running import Client, Running, running, until

START = b'START {"turn": "k"}'


class House:
    """Sessions on one store, whose time the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.store = VersionedStore()
        self.deadlines = Deadlines()
        self.turns = Turns()
        self.services = Services(
            store=self.store,
            stats=self.store.stats,
            checkpoint=lambda _: None,
            clock=lambda: self.now_s,
            deadlines=self.deadlines,
            turns=self.turns,
        )

    def guest(self) -> Guest:
        return Guest(self.services)

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        for action in self.deadlines.due(self.now_s):
            action(self.now_s)


class Guest:
    """A session, and the replies that came later."""

    def __init__(self, services: Services) -> None:
        self.later: list[bytes] = []
        self.session = Session(services, self.later.append)

    def says(self, line: bytes) -> Any:
        """The `result` of the reply; None if there is none yet."""
        reply = self.session.execute(line)
        return self.answer() if reply is None else json.loads(reply)["result"]

    def answer(self) -> Any:
        """The `result` of the next reply that came later, if there is one."""
        return json.loads(self.later.pop(0))["result"] if self.later else None


def test_the_first_begins_at_once_and_is_told_that_nobody_waits() -> None:
    house = House()
    assert house.guest().says(START) == {"start_ts": 0, "waited": False, "waiting": 0}
    assert house.guest().says(b'START {"turn": "other"}') == {"start_ts": 0, "waited": False, "waiting": 0}


def test_who_has_lost_the_most_is_next_and_then_who_came_first() -> None:
    house = House()
    first, a, b, c = (house.guest() for _ in range(4))
    first.says(START)
    for guest, lost in ((a, 0), (b, 2), (c, 2)):
        assert guest.says(b'START {"turn": "k", "lost": %d}' % lost) is None
    first.says(b"PUT k 1")
    assert first.says(b"COMMIT {}") == {"commit_ts": 1}
    assert [guest.answer() for guest in (a, b, c)] == [None, {"start_ts": 1, "waited": True, "waiting": 2}, None]
    b.says(b"ROLLBACK")
    assert [guest.answer() for guest in (a, c)] == [None, {"start_ts": 1, "waited": True, "waiting": 1}]
    c.says(b"GET k")
    c.says(b"COMMIT")
    assert a.answer() == {"start_ts": 1, "waited": True, "waiting": 0}
    a.says(b"ROLLBACK")
    assert len(house.turns) == 0 and len(house.deadlines) == 0


def ends_by_losing(house: House, guest: Guest) -> None:
    guest.says(b"PUT k 1")
    house.store.put(b"k", b"2")
    assert guest.says(b"COMMIT")["code"] == "CONFLICT"


ENDS = {
    "COMMIT": lambda house, guest: guest.says(b"COMMIT"),
    "ROLLBACK": lambda house, guest: guest.says(b"ROLLBACK"),
    "QUIT": lambda house, guest: guest.says(b"QUIT"),
    "disconnect": lambda house, guest: guest.session.close(),
    "timeout": lambda house, guest: guest.session.expire(5.0),
    "refusal": lambda house, guest: guest.says(b"PUT"),
    "conflict": ends_by_losing,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_turn_ends_with_its_transaction_however_that_ends(end: str) -> None:
    house = House()
    first, second = house.guest(), house.guest()
    first.says(START)
    assert second.says(START) is None
    ENDS[end](house, first)
    answer = second.answer()
    assert answer["waited"] and answer["start_ts"] == house.store.commit_ts


def test_nobody_else_waits() -> None:
    house = House()
    holder, waiter, other = (house.guest() for _ in range(3))
    holder.says(START)
    waiter.says(START)
    assert other.says(b"START {}") == {"start_ts": 0}
    assert other.says(b"PUT k 1") == {"key": "k", "value": "1"}
    assert other.says(b"COMMIT {}") == {"commit_ts": 1}
    assert other.says(b"GET k") == {"key": "k", "value": "1"}
    holder.says(b"PUT k 2")
    assert holder.says(b"COMMIT")["code"] == "CONFLICT"
    assert waiter.answer()["start_ts"] == 1


def test_who_leaves_while_waiting_is_passed_over() -> None:
    house = House()
    holder, gone, waiter = (house.guest() for _ in range(3))
    for guest in (holder, gone, waiter):
        guest.says(START)
    gone.session.close()
    holder.says(b"COMMIT")
    assert gone.answer() is None and waiter.answer()["waited"]
    waiter.says(b"COMMIT")
    assert len(house.turns) == 0 and len(house.deadlines) == 0


def test_a_turn_that_lasts_too_long_is_over_and_its_transaction_is_not() -> None:
    house = House()
    slow, waiter, last = (house.guest() for _ in range(3))
    slow.says(START)
    house.pass_time(60)
    waiter.says(START)
    house.pass_time(TURN_S * 0.9)
    last.says(START)
    assert waiter.answer() is None
    house.pass_time(TURN_S * 0.2)
    assert waiter.answer()["waited"]
    slow.says(b"PUT other 1")
    assert slow.says(b"COMMIT {}") == {"commit_ts": 1}
    assert last.answer() is None, "the slow one had no turn to give"
    waiter.says(b"COMMIT")
    assert last.answer()["waited"]


def test_patience_has_an_end() -> None:
    house = House()
    holder, patient = house.guest(), house.guest()
    holder.says(START)
    patient.says(START)
    for n in range(WAIT_TICKS):  # those that lost more come and go
        assert patient.answer() is None
        following = house.guest()
        following.says(b'START {"turn": "k", "lost": %d}' % (n + 1))
        holder.says(b"COMMIT")
        holder = following
        house.pass_time(TURN_S)
    assert patient.answer() == {"start_ts": 0, "waited": True, "waiting": 0}
    assert patient.says(b"COMMIT") == "Transaction commited"


def test_waiting_does_not_count_in_a_transactions_time() -> None:
    house = House()
    holder, waiter = house.guest(), house.guest()
    holder.says(START)
    waiter.says(START)
    assert waiter.session.begun_at is None
    house.pass_time(0.05)
    holder.says(b"COMMIT")
    assert waiter.session.begun_at == house.now_s


def test_a_start_that_is_refused_when_its_turn_comes_gives_it_on() -> None:
    house = House()
    holder, refused, waiter = (house.guest() for _ in range(3))
    holder.says(START)
    refused.says(b'START {"turn": "k", "label": "%s"}' % (b"x" * 500))
    waiter.says(START)
    holder.says(b"COMMIT")
    assert refused.answer()["code"] == "BAD_REQUEST"
    assert waiter.answer()["waited"]


@pytest.mark.parametrize("member", [b'"turn": 1', b'"turn": "k", "lost": -1', b'"turn": "k", "lost": "often"'])
def test_a_turn_is_a_key_and_losses_are_counted(member: bytes) -> None:
    house = House()
    assert house.guest().says(b"START {%b}" % member)["code"] == "BAD_REQUEST"
    assert len(house.turns) == 0


def test_asking_for_a_turn_takes_no_room_in_the_transaction() -> None:
    house, key = House(), "k" * 490
    guest = house.guest()
    for options in ({}, {"turn": key, "lost": 1}):
        assert guest.says(f"START {json.dumps(options)}".encode())["start_ts"] == 0
        assert guest.says(f"GET {key}".encode())["code"] == "KEY_NOT_FOUND"
        assert guest.says(f"PUT {key} 1".encode())["value"] == "1"
        assert guest.says(b"ROLLBACK") == "Transaction rolled back"
    assert guest.says(b'START {"turn": "%b"}' % (b"k" * 1024))["code"] == "LIMIT_EXCEEDED"


def test_a_transaction_is_open_already() -> None:
    house = House()
    guest = house.guest()
    guest.says(START)
    assert guest.says(START)["code"] == "TRANSACTION_OPEN"
    assert guest.says(b"COMMIT") == "Transaction commited"


# Over sockets


def hold_turn(run: Running) -> Client:
    """A client that has the turn, and has written the key."""
    client = run.connect()
    assert not client.asked(START)["waited"]
    client.ask(b"PUT k 1")
    return client


def wait_for_turn(run: Running, then: bytes = b"") -> Client:
    """A client that waits for it, with this to say then."""
    waiting = len(run.server._deadlines)
    client = run.connect()
    client.send(START + b"\n" + then)
    until(lambda: len(run.server._deadlines) > waiting)
    return client


def test_what_is_sent_behind_a_start_waits_with_it() -> None:
    with running() as run:
        holder = hold_turn(run)
        waiter = wait_for_turn(run, b"GET k\nPUT k 2\nCOMMIT {}\n")
        assert not waiter.has_answer()
        holder.ask(b"COMMIT")
        assert [waiter.result() for _ in range(4)] == [
            {"start_ts": 1, "waited": True, "waiting": 0},
            {"key": "k", "value": "1"},
            {"key": "k", "value": "2"},
            {"commit_ts": 2},
        ]


def test_the_next_sees_what_was_committed_and_is_told_when_that_is_on_disk() -> None:
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        holder, reader = hold_turn(run), run.connect()
        waiter = wait_for_turn(run, b"GET k\n")
        log.may_write.clear()
        holder.send(b"COMMIT {}\n")
        until(lambda: run.store.commit_ts == 1)
        assert reader.asked(b"GET k")["code"] == "KEY_NOT_FOUND"
        assert not waiter.has_answer() and not holder.has_answer()
        log.may_write.set()
        assert holder.result() == {"commit_ts": 1}
        assert waiter.result() == {"start_ts": 1, "waited": True, "waiting": 0}
        assert waiter.result() == {"key": "k", "value": "1"}


def test_a_turn_is_told_however_soon_its_commit_is_on_disk() -> None:
    """One that was on disk by the loop's next round was published before the loop knew that a reply waits for it."""
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        holder, waiter = run.connect(), run.connect()
        holder.ask(START)
        for n in range(50):
            waiter.send(START + b"\n")
            holder.ask(b"PUT k %d" % n)
            holder.ask(b"COMMIT")
            assert waiter.result()["start_ts"] == n + 1
            holder, waiter = waiter, holder


def test_a_turn_on_what_the_log_lost_is_answered_so_and_is_over() -> None:
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        holder = hold_turn(run)
        waiter = wait_for_turn(run)
        log.may_write.clear()
        holder.send(b"COMMIT {}\n")
        until(lambda: run.store.commit_ts == 1)
        log.is_broken = True
        log.may_write.set()
        assert [client.result()["code"] for client in (holder, waiter)] == ["UNAVAILABLE"] * 2
        other = run.connect()
        assert other.asked(START) == {"start_ts": 0, "waited": False, "waiting": 0}


def test_a_turn_ends_by_the_clock() -> None:
    with running() as run:
        holder = hold_turn(run)
        waiter = wait_for_turn(run)
        run.advance(TURN_S * 1.1)
        assert waiter.result()["waited"]
        assert holder.asked(b"COMMIT {}") == {"commit_ts": 1}


@pytest.mark.parametrize("leave", [Client.reset, Client.end])
def test_who_hangs_up_is_passed_over(leave: Any) -> None:
    with running() as run:
        holder = hold_turn(run)
        gone = wait_for_turn(run)
        waiter = wait_for_turn(run)
        leave(gone)
        holder.ask(b"COMMIT")
        assert waiter.result()["start_ts"] == 1
        waiter.ask(b"COMMIT")
        until(lambda: len(run.peers) == 2)


def test_a_holder_that_hangs_up_gives_its_turn_on() -> None:
    with running() as run:
        holder = hold_turn(run)
        waiter = wait_for_turn(run)
        holder.close()
        assert waiter.result() == {"start_ts": 0, "waited": True, "waiting": 0}


def test_who_waits_is_not_idle() -> None:
    with running(idle_timeout_s=0.05) as run:
        holder = hold_turn(run)
        waiter = wait_for_turn(run)
        run.advance(0.08)
        assert holder.is_closed_by_server()
        assert waiter.result() == {"start_ts": 0, "waited": True, "waiting": 0}
