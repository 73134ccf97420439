"""Timers."""

from __future__ import annotations

import gc
import weakref

from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.server.deadlines import Deadlines


def run(deadlines: Deadlines, now: float) -> None:
    for action in deadlines.due(now):
        action(now)


def test_actions_run_when_due_in_order_and_once() -> None:
    deadlines, done = Deadlines(), []
    for at in (3.0, 1.0, 2.0, 1.0):
        deadlines.add(at, lambda now, at=at: done.append((at, now)))  # type: ignore[misc]
    run(deadlines, 0.5)
    assert done == []
    run(deadlines, 2.0)
    assert done == [(1.0, 2.0), (1.0, 2.0), (2.0, 2.0)]
    run(deadlines, 2.0)
    assert len(done) == 3 and len(deadlines) == 1


def test_the_wait_is_until_the_earliest_and_never_negative() -> None:
    deadlines = Deadlines()
    assert deadlines.wait_s(5.0) is None
    deadlines.add(7.0, lambda _: None)
    assert deadlines.wait_s(5.0) == 2.0
    assert deadlines.wait_s(9.0) == 0.0


def test_an_action_may_set_another() -> None:
    deadlines, done = Deadlines(), []

    def again(now: float) -> None:
        done.append(now)
        if len(done) < 3:
            deadlines.add(now + 1, again)

    deadlines.add(1.0, again)
    for now in (1.0, 2.0, 3.0, 4.0):
        run(deadlines, now)
    assert done == [1.0, 2.0, 3.0]


def test_a_cancelled_timer_does_nothing_and_holds_nothing() -> None:
    class Held:
        def act(self, _: float) -> None:
            raise AssertionError

    deadlines, held = Deadlines(), Held()
    timer = deadlines.add(1.0, held.act)
    gone = weakref.ref(held)
    del held
    deadlines.cancel(timer)
    deadlines.cancel(timer)
    gc.collect()
    assert gone() is None
    assert len(deadlines) == 0
    run(deadlines, 2.0)
    assert deadlines.wait_s(2.0) is None


def test_cancelling_what_was_due_is_nothing() -> None:
    deadlines = Deadlines()
    timer = deadlines.add(1.0, lambda _: None)
    run(deadlines, 1.0)
    deadlines.cancel(timer)
    assert len(deadlines) == 0
    deadlines.add(2.0, lambda _: None)
    assert len(deadlines) == 1


def test_timers_that_come_and_go_do_not_pile_up() -> None:
    deadlines = Deadlines()
    deadlines.add(5e6, lambda _: None)
    for n in range(10_000):
        deadlines.cancel(deadlines.add(1e6 + n, lambda _: None))
    assert len(deadlines) == 1
    assert len(deadlines._heap) < 200


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=200), st.integers(0, 20))
def test_what_is_due_is_what_was_set_and_not_cancelled(timers: list[tuple[int, bool]], now: int) -> None:
    deadlines, done = Deadlines(), []
    for number, (at, is_kept) in enumerate(timers):
        timer = deadlines.add(at, lambda _, entry=(at, number): done.append(entry))  # type: ignore[misc]
        if not is_kept:
            deadlines.cancel(timer)
    run(deadlines, now)
    assert done == sorted((at, number) for number, (at, is_kept) in enumerate(timers) if is_kept and at <= now)
    assert len(deadlines) == sum(is_kept and at > now for at, is_kept in timers)


def test_nobody_waits_for_months_at_once() -> None:
    deadlines = Deadlines()
    deadlines.add(1e12, lambda now: None)
    wait_s = deadlines.wait_s(0.0)
    assert wait_s is not None and wait_s <= 3600
