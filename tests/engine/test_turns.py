"""Turns: everybody begins once, one after the other, in order, and nobody waits for one that is stuck."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.turns import WAIT_TICKS, Ticket, Turns, TurnsOfThreads
from mvcc_kv.errors import BadRequestError, ConflictError, UnavailableError
from tests.engine.logs import DeferringLog

KEYS = st.sampled_from([b"a", b"b"])


class Asker:
    """Somebody with a ticket, and the model's view of it."""

    def __init__(self, turns: Turns, key: bytes, lost: int, number: int) -> None:
        self.key = key
        self.rank = (-lost, number)
        self.begun = 0
        self.is_over = False
        self.ticks = 0
        self.watched: Asker | None = None
        self.ticket = turns.ask(key, lost, self.begin)

    def begin(self, _: Ticket) -> None:
        self.begun += 1


class TurnsAgainstModel(RuleBasedStateMachine):
    """Random askers, ends and ticks; who has the turn must be who a plain list of them says."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns()
        self.askers: list[Asker] = []
        self.holders: dict[bytes, Asker | None] = {b"a": None, b"b": None}
        self.waiting: dict[bytes, list[Asker]] = {b"a": [], b"b": []}

    @rule(key=KEYS, lost=st.integers(0, 3))
    def ask(self, key: bytes, lost: int) -> None:
        asker = Asker(self.turns, key, lost, len(self.askers))
        self.askers.append(asker)
        holder = self.holders[key]
        if holder is None:
            self.holders[key] = asker
        else:
            asker.watched = holder
            self.waiting[key].append(asker)
        assert asker.ticket.waited == (holder is not None)

    @rule(pick=st.integers(0, 1000))
    def end(self, pick: int) -> None:
        if not self.askers:
            return
        asker = self.askers[pick % len(self.askers)]
        asker.ticket.end()
        asker.is_over = True
        if asker in self.waiting[asker.key]:
            self.waiting[asker.key].remove(asker)
        elif self.holders[asker.key] is asker:
            self._hand_on(asker.key)

    @rule(pick=st.integers(0, 1000), times=st.integers(1, WAIT_TICKS))
    def tick(self, pick: int, times: int) -> None:
        for _ in range(times):
            waiting = [asker for key in self.waiting for asker in self.waiting[key]]
            if waiting:
                self._tick(waiting[pick % len(waiting)])

    def _tick(self, asker: Asker) -> None:
        asker.ticket.tick()
        asker.ticks += 1
        if asker.ticks == WAIT_TICKS:
            self.waiting[asker.key].remove(asker)
        elif asker.watched is self.holders[asker.key]:
            self._hand_on(asker.key)
        else:
            asker.watched = self.holders[asker.key]

    def _hand_on(self, key: bytes) -> None:
        following = min(self.waiting[key], key=lambda asker: asker.rank, default=None)
        self.holders[key] = following
        if following is not None:
            self.waiting[key].remove(following)

    @invariant()
    def everybody_is_where_the_model_says(self) -> None:
        self.turns.check()
        assert len(self.turns) == sum(holder is not None for holder in self.holders.values())
        for asker in self.askers:
            is_waiting = asker in self.waiting[asker.key]
            assert asker.ticket.is_waiting == is_waiting
            assert asker.ticket.has_turn == (self.holders[asker.key] is asker)
            assert asker.begun == 0 if is_waiting else asker.begun <= 1
            assert asker.begun == 1 or is_waiting or asker.is_over, "begun once, unless it was withdrawn"
            if asker.ticket.has_turn:
                assert asker.ticket.waiting == len(self.waiting[asker.key])


TestTurnsAgainstModel = TurnsAgainstModel.TestCase


def ask(turns: Turns, begun: list[str], name: str, lost: int = 0) -> Ticket:
    return turns.ask(b"k", lost, lambda _: begun.append(name))


def test_who_has_lost_the_most_is_next_and_then_who_came_first() -> None:
    turns, begun = Turns(), list[str]()
    tickets = [ask(turns, begun, name, lost) for name, lost in (("a", 0), ("b", 0), ("c", 1), ("d", 2), ("e", 1))]
    order = ["a", "d", "c", "e", "b"]
    for number, name in enumerate(order, 1):
        assert begun == order[:number]
        tickets["abcde".index(name)].end()
    assert len(turns) == 0


def test_keys_have_their_turns_apart() -> None:
    turns, begun = Turns(), list[bytes]()
    for key in (b"a", b"b"):
        turns.ask(key, 0, lambda _, key=key: begun.append(key))  # type: ignore[misc]
    assert begun == [b"a", b"b"]


def test_a_turn_that_somebody_has_watched_for_two_ticks_is_over() -> None:
    turns, begun = Turns(), list[str]()
    stuck, second, third = (ask(turns, begun, name) for name in "abc")
    third.tick()
    assert begun == ["a", "b"], "it was watched from the third's first moment on"
    third.tick()
    assert begun == ["a", "b"], "the second has only been seen once"
    stuck.end()
    assert begun == ["a", "b"], "its turn was over already"
    second.end()
    assert begun == ["a", "b", "c"]


def test_patience_has_an_end() -> None:
    turns, begun = Turns(), list[str]()
    holder = ask(turns, begun, "holder")
    patient = ask(turns, begun, "patient")
    for n in range(WAIT_TICKS):  # those that lost more come and go
        assert begun.count("patient") == 0
        following = ask(turns, begun, f"{n}", lost=1)
        holder.end()
        holder = following
        patient.tick()
    assert begun[-1] == "patient" and holder.has_turn and not patient.has_turn
    patient.end()
    assert holder.has_turn


def test_a_crowd_whose_turns_end_as_they_begin_is_worked_off_without_recursion() -> None:
    turns, begun = Turns(), list[int]()
    holder = turns.ask(b"k", 0, lambda _: None)
    for n in range(5000):

        def begin(ticket: Ticket, n: int = n) -> None:
            begun.append(n)
            ticket.end()

        turns.ask(b"k", 0, begin)
    holder.end()
    assert begun == list(range(5000)) and len(turns) == 0


# Threads


def in_turn(key: bytes = b"k", lost: int = 0) -> TransactionOptions:
    return TransactionOptions(turn=key, lost=lost)


class Beginner:
    """A thread that begins a transaction in turn, and holds it until it is told."""

    def __init__(self, store: VersionedStore, lost: int = 0) -> None:
        self._store = store
        self._lost = lost
        self.has_begun, self._may_end = Event(), Event()
        self.failure: BaseException | None = None
        self.thread = Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            tx = self._store.begin(in_turn(lost=self._lost))
            self.read = tx.get(b"k")
            self.has_begun.set()
            assert self._may_end.wait(20)
            tx.put(b"k", b"%d" % (int(self.read or b"0") + 1))
            tx.commit()
        except BaseException as error:  # noqa: BLE001 (the test's own thread raises it)
            self.failure = error

    def end(self) -> None:
        self._may_end.set()
        self.thread.join(20)
        assert not self.thread.is_alive()
        if self.failure is not None:
            raise self.failure


def test_who_begins_after_a_turn_sees_what_it_committed() -> None:
    store = VersionedStore()
    first = store.begin(in_turn())
    second = Beginner(store)
    first.put(b"k", b"41")
    first.commit()
    assert second.has_begun.wait(20) and second.read == b"41"
    second.end()
    assert store.get(b"k") == b"42"
    store.check()


@pytest.mark.parametrize("end", ["rollback", "kill", "lose", "forget"])
def test_a_turn_ends_with_its_transaction_however_that_ends(end: str) -> None:
    store = VersionedStore()
    first = store.begin(in_turn())
    second = Beginner(store)
    if end == "rollback":
        first.rollback()
    elif end == "kill":
        assert store.kill(first.id)
    elif end == "lose":
        first.put(b"k", b"1")
        store.put(b"k", b"2")
        with pytest.raises(ConflictError):
            first.commit()
    else:
        del first
        store.transactions()  # what was forgotten is closed at the next occasion
    assert second.has_begun.wait(20)
    second.end()


def test_a_transaction_that_stays_open_holds_nobody_up() -> None:
    store = VersionedStore()
    stuck = store.begin(in_turn())
    stuck.put(b"k", b"0")
    for expected in (b"1", b"2"):
        Beginner(store).end()
        assert store.get(b"k") == expected
    assert stuck.is_open and stuck.is_doomed


def test_a_thread_that_waits_for_itself_goes_on_before_long() -> None:
    store = VersionedStore()
    outer = store.begin(in_turn())
    inner = store.begin(in_turn())
    inner.put(b"k", b"1")
    inner.commit()
    assert outer.is_contended is False and inner.is_contended


def test_a_beginning_that_is_refused_takes_no_turn() -> None:
    store = VersionedStore()
    for _ in range(2):
        with pytest.raises(BadRequestError):
            store.begin(TransactionOptions(turn=b"k", at=99))
    tx = store.begin(in_turn())
    assert not tx.is_contended
    tx.rollback()


class SettlingAtOnce(DeferringLog):
    """Its commits are seen when somebody waits for them."""

    def __init__(self) -> None:
        self.store = VersionedStore(self)

    def settle(self, commit_ts: int, *, waits: bool = True) -> None:
        if self.failure is None:
            self.store.publish(commit_ts)


def test_a_turn_begins_when_the_keys_newest_commit_can_be_seen() -> None:
    log = SettlingAtOnce()
    settle, log.settle = log.settle, lambda commit_ts, *, waits=True: None  # type: ignore[method-assign]
    log.store.put(b"k", b"1")
    log.settle = settle  # type: ignore[method-assign]
    assert log.store.get(b"k") is None
    assert log.store.begin().get(b"k") is None
    tx = log.store.begin(in_turn())
    assert tx.get(b"k") == b"1"
    tx.put(b"k", b"2")
    tx.commit()


def test_where_the_log_failed_a_turn_on_what_is_lost_begins_nothing() -> None:
    log = DeferringLog()
    store = VersionedStore(log)
    store.put(b"k", b"1")
    log.failure = UnavailableError("the disk is gone", retryable=False)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            store.begin(in_turn())
    store.begin(in_turn(b"other")).rollback()
    assert store.stats()["active_transactions"] == 0


def test_a_crowd_in_turn_loses_nothing() -> None:
    store = VersionedStore()

    def increment() -> bool:
        tx = store.begin(in_turn())
        tx.put(b"k", b"%d" % (int(tx.get(b"k") or b"0") + 1))
        try:
            tx.commit()
        except ConflictError:  # a machine so slow that its turn was over
            return False
        return True

    def often() -> None:
        for _ in range(50):
            while not increment():
                pass

    threads = [Thread(target=often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get(b"k") == b"400"
    store.check()


def test_an_interrupt_gives_the_place_up(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = TurnsOfThreads()
    holder = turns.take(b"k", 0)

    def interrupt(ticket: Ticket) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ticket, "tick", interrupt)
        with pytest.raises(KeyboardInterrupt):
            turns.take(b"k", 0)
    assert holder.waiting == 0
    turns.end(holder)
    assert not turns.take(b"k", 0).waited
