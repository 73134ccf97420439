"""Group commit beside the loop, with a worker that works when the test says so."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import pytest

from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.server.commits import Commits
from mvcc_kv.server.settings import Fsync
from mvcc_kv.server.worker import Worker


class HandDrivenWorker:
    """Keeps what is submitted until the test has it run."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[Callable[[], object], Callable[[BaseException | None], None]]] = deque()

    def submit(self, job: Callable[[], object], done: Callable[[BaseException | None], None]) -> None:
        self.jobs.append((job, done))

    def run(self) -> None:
        """Run the next job, and tell the loop."""
        job, done = self.jobs.popleft()
        try:
            job()
        except Exception as error:  # noqa: BLE001 (the loop is told, as by the real one)
            done(error)
        else:
            done(None)


class Batch(NamedTuple):
    commits: list[int]
    last_ts: int


@dataclass
class RecordedLog:
    """A log that notes its steps, and fails at the one that it is told to."""

    steps: list[str] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    durable_ts: int = 0
    failure: UnavailableError | None = None
    fails_at: str | None = None
    used_bytes: int = 100
    segment_bytes: int = 10

    @property
    def has_pending(self) -> bool:
        return bool(self.pending)

    def refuse(self, error: BaseException) -> None:
        self.failure = self.failure or UnavailableError(f"failed: {error}", retryable=False)
        self.pending.clear()

    def batch(self) -> Batch | None:
        if not self.pending:
            return None
        commits, self.pending = self.pending, []
        return Batch(commits, commits[-1])

    def settled(self, ts: int) -> None:
        self.durable_ts = ts

    def _step(self, step: str) -> None:
        self.steps.append(step)
        if self.fails_at is not None and step.startswith(self.fails_at):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write(self, batch: Any) -> None:
        self._step(f"write {batch.commits}")

    def sync(self) -> None:
        self._step("sync")

    def rotate(self, tokens: Iterable[tuple[str, int]]) -> None:
        self._step(f"rotate {list(tokens)}")

    def drop(self, checkpoint_ts: int) -> None:
        self._step(f"drop {checkpoint_ts}")


class Driven:
    """Commits with everything that they call recorded."""

    def __init__(self, fsync: Fsync = "always") -> None:
        self.log = RecordedLog()
        self.worker = HandDrivenWorker()
        self.published: list[int] = []
        self.failures: list[UnavailableError] = []
        self.commits = Commits(
            self.log,
            cast(Worker, self.worker),
            fsync=fsync,
            published=self.published.append,
            failed=self.failures.append,
            tokens=lambda: [("t", 1)],
        )

    def turn(self, *commits: int) -> None:
        """A turn of the loop in which these commits came."""
        self.log.pending += commits
        self.commits.flush()


def test_a_commit_is_published_when_it_is_durable_and_not_before() -> None:
    driven = Driven()
    driven.turn(1)
    assert driven.published == [] and driven.log.steps == []
    driven.worker.run()
    assert driven.log.steps == ["write [1]", "sync"]
    assert driven.published == [1] and driven.log.durable_ts == 1


def test_one_flush_is_under_way_and_the_next_batch_gathers() -> None:
    driven = Driven()
    driven.turn(1, 2)
    driven.turn(3)
    driven.turn()
    driven.turn(4, 5)
    assert len(driven.worker.jobs) == 1
    assert not driven.commits.is_settled
    driven.worker.run()
    assert driven.published == [2] and not driven.worker.jobs
    driven.turn()
    driven.worker.run()
    assert driven.log.steps == ["write [1, 2]", "sync", "write [3, 4, 5]", "sync"]
    assert driven.published == [2, 5]
    assert driven.commits.is_settled


def test_a_turn_without_commits_leaves_the_disk_alone() -> None:
    driven = Driven()
    driven.turn()
    driven.commits.sync()
    assert not driven.worker.jobs


def test_a_rotation_waits_for_the_flush_and_then_goes_before_the_next() -> None:
    driven = Driven()
    told: list[Error | None] = []
    driven.turn(1)
    driven.commits.rotate(told.append)
    driven.turn(2)
    assert len(driven.worker.jobs) == 1
    driven.worker.run()
    driven.turn(3)
    driven.worker.run()
    assert driven.log.steps == ["write [1]", "sync", "rotate [('t', 1)]"]
    assert told == [None]
    driven.turn()
    driven.worker.run()
    assert driven.log.steps[3:] == ["write [2, 3]", "sync"]
    assert driven.published == [1, 3]


def test_a_rotation_asked_for_during_another_comes_after_it() -> None:
    driven = Driven()
    told: list[Error | None] = []
    driven.commits.rotate(told.append)
    driven.commits.rotate(told.append)
    driven.worker.run()
    assert told == [None]
    driven.worker.run()
    assert told == [None, None]
    assert not driven.worker.jobs


