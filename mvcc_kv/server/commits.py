"""Group commit beside the loop: a turn's commits go to the log together, and only their replies wait for the disk.

    turn n     commits 7 8 9, their replies are held      flush [7 8 9] -> worker: write, fdatasync
    turn n+1   reads go on at visible_ts 6; commits 10 11                    |
    turn n+2   ... 12                                      <- durable -------+   publish 9, send the replies of 7 8 9
                                                          flush [10 11 12] -> worker

One flush is under way, the next batch gathers meanwhile: the slower the disk, the larger the batches.

With `--fsync interval` and `never` a turn's commits are written at its end, in the loop (into the page cache), their
replies leave in the same turn, and syncing is done ten times a second on the worker, or left to the system. Writes go
on during such a sync, which vouches for what was written before it; only a rotation is alone with the file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.server.logs import event
from mvcc_kv.server.settings import Fsync
from mvcc_kv.server.worker import Worker

__all__ = ["CommitLog", "Commits"]

INTERVAL_S = 0.1


class CommitLog(Protocol):
    """A log in steps: some take only the processor's time, some wait for the disk.

    What `batch` returns, None or something with a `last_ts`, is for `write` alone to understand.
    """

    @property
    def failure(self) -> UnavailableError | None: ...
    @property
    def has_pending(self) -> bool: ...
    @property
    def used_bytes(self) -> int: ...
    @property
    def segment_bytes(self) -> int: ...
    def refuse(self, error: BaseException) -> None: ...
    def batch(self) -> Any: ...
    def settled(self, ts: int) -> None: ...
    # These wait for the disk; one at a time, but that `write` may run beside `sync`
    def write(self, batch: Any) -> None: ...
    def sync(self) -> None: ...
    def rotate(self, tokens: Iterable[tuple[str, int]]) -> None: ...
    def drop(self, checkpoint_ts: int) -> None: ...


_Then: TypeAlias = "Callable[[Error | None], None]"


class Commits:
    """Drives a log from the loop. `published(ts)` is called when commits up to `ts` may be seen and told of.

    `failed(error)` is called once, when the log can't be written: nothing is committed from then on.
    """

    def __init__(
        self,
        log: CommitLog,
        worker: Worker,
        *,
        fsync: Fsync,
        published: Callable[[int], None],
        failed: Callable[[UnavailableError], None],
        tokens: Callable[[], Iterable[tuple[str, int]]],
    ) -> None:
        self._log = log
        self._worker = worker
        self._fsync = fsync
        self._published = published
        self._failed = failed
        self._tokens = tokens
        self._is_busy = False  # the worker has a step of the log in hand that must be the only one
        self._is_syncing = False  # it has a sync in hand beside which writes may go on
        self._written_ts = 0
        self._synced_ts = 0
        self._rotations: list[_Then] = []
        self._flushes_first = False  # commits were pending when the last rotation was asked for

    @property
    def used_bytes(self) -> int:
        """The log's size on disk."""
        return self._log.used_bytes

    @property
    def segment_bytes(self) -> int:
        """How much was written since the log went on in a new segment."""
        return self._log.segment_bytes

    @property
    def failure(self) -> str | None:
        """Why nothing is committed any more; None if all is well."""
        return None if self._log.failure is None else self._log.failure.message

    @property
    def is_settled(self) -> bool:
        """Whether every commit has reached where it has to be, or failed to."""
        return not self.is_busy and not self._log.has_pending

    @property
    def is_busy(self) -> bool:
        """Whether the worker has a step of the log in hand."""
        return self._is_busy or self._is_syncing

    @property
    def has_batch(self) -> bool:
        """Whether commits wait that `flush` would send on their way, and have a reply that waits for the disk."""
        return self._fsync == "always" and not self._is_busy and self._log.has_pending

    def flush(self) -> None:
        """Send what has gathered on its way; called at the end of a turn."""
        if self._is_busy or not self._log.has_pending or self._log.failure is not None:
            return
        batch = self._log.batch()
        if batch is None:
            return
        if self._fsync == "always":
            self._submit(lambda: self._write_and_sync(batch), lambda: self._settle(batch.last_ts))
        else:
            self._write_now(batch)

    def sync(self) -> None:
        """Force to disk what was written since the last time; called every `INTERVAL_S` with `--fsync interval`."""
        is_free = not self._is_busy and not self._is_syncing
        if not is_free or self._written_ts == self._synced_ts or self._log.failure is not None:
            return
        ts = self._written_ts
        self._is_syncing = True

        def done(error: BaseException | None) -> None:
            self._is_syncing = False
            if error is None:
                self._synced_ts = ts
                self._log.settled(ts)
            else:
                self._fail(error)
            self._rotate_if_free()

        self._worker.submit(self._log.sync, done)

    def rotate(self, then: _Then) -> None:
        """Go on in a new segment when every commit so far is in the log and visible; `then` is told how it went."""
        if self._log.failure is not None:
            then(self._log.failure)
            return
        self._rotations.append(then)
        self.flush()
        self._flushes_first = self._log.has_pending
        self._rotate_if_free()

    def drop(self, checkpoint_ts: int) -> None:
        """Remove the segments that a checkpoint made superfluous; a failure leaves them to the next one."""

        def done(error: BaseException | None) -> None:
            if error is not None:
                event(logging.WARNING, "old log segments stay", reason=str(error))

        self._worker.submit(lambda: self._log.drop(checkpoint_ts), done)

    def _write_and_sync(self, batch: Any) -> None:
        self._log.write(batch)
        self._log.sync()

    def _settle(self, ts: int) -> None:
        self._log.settled(ts)
        self._published(ts)

    def _write_now(self, batch: Any) -> None:
        try:
            self._log.write(batch)
        except OSError as error:
            self._fail(error)
            return
        self._written_ts = batch.last_ts
        self._published(batch.last_ts)

    def _submit(self, step: Callable[[], None], then: Callable[[], None]) -> None:
        self._is_busy = True

        def done(error: BaseException | None) -> None:
            self._is_busy = False
            if error is None:
                then()
            else:
                self._fail(error)
            self._rotate_if_free()

        self._worker.submit(step, done)

    def _is_flushing(self) -> bool:
        """Whether something has to reach the disk before a rotation."""
        if self._flushes_first and not self._is_busy:
            self._flushes_first = False
            self.flush()
        return self._is_busy or self._is_syncing

    def _rotate_if_free(self) -> None:
        if not self._rotations or self._is_flushing():
            return
        waiting, self._rotations = self._rotations, []

        def tell(error: Error | None) -> None:
            for then in waiting:
                then(error)

        if self._log.failure is not None:
            tell(self._log.failure)
            return
        tokens = list(self._tokens())
        self._is_busy = True

        def done(error: BaseException | None) -> None:
            self._is_busy = False
            if isinstance(error, UnavailableError):
                event(logging.ERROR, "the log stays in its segment", reason=str(error))
            elif error is not None:
                self._fail(error)
            tell(error if isinstance(error, UnavailableError) else self._log.failure)
            self._rotate_if_free()

        self._worker.submit(lambda: self._log.rotate(tokens), done)

    def _fail(self, error: BaseException) -> None:
        first = self._log.failure is None
        self._log.refuse(error)
        if first and self._log.failure is not None:
            event(logging.CRITICAL, "the log failed: no more commits", reason=str(error))
            self._failed(self._log.failure)
