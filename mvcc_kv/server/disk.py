"""The disk, as the loop sees it: commits on their way there, and when a checkpoint is written unasked.

    a turn's end        its commits go to the log              -> later, `published`: they are where they have to be
    every second        the log is forced to disk, with --fsync interval
    the log has grown   a checkpoint; see `GrowthTrigger`
    by time             a checkpoint, if there is anything new

Two workers wait for the disk, so that a commit doesn't wait for a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.server.checkpoints import CheckpointJob, Checkpoints, GrowthTrigger
from mvcc_kv.server.commits import INTERVAL_S, CommitLog, Commits
from mvcc_kv.server.deadlines import Deadlines
from mvcc_kv.server.served import ServedStore
from mvcc_kv.server.settings import Settings
from mvcc_kv.server.worker import Worker

__all__ = ["Disk"]


class Disk:
    """A server's commits and checkpoints.

    `begin_checkpoint`, `log` and `tokens` as in `Server`. `wake` makes the loop turn; `now` tells when its turn began.
    `published` and `failed` as in `Commits`; `checkpointed` is called when a checkpoint is on disk.
    """

    def __init__(
        self,
        store: ServedStore,
        settings: Settings,
        deadlines: Deadlines,
        *,
        begin_checkpoint: Callable[[], CheckpointJob] | None,
        checkpoint_ts: int | None,
        log: CommitLog | None,
        tokens: Callable[[], Iterable[tuple[str, int]]],
        wake: Callable[[], None],
        now: Callable[[], float],
        published: Callable[[int], None],
        failed: Callable[[UnavailableError], None],
        checkpointed: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._deadlines = deadlines
        self._now = now
        self._published = published
        self._checkpointed = checkpointed
        self._growth = GrowthTrigger(settings.checkpoint_log_bytes)
        self._has_rotated = True
        self._log_worker = Worker("mvcc-kv-log", wake)
        self._worker = Worker("mvcc-kv-disk", wake)
        self._commits: Commits | None = None
        if log is not None:
            self._commits = Commits(
                log,
                self._log_worker,
                fsync=settings.fsync,
                published=self._arrived,
                failed=failed,
                tokens=tokens,
            )
        self.keeps = begin_checkpoint is not None
        self.checkpoints = Checkpoints(
            begin_checkpoint, self._worker, checkpoint_ts, prepare=self._rotate, written=self._drop
        )

    def start(self, now: float) -> None:
        """The loop begins to turn: set the timers."""
        self._arm_checkpoints(now)
        if self._settings.fsync == "interval":
            self._sync_by_time(now)

    def deliver(self) -> None:
        """Hand over what the workers have finished."""
        self._worker.deliver()
        self._log_worker.deliver()

    @property
    def has_log(self) -> bool:
        """Whether there is anything to `flush`, ever."""
        return self._commits is not None

    @property
    def has_batch(self) -> bool:
        """Whether commits wait that `flush` would send to the disk."""
        return self._commits is not None and self._commits.has_batch

    @property
    def is_busy(self) -> bool:
        """Whether a worker has something in hand."""
        return self.checkpoints.is_busy or (self._commits is not None and self._commits.is_busy)

    def flush(self) -> None:
        """Send the turn's commits on their way."""
        if self._commits is not None:
            self._commits.flush()

    @property
    def has_news(self) -> bool:
        """Whether the checkpoint on disk, if any, is older than the store."""
        return self.checkpoints.checkpoint_ts != self._store.visible_ts

    def stats(self) -> dict[str, int | str | None]:
        """What STATS says of it."""
        return {
            "checkpoint_ts": self.checkpoints.checkpoint_ts or 0,
            "wal_bytes": 0 if self._commits is None else self._commits.used_bytes,
            "log_failure": None if self._commits is None else self._commits.failure,
        }

    def close(self) -> None:
        """Finish what the workers have in hand."""
        self._worker.close()
        self._log_worker.close()
        self.checkpoints.close()

    def _arrived(self, ts: int) -> None:
        self._published(ts)
        self._checkpoint_by_size()

    def _sync_by_time(self, now: float) -> None:
        if self._commits is not None:
            self._commits.sync()
            self._deadlines.add(now + INTERVAL_S, self._sync_by_time)

    def _arm_checkpoints(self, now: float) -> None:
        interval_s = self._settings.checkpoint_interval_s
        if self.keeps and interval_s:
            self._deadlines.add(now + interval_s, self._checkpoint_by_time)

    def _checkpoint_by_time(self, now: float) -> None:
        self._arm_checkpoints(now)
        if self.has_news:
            self.checkpoints.request(lambda _: None)

    def _checkpoint_by_size(self) -> None:
        commits, now = self._commits, self._now()
        if commits is None or self.checkpoints.is_busy or not self._growth.is_due(commits.segment_bytes, now):
            return

        def answer(outcome: int | Error) -> None:
            if isinstance(outcome, Error) or not self._has_rotated:
                self._growth.failed(commits.segment_bytes, self._now())

        self.checkpoints.request(answer)

    def _rotate(self, then: Callable[[Error | None], None]) -> None:
        """A checkpoint is about to begin: the log goes on in a new segment."""

        def rotated(error: Error | None) -> None:
            self._has_rotated = error is None
            then(error)

        if self._commits is None:
            then(None)
        else:
            self._commits.rotate(rotated)

    def _drop(self, checkpoint_ts: int) -> None:
        """A checkpoint is on disk: the log lets go of what it holds."""
        self._checkpointed()
        if self._commits is not None:
            self._commits.drop(checkpoint_ts)