def test_old_segments_are_dropped_on_the_worker_and_a_failure_is_no_matter() -> None:
    driven = Driven()
    driven.log.fails_at = "drop"
    driven.commits.drop(7)
    driven.worker.run()
    assert driven.log.steps == ["drop 7"]
    assert driven.failures == [] and driven.commits.failure is None
    driven.turn(1)
    driven.worker.run()
    assert driven.published == [1]


@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_failed_flush_tells_everybody_once_and_is_final(step: str) -> None:
    driven = Driven()
    told: list[Error | None] = []
    driven.log.fails_at = step
    driven.turn(1)
    driven.turn(2)
    driven.commits.rotate(told.append)
    driven.worker.run()
    assert driven.published == []
    assert driven.failures == [driven.log.failure] == told
    assert driven.commits.failure is not None and "Input/output error" in driven.commits.failure
    driven.turn(3)
    driven.commits.sync()
    driven.commits.rotate(told.append)
    assert not driven.worker.jobs
    assert told == [driven.log.failure] * 2
    assert len(driven.failures) == 1
    assert driven.log.steps.count("sync") <= 1


def test_a_failed_rotation_is_final_too() -> None:
    driven = Driven()
    told: list[Error | None] = []
    driven.log.fails_at = "rotate"
    driven.commits.rotate(told.append)
    driven.turn(1)
    driven.worker.run()
    assert told == [driven.log.failure] == driven.failures
    driven.turn()
    assert not driven.worker.jobs and driven.published == []


@pytest.mark.parametrize("fsync", ["interval", "never"])
def test_without_fsync_a_turns_commits_are_written_and_published_in_the_turn(fsync: Fsync) -> None:
    driven = Driven(fsync)
    driven.turn(1, 2)
    assert driven.log.steps == ["write [1, 2]"]
    assert driven.published == [2]
    assert driven.log.durable_ts == 0
    assert not driven.worker.jobs


@pytest.mark.parametrize("fsync", ["interval", "never"])
def test_without_fsync_a_failed_write_is_final(fsync: Fsync) -> None:
    driven = Driven(fsync)
    driven.log.fails_at = "write"
    driven.turn(1)
    driven.turn(2)
    assert driven.published == []
    assert driven.failures == [driven.log.failure]
    assert driven.log.steps == ["write [1]"]


def test_at_intervals_what_was_written_is_synced_on_the_worker_once() -> None:
    driven = Driven("interval")
    driven.commits.sync()
    assert not driven.worker.jobs
    driven.turn(1)
    driven.commits.sync()
    driven.commits.sync()
    assert len(driven.worker.jobs) == 1
    driven.worker.run()
    assert driven.log.durable_ts == 1
    driven.commits.sync()
    assert not driven.worker.jobs


def test_at_intervals_commits_do_not_wait_for_a_sync_under_way() -> None:
    """They did, so on a slow disk `interval` was as slow as `always`."""
    driven = Driven("interval")
    driven.turn(1)
    driven.commits.sync()
    driven.turn(2)
    assert driven.published == [1, 2]
    assert not driven.commits.is_settled
    driven.worker.run()
    assert driven.log.durable_ts == 1, "the sync began before commit 2 was written"
    driven.commits.sync()
    driven.worker.run()
    assert driven.log.durable_ts == 2


def test_at_intervals_a_rotation_is_alone_with_the_file() -> None:
    driven = Driven("interval")
    told: list[Error | None] = []
    driven.turn(1)
    driven.commits.sync()
    driven.commits.rotate(told.append)
    assert len(driven.worker.jobs) == 1, "it waits for the sync"
    driven.worker.run()
    driven.turn(2)
    driven.commits.sync()
    assert len(driven.worker.jobs) == 1 and driven.published == [1], "and the others for it"
    driven.worker.run()
    driven.turn()
    assert told == [None] and driven.published == [1, 2]
    assert driven.log.steps == ["write [1]", "sync", "rotate [('t', 1)]", "write [2]"]


def test_at_intervals_a_write_that_fails_during_a_sync_is_final_whatever_becomes_of_the_sync() -> None:
    driven = Driven("interval")
    told: list[Error | None] = []
    driven.turn(1)
    driven.commits.sync()
    driven.log.fails_at = "write"
    driven.turn(2)
    driven.commits.rotate(told.append)
    driven.worker.run()
    driven.turn(3)
    assert driven.published == [1] and not driven.worker.jobs
    assert driven.failures == told == [driven.log.failure]


def test_at_intervals_a_failed_sync_is_final() -> None:
    driven = Driven("interval")
    driven.log.fails_at = "sync"
    driven.turn(1)
    driven.commits.sync()
    driven.turn(2)
    driven.worker.run()
    driven.turn(3)
    driven.commits.sync()
    assert driven.published == [1, 2]
    assert driven.failures == [driven.log.failure]
    assert driven.log.steps == ["write [1]", "write [2]", "sync"]


def test_sizes_are_the_logs() -> None:
    driven = Driven()
    assert (driven.commits.used_bytes, driven.commits.segment_bytes) == (100, 10)
