"""The thread that waits for the disk, so that the loop doesn't.

The loop submits a job and goes on; the job's outcome comes back to the loop's thread through `wake`.
Jobs of one worker run one after the other, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import TypeAlias

__all__ = ["Worker"]

_Done: TypeAlias = "Callable[[BaseException | None], None]"
_Job: TypeAlias = "tuple[Callable[[], object], _Done]"


class Worker:
    """Runs jobs in a thread of its own; `deliver`, called by the loop, hands their outcomes over."""

    def __init__(self, name: str, wake: Callable[[], None]) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._finished: deque[tuple[_Done, BaseException | None]] = deque()
        self._wake = wake
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], object], done: _Done) -> None:
        """Run `job` in the thread; `done` is then called on the loop's side with what it raised, or None."""
        self._jobs.put((job, done))

    def deliver(self) -> None:
        """Call `done` for every job that has finished."""
        while self._finished:
            done, error = self._finished.popleft()
            done(error)

    def close(self) -> None:
        """Finish the submitted jobs, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, done = entry
            error: BaseException | None = None
            try:
                job()
            except BaseException as raised:  # noqa: BLE001 (the thread's edge: the loop is told)
                error = raised
            self._finished.append((done, error))
            self._wake()
