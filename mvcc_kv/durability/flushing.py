"""Group commit for embedded use: of the threads that wait for the disk, one does the work for all.

    thread A   append 7   settle(7) ── leads: batch [7]     write, sync ── publish 7 ── done
    thread B        append 8   settle(8) ── waits ................ leads: batch [8 9]  write, sync ── publish 9 ── done
    thread C             append 9  settle(9) ── waits ................................................ done

While one batch is on its way to the disk, the next one gathers. Nobody reads a commit before its record is durable, but
for those whose committer said that he can do without (`waits=False`): a batch of only such is written and not synced.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from threading import Condition, Event, Thread
from typing import Literal
from weakref import ref

from mvcc_kv.durability.log import Log
from mvcc_kv.engine.history import Superseded
from mvcc_kv.errors import UnavailableError

__all__ = ["Fsync", "SettlingLog"]

Fsync = Literal["always", "interval", "never"]
INTERVAL_S = 0.1


class SettlingLog:
    """A log whose committers wait for it themselves. Satisfies the engine's `CommitLog`; thread-safe.

    `publish` is told how far commits may be seen. `fsync`: "always" syncs before a commit returns; "interval" writes
    before it returns and syncs ten times a second; "never" leaves syncing to the operating system.
    `pause(closed, interval_s)` waits for the next sync of "interval", and is true once `closed` is set.
    """

    def __init__(
        self,
        log: Log,
        publish: Callable[[int], None],
        fsync: Fsync = "always",
        *,
        pause: Callable[[Event, float], bool] = Event.wait,
    ) -> None:
        self._log = log
        self._publish = publish
        self._syncs_at_once = fsync == "always"
        self._turn = Condition()
        self._is_flushing = False
        self._written_ts = log.durable_ts
        self._settled_ts = log.durable_ts  # commits up to here are as safe as was asked for
        self._relaxed: set[int] = set()  # commits beyond, whose committers don't wait for the disk
        self._grown_bytes: int | None = None
        self._on_growth: Callable[[], None] = lambda: None
        self._is_closed = Event()
        self._pause = pause
        os.register_at_fork(after_in_child=partial(_disown, ref(log)))
        self._ticker = Thread(target=self._tick, name="mvcc-kv-fsync", daemon=True) if fsync == "interval" else None
        if self._ticker is not None:
            self._ticker.start()

    def call_when_grown(self, segment_bytes: int, then: Callable[[], None]) -> None:
        """Call `then` after every commit that finds more than so many bytes in the current segment."""
        self._grown_bytes, self._on_growth = segment_bytes, then

    @property
    def failure(self) -> UnavailableError | None:
        return self._log.failure

    def append(
        self,
        commit_ts: int,
        writes: Mapping[bytes, bytes | None],
        label: str | None,
        token: str | None,
        time_us: int,
        superseded: Mapping[bytes, Superseded] | None,
    ) -> bool:
        return self._log.append(commit_ts, writes, label, token, time_us, superseded)

    def settle(self, commit_ts: int, *, waits: bool = True) -> None:
        """Return when the commit is as safe as `fsync` asks (`waits=False`: as "never" does), and can be seen."""
        if not waits:
            self._relaxed.add(commit_ts)
        try:
            self._settle(commit_ts)
        finally:
            self._relaxed.discard(commit_ts)
        if self._grown_bytes is not None and self._log.segment_bytes > self._grown_bytes:
            self._on_growth()

    def _settle(self, commit_ts: int) -> None:
        while self._settled_ts < commit_ts:
            if self._take_turn(commit_ts):
                try:
                    self._flush()
                finally:
                    self._give_turn()
            if self._log.failure is not None and self._settled_ts < commit_ts:
                raise self._log.failure

    def rotate(self, tokens: Callable[[], Iterable[tuple[str, int]]]) -> None:
        """Flush, then go on in a new segment. Does nothing once the log has failed."""
        self._take_turn(None)
        try:
            self._flush()
            kept = list(tokens())
            with contextlib.suppress(UnavailableError):  # no room for one: the log stays where it is
                self._guarded(lambda: self._log.rotate(kept))
        finally:
            self._give_turn()

    def drop(self, checkpoint_ts: int) -> None:
        """Remove the segments that a durable checkpoint made superfluous; a failure leaves them to the next one."""
        self._take_turn(None)
        try:
            with contextlib.suppress(OSError):
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
            self._guarded(self._log.sync)  # what nobody waited for
            self._log.refuse(UnavailableError("the log was closed, so nothing is committed any more; open it again"))
            self._log.close()
        finally:
            self._give_turn()

    def _take_turn(self, commit_ts: int | None) -> bool:
        """Wait until nobody flushes, then it is our turn; unless the commit was settled meanwhile."""
        with self._turn:
            while self._is_flushing:
                self._turn.wait()
                if commit_ts is not None and self._settled_ts >= commit_ts:
                    return False  # though somebody else may have the next turn already
            if commit_ts is not None and self._settled_ts >= commit_ts:
                return False
            self._is_flushing = True
            return True

    def _give_turn(self) -> None:
        with self._turn:
            self._is_flushing = False
            self._turn.notify_all()

    def _flush(self) -> None:
        if not self._guarded(self._write):
            return
        ts = self._written_ts
        if self._syncs_at_once and not self._relaxed.issuperset(range(self._settled_ts + 1, ts + 1)):
            if not self._guarded(self._log.sync):
                return
            self._log.settled(ts)
        self._publish(ts)
        self._settled_ts = ts

    def _write(self) -> None:
        """Write what has gathered. It is framed once: if it doesn't arrive, be it for Ctrl-C, the log has a gap."""
        batch = self._log.batch()
        if batch is not None:
            self._log.write(batch)
            self._written_ts = batch.last_ts

    def _guarded(self, step: Callable[[], None]) -> bool:
        """Take a step, unless one has failed; whether it is done. A sync that Ctrl-C cut short is taken again."""
        if self._log.failure is not None:
            return False
        try:
            step()
        except UnavailableError:
            raise
        except BaseException as error:
            if isinstance(error, Exception) or step != self._log.sync:
                self._log.refuse(error)
            if not isinstance(error, OSError):
                raise
            return False
        return True

    def _tick(self) -> None:
        synced_ts = self._settled_ts
        while not self._pause(self._is_closed, INTERVAL_S):
            written_ts = self._settled_ts
            if written_ts == synced_ts or self._log.failure is not None:
                continue
            self._take_turn(None)
            try:
                if self._guarded(self._log.sync):
                    self._log.settled(written_ts)
                    synced_ts = written_ts
            finally:
                self._give_turn()


def _disown(log: ref[Log]) -> None:
    """In a fork of the process: the log is its parent's, and two writers would ruin it."""
    inherited = log()
    if inherited is not None:
        inherited.refuse(
            UnavailableError(
                "the database was opened before this process forked, and belongs to its parent: nothing is committed "
                "here. Open one after the fork, or have a server and connect to it"
            )
        )
