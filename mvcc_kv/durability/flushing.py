"""Group commit for embedded use: of the threads that wait for the disk, one does the work for all.

    thread A   append 7   settle(7) ── leads: batch [7]     write, sync ── publish 7 ── done
    thread B        append 8   settle(8) ── waits ................ leads: batch [8 9]  write, sync ── publish 9 ── done
    thread C             append 9  settle(9) ── waits ................................................ done

While one batch is on its way to the disk, the next one gathers. Nobody reads a commit before its record is durable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from threading import Condition, Event, Thread
from typing import Literal
from weakref import ref

from mvcc_kv.durability.log import Log
from mvcc_kv.errors import UnavailableError

__all__ = ["Fsync", "SettlingLog"]

Fsync = Literal["always", "interval", "never"]
INTERVAL_S = 0.1


class SettlingLog:
    """A log whose committers wait for it themselves. Satisfies the engine's `CommitLog`; thread-safe.

    `publish` is told how far commits may be seen. `fsync`: "always" syncs before a commit returns; "interval" writes
    before it returns and syncs ten times a second; "never" leaves syncing to the operating system.
    """

    def __init__(self, log: Log, publish: Callable[[int], None], fsync: Fsync = "always") -> None:
        self._log = log
        self._publish = publish
        self._syncs_at_once = fsync == "always"
        self._turn = Condition()
        self._is_flushing = False
        self._settled_ts = log.durable_ts
        self._is_closed = Event()
        os.register_at_fork(after_in_child=partial(_disown, ref(log)))
        self._ticker = Thread(target=self._tick, name="mvcc-kv-fsync", daemon=True) if fsync == "interval" else None
        if self._ticker is not None:
            self._ticker.start()

    @property
    def failure(self) -> UnavailableError | None:
        return self._log.failure

    def append(
        self, commit_ts: int, writes: Mapping[bytes, bytes | None], label: str | None, token: str | None
    ) -> bool:
        return self._log.append(commit_ts, writes, label, token)

    def settle(self, commit_ts: int) -> None:
        """Return when the commit is as safe as `fsync` asks, and can be seen."""
        while self._settled_ts < commit_ts:
            if self._take_turn(commit_ts):
                try:
                    self._flush()
                finally:
                    self._give_turn()
            if self._log.failure is not None and self._settled_ts < commit_ts:
                raise self._log.failure

    def rotate(self, tokens: Callable[[], Iterable[tuple[str, int]]]) -> None:
        """Flush, then go on in a new segment. Raises `UnavailableError`."""
        self._take_turn(None)
        try:
            self._flush()
            if self._log.failure is None:
                self._guarded(lambda: self._log.rotate(tokens()))
        finally:
            self._give_turn()

    def drop(self, checkpoint_ts: int) -> None:
        """Remove the segments that a durable checkpoint made superfluous."""
        self._take_turn(None)
        try:
            self._log.drop(checkpoint_ts)
        finally:
            self._give_turn()

    def close(self) -> None:
        """Flush what is left and close the file."""
        self._is_closed.set()
        if self._ticker is not None:
            self._ticker.join()
        self._take_turn(None)
        try:
            self._flush()
            if not self._syncs_at_once and self._log.failure is None:
                self._guarded(self._log.sync)
            self._log.refuse(RuntimeError("it was closed"))
            self._log.close()
        finally:
            self._give_turn()

    def _take_turn(self, commit_ts: int | None) -> bool:
        """Wait until nobody flushes, then it is our turn; unless the commit was settled meanwhile."""
        with self._turn:
            while self._is_flushing:
                self._turn.wait()
            if commit_ts is not None and self._settled_ts >= commit_ts:
                return False
            self._is_flushing = True
            return True

    def _give_turn(self) -> None:
        with self._turn:
            self._is_flushing = False
            self._turn.notify_all()

    def _flush(self) -> None:
        batch = self._log.batch()
        if batch is None or self._log.failure is not None:
            return
        self._guarded(lambda: self._log.write(batch))
        if self._syncs_at_once and self._log.failure is None:
            self._guarded(self._log.sync)
        if self._log.failure is None:
            if self._syncs_at_once:
                self._log.settled(batch.last_ts)
            self._publish(batch.last_ts)
            self._settled_ts = batch.last_ts

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._log.refuse(error)

    def _tick(self) -> None:
        synced_ts = self._settled_ts
        while not self._is_closed.wait(INTERVAL_S):
            written_ts = self._settled_ts
            if written_ts == synced_ts or self._log.failure is not None:
                continue
            self._take_turn(None)
            try:
                self._guarded(self._log.sync)
                if self._log.failure is None:
                    self._log.settled(written_ts)
                    synced_ts = written_ts
            finally:
                self._give_turn()


def _disown(log: ref[Log]) -> None:
    """In a fork of the process: the log is its parent's, and two writers would ruin it."""
    inherited = log()
    if inherited is not None:
        inherited.refuse(RuntimeError("it was opened before this process forked"))
