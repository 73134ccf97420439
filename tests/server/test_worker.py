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
