"""The server: the loop, the disk and the store put together, from the first turn to the last."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from mvcc_kv.errors import UnavailableError
from mvcc_kv.server.checkpoints import CheckpointJob
from mvcc_kv.server.commits import CommitLog
from mvcc_kv.server.deadlines import Deadlines
from mvcc_kv.server.disk import Disk
from mvcc_kv.server.listeners import Listeners
from mvcc_kv.server.logs import event
from mvcc_kv.server.loop import Loop
from mvcc_kv.server.redis.house import House
from mvcc_kv.server.served import ServedStore, Services
from mvcc_kv.server.settings import Settings
from mvcc_kv.server.stopping import WindingDown
from mvcc_kv.server.wakeup import WakeUp
from mvcc_kv.version import __version__

__all__ = ["Server"]

_EXPIRE_S = 1.0


class Server:
    """Serves a store over TCP until it is told to stop.

    `begin_checkpoint` starts a checkpoint of the store; None means that nothing is kept on disk.
    `log` is where the store hands its commits, and `tokens` what it is to keep of earlier ones; None: there is none.
    `clock` gives seconds and never goes back.
    """

    def __init__(
        self,
        store: ServedStore,
        settings: Settings,
        listeners: Listeners,
        *,
        begin_checkpoint: Callable[[], CheckpointJob] | None = None,
        checkpoint_ts: int | None = None,
        log: CommitLog | None = None,
        tokens: Callable[[], Iterable[tuple[str, int]]] = lambda: (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._started_at = clock()
        self._stops_asked = 0
        self._deadlines = Deadlines()
        self._wake_up = WakeUp()
        self._house = House(settings, address=listeners.address, keeps=begin_checkpoint is not None)
        self._disk = Disk(
            store,
            settings,
            self._deadlines,
            begin_checkpoint=begin_checkpoint,
            checkpoint_ts=checkpoint_ts,
            log=log,
            tokens=tokens,
            wake=self.wake,
            now=lambda: self._loop.now,
            published=self._published,
            failed=self._log_failed,
            checkpointed=self._house.saved,
        )
        services = Services(
            store=store,
            stats=self.stats,
            checkpoint=self._disk.checkpoints.request,
            clock=clock,
            max_transaction_bytes=settings.max_transaction_bytes,
            password=settings.password,
            deadlines=self._deadlines,
            changes_buffer_bytes=settings.changes_buffer_bytes,
            redis=self._house,
        )
        self._loop = Loop(services, settings, listeners, self._disk, self._wake_up)

    def serve(self) -> bool:
        """Run until `stop` is called, then wind down; whether the last checkpoint, if any, was written."""
        now = self._clock()
        self._loop.door.open()
        self._disk.start(now)
        if self._settings.retain_seconds:
            self._let_go_of_the_past(now)
        try:
            while not self._stops_asked:
                self._loop.turn()
            return self._wind_down()
        finally:
            self._close()

    def stop(self) -> None:
        """Ask the loop to stop; from any thread, or from a signal's handler."""
        self._stops_asked += 1
        self.wake()

    @property
    def wake_descriptor(self) -> int:
        """What to write a byte to, to make the loop turn: for `signal.set_wakeup_fd`."""
        return self._wake_up.descriptor

    def wake(self) -> None:
        """Make the loop turn; from any thread."""
        self._wake_up.call()

    def stats(self) -> dict[str, Any]:
        """What STATS answers."""
        return {
            **self._store.stats(),
            **self._loop.stats(),
            **self._disk.stats(),
            "uptime_s": round(self._clock() - self._started_at, 3),
            "version": __version__,
        }

    def _published(self, ts: int) -> None:
        """Commits up to `ts` are where they have to be: let them be seen, and the replies leave that tell of them."""
        self._store.publish(ts)
        self._loop.release(ts)

    def _log_failed(self, error: UnavailableError) -> None:
        self._loop.refuse_held(error)

    def _let_go_of_the_past(self, now: float) -> None:
        """What is retained gets too old also when nothing is committed."""
        self._store.trim()
        self._deadlines.add(now + _EXPIRE_S, self._let_go_of_the_past)

    def _wind_down(self) -> bool:
        self._house.stop()
        return WindingDown(
            self._loop,
            self._disk,
            self._settings,
            self._deadlines,
            clock=self._clock,
            is_cut_short=lambda: self._stops_asked > 1,
        ).run()

    def _close(self) -> None:
        self._loop.close()
        self._disk.close()
        self._wake_up.close()
        event(logging.INFO, "stopped")
