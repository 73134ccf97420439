"""The worker: jobs run elsewhere, in order, and their outcomes come back here."""

from __future__ import annotations

import threading
from threading import Event

from mvcc_kv.server.worker import Worker

from .running import DEADLINE_S


def test_jobs_run_in_order_in_another_thread_and_are_told_of_in_this_one() -> None:
    woken, log, threads = Event(), [], set()
    worker = Worker("test", woken.set)

    def job(number: int) -> None:
        threads.add(threading.current_thread())
        log.append(f"job {number}")

    for number in range(3):
        worker.submit(lambda number=number: job(number), lambda error, number=number: log.append(f"done {number}"))  # type: ignore[misc]
    worker.close()
    assert log == ["job 0", "job 1", "job 2"]
    assert woken.is_set()
    worker.deliver()
    assert log[3:] == ["done 0", "done 1", "done 2"]
    assert threading.current_thread() not in threads and len(threads) == 1
    worker.deliver()
    assert len(log) == 6


def test_what_a_job_raises_is_handed_over_and_the_next_job_runs() -> None:
    outcomes: list[BaseException | None] = []
    worker = Worker("test", lambda: None)

    def fail() -> None:
        raise SystemExit("out of room")

    worker.submit(fail, outcomes.append)
    worker.submit(lambda: None, outcomes.append)
    worker.close()
    worker.deliver()
    assert [type(outcome) for outcome in outcomes] == [SystemExit, type(None)]


def test_the_loop_may_wait_for_a_job_as_long_as_it_likes() -> None:
    woken, outcomes = Event(), list[BaseException | None]()
    worker = Worker("test", woken.set)
    begun = Event()
    worker.submit(lambda: begun.wait(DEADLINE_S), outcomes.append)
    assert not worker.wait(0)
    begun.set()
    assert woken.wait(DEADLINE_S), "nobody waited any more"
    woken.clear()
    assert worker.wait(DEADLINE_S) and outcomes == [], "it had finished, and is delivered when that is asked for"
    worker.deliver()
    worker.submit(lambda: None, outcomes.append)
    assert worker.wait(DEADLINE_S)
    worker.deliver()
    worker.close()
    assert outcomes == [None, None]


def test_whoever_stops_waiting_as_a_job_ends_misses_nothing() -> None:
    """Each outcome is either there when the waiting is over, or wakes the loop later."""
    woken, outcomes = Event(), list[BaseException | None]()
    worker = Worker("test", woken.set)
    for number in range(300):
        worker.submit(lambda: None, outcomes.append)
        if not worker.wait(number % 10 * 1e-5):
            assert woken.wait(DEADLINE_S)
        woken.clear()
        worker.deliver()
        while len(outcomes) <= number:
            assert woken.wait(DEADLINE_S)
            woken.clear()
            worker.deliver()
    worker.close()


def test_jobs_that_end_while_the_loop_is_told_of_another_are_told_of_too() -> None:
    """The second one ended the worker's thread: it opened a lock that was open already."""
    woken, outcomes = Event(), list[BaseException | None]()
    worker = Worker("test", woken.set)
    for _ in range(200):
        for _ in range(3):
            worker.submit(lambda: None, outcomes.append)
        worker.wait(DEADLINE_S)
        worker.deliver()
    worker.close()
    worker.deliver()
    assert outcomes == [None] * 600


def test_an_outcome_may_lead_to_another_job() -> None:
    woken, outcomes = Event(), []
    worker = Worker("test", woken.set)

    def again(error: BaseException | None) -> None:
        outcomes.append(error)
        if len(outcomes) < 3:
            worker.submit(lambda: None, again)

    worker.submit(lambda: None, again)
    while len(outcomes) < 3:
        assert woken.wait(DEADLINE_S)
        woken.clear()
        worker.deliver()
    worker.close()
    assert outcomes == [None] * 3
