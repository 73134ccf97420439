"""Checkpoints written while clients are served.

    loop's thread   slice | ... turn ... | slice | ... turn ... | slice |  ... turns ...  | answer CHECKPOINT
    worker                  write          write                   write  fsync, rename

A checkpoint's text is made from a snapshot, in slices of a few hundred keys between the loop's turns: made
in a thread it would fight the loop for the interpreter, and every client would feel that. The disk is waited
for in the worker. A few slices may be on their way to it; the loop makes no more until it keeps up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol, TypeAlias

from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.server.logs import event
from mvcc_kv.server.worker import Worker

__all__ = ["CheckpointJob", "Checkpoints", "GrowthTrigger"]

RETRY_S = 10.0

_SLICES_IN_FLIGHT_MAX = 8
_Answer: TypeAlias = "Callable[[int | Error], None]"


class _Chunks(Iterator[bytes], Protocol):
    def close(self) -> None: ...


class CheckpointJob(Protocol):
    """A checkpoint being written: its text on one side, its file on the other. One that fails abandons itself."""

    @property
    def commit_ts(self) -> int: ...
    @property
    def chunks(self) -> _Chunks: ...
    def write(self, chunk: bytes) -> None: ...
    def finish(self) -> object: ...
    def abandon(self) -> None: ...


class GrowthTrigger:
    """When the log has grown enough for a checkpoint.

    After one that failed, or that left the log in its segment, the log has to grow as much again and `RETRY_S` to pass:
    what ails the disk is seldom gone at the next commit, and each attempt costs the disk and a line of the logs.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._failed_bytes = 0
        self._retry_at = float("-inf")

    def is_due(self, segment_bytes: int, now: float) -> bool:
        """Whether it is time, by the size of the log's current segment."""
        if segment_bytes < self._failed_bytes:  # it is a new one
            self._failed_bytes = 0
        return segment_bytes > self._failed_bytes + self._limit_bytes and now >= self._retry_at

    def failed(self, segment_bytes: int, now: float) -> None:
        """The checkpoint that was due changed nothing."""
        self._failed_bytes, self._retry_at = segment_bytes, now + RETRY_S


class Checkpoints:
    """One checkpoint at a time; who asks while one is written is answered by the next, which has their commits."""

    def __init__(
        self,
        begin: Callable[[], CheckpointJob] | None,
        worker: Worker,
        checkpoint_ts: int | None,
        *,
        prepare: Callable[[Callable[[Error | None], None]], None] = lambda then: then(None),
        written: Callable[[int], None] = lambda checkpoint_ts: None,
    ) -> None:
        """`prepare(then)` is called before a checkpoint begins, and calls `then`; `written` when one is on disk."""
        self.checkpoint_ts = checkpoint_ts
        self._prepare = prepare
        self._on_written = written
        self._is_busy = False
        self._begin = begin
        self._worker = worker
        self._job: CheckpointJob | None = None
        self._is_text_whole = False
        self._in_flight = 0
        self._failure: BaseException | None = None
        self._answers: list[_Answer] = []
        self._waiting: list[_Answer] = []

    def request(self, answer: _Answer) -> None:
        """Have a checkpoint written of everything that is visible now; `answer` gets its commit_ts or the error."""
        if self._begin is None:
            answer(UnavailableError("this server keeps nothing on disk; start it with --data-dir, not --in-memory"))
            return
        self._waiting.append(answer)
        if not self._is_busy:
            self._start(self._begin)

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._is_busy

    @property
    def has_slice(self) -> bool:
        """Whether `step` has work to do now."""
        return self._job is not None and not self._is_text_whole and self._in_flight < _SLICES_IN_FLIGHT_MAX

    def step(self) -> None:
        """Make one slice of the text and hand it to the worker."""
        job = self._job
        if job is None or not self.has_slice:
            return
        self._in_flight += 1
        try:
            chunk = next(job.chunks, None)
        except Error as error:  # its snapshot was ended
            failure = error
            self._worker.submit(job.abandon, lambda _: self._written(failure))
            return
        if chunk is None:
            self._is_text_whole = True
            self._worker.submit(job.finish, self._written)
        else:
            self._worker.submit(partial(job.write, chunk), self._written)

    def close(self) -> None:
        """Let go of the snapshot of a checkpoint that nobody will finish."""
        if self._job is not None:
            self._job.chunks.close()
            self._job = None

    def _start(self, begin: Callable[[], CheckpointJob]) -> None:
        self._is_busy = True

        def prepared(_: Error | None) -> None:  # without a log a checkpoint is worth all the more
            self._answers, self._waiting = self._waiting, []
            self._is_text_whole, self._failure = False, None
            try:
                self._job = begin()
            except Error as error:
                self._end(error)

        self._prepare(prepared)

    def _written(self, error: BaseException | None) -> None:
        self._in_flight -= 1
        if error is not None and self._failure is None and self._job is not None:
            self._failure = error
            self._is_text_whole = True
            self._job.chunks.close()
        if self._is_text_whole and self._in_flight == 0:
            self._end(self._failure)

    def _end(self, failure: BaseException | None) -> None:
        job, self._job = self._job, None
        self._is_busy = False
        answers, self._answers = self._answers, []
        outcome: int | Error
        if failure is None and job is not None:
            outcome = self.checkpoint_ts = job.commit_ts
            event(logging.INFO, "checkpoint written", commit_ts=outcome)
            self._on_written(outcome)
        else:
            outcome = failure if isinstance(failure, Error) else UnavailableError(f"the checkpoint failed: {failure}")
            event(logging.ERROR, "checkpoint failed", reason=str(failure))
        for answer in answers:
            answer(outcome)
        if self._waiting and self._begin is not None and not self._is_busy:
            self._start(self._begin)
