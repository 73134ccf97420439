"""Checkpoints written while clients are served.

    loop's thread   slice | ... turn ... | slice | ... turn ... | slice |  ... turns ...  | answer CHECKPOINT
    worker                  write          write                   write  fsync, rename

A checkpoint's text is made from a snapshot, in slices between the loop's turns: made in a thread it would fight the
loop for the interpreter, and every client would feel that. A slice is as many keys as take about half as long as the
rest of the turn did (`Pace`): who waits for one reply at a time waits half as long again, and a loop that has much to
do all the same gets on with the checkpoint.

The disk is waited for in the worker. Handing it something interrupts the loop more than a slice does, so slices are
gathered; at half a MiB a time it is less than one turn in a hundred, beyond what a 99th percentile shows. A few such
parts may be on their way; the loop makes no more slices until the worker keeps up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol, TypeAlias

from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.server.logs import event
from mvcc_kv.server.worker import Worker

__all__ = ["CheckpointJob", "Checkpoints", "GrowthTrigger", "Pace"]

RETRY_S = 10.0
SLICE_KEYS_MIN, SLICE_KEYS_MAX = 25, 250

_SLICE_SHARE = 0.5
_PART_BYTES = 512 * 1024
_PARTS_IN_FLIGHT_MAX = 4
_Answer: TypeAlias = "Callable[[int | Error], None]"


class _Chunks(Iterator[bytes], Protocol):
    keys_max: int

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


class Pace:
    """How many keys the next slice may have: about as many as take half as long as what came since the last one.

    But no fewer than `keys_min`.
    """

    def __init__(self) -> None:
        self.keys_min = SLICE_KEYS_MIN
        self._key_s = 1e-6  # a guess; each slice tells
        self._ended_at = float("-inf")

    def keys_max(self, now: float) -> int:
        """The bound for a slice that begins now."""
        share = _SLICE_SHARE * (now - self._ended_at) / self._key_s
        return int(min(max(share, self.keys_min), SLICE_KEYS_MAX))

    def took(self, keys: int, began_at: float, ended_at: float) -> None:
        """A slice of so many keys at most is made."""
        self._key_s = max((ended_at - began_at) / keys, 1e-9)
        self._ended_at = ended_at


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
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`prepare(then)` is called before a checkpoint begins, and calls `then`; `written` when one is on disk."""
        self._clock = clock
        self._pace = Pace()
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
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
        return self._job is not None and not self._is_text_whole and self._in_flight < _PARTS_IN_FLIGHT_MAX

    def step(self) -> None:
        """Make one slice of the text, if it `has_slice`; hand what has gathered to the worker, if it is enough."""
        job = self._job
        if job is None or not self.has_slice:
            return
        try:
            chunk = self._slice(job.chunks)
        except Error as error:  # its snapshot was ended
            failure = error
            self._submit(job.abandon, lambda _: self._written(failure))
            return
        if chunk is not None:
            self._gathered.append(chunk)
            self._gathered_bytes += len(chunk)
        if self._gathered and (chunk is None or self._gathered_bytes >= _PART_BYTES):
            self._submit(partial(_write, job, self._gathered), self._written)
            self._gathered, self._gathered_bytes = [], 0
        if chunk is None:
            self._is_text_whole = True
            self._submit(job.finish, self._written)

    def _slice(self, chunks: _Chunks) -> bytes | None:
        began_at = self._clock()
        chunks.keys_max = self._pace.keys_max(began_at)
        chunk = next(chunks, None)
        self._pace.took(chunks.keys_max, began_at, self._clock())
        return chunk

    def _submit(self, work: Callable[[], object], done: Callable[[BaseException | None], None]) -> None:
        self._in_flight += 1
        self._worker.submit(work, done)

    def hurry(self) -> None:
        """Nobody is served any more: from now on slices are as large as may be."""
        self._pace.keys_min = SLICE_KEYS_MAX

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
            self._gathered, self._gathered_bytes = [], 0
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


def _write(job: CheckpointJob, chunks: list[bytes]) -> None:
    job.write(b"".join(chunks))
