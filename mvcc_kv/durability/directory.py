"""The data directory: one process holds it, one checkpoint at a time is written to it.

    data/
      checkpoint.json        the latest whole checkpoint
      checkpoint.json.tmp    the one being written, or what a crash left of one; never read
      log-...42.wal          the log's segments, each named after the first commit it may hold
      replacing.json         a repair or a restore is under way, or was cut short: no start before it is finished

A checkpoint's work has two sides, which two threads may do: `CheckpointJob.chunks` reads the snapshot and takes only
CPU time; `write`, `finish` and `abandon` take only the disk's. Each side belongs to one thread at a time.

    begin_checkpoint ──▶ write* ──▶ finish ──▶ checkpoint_ts moves
                           │           │
                           └─ failure ─┴─▶ abandoned: the temporary file goes, the directory is free for the next one
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mvcc_kv.durability.checkpoint import (
    CHECKPOINT_NAME,
    PUT_BACK,
    Checkpoint,
    CheckpointSource,
    decode_checkpoint,
    encode_checkpoint,
    ends_checkpoint,
)
from mvcc_kv.durability.files import FileSystem, OsFileSystem
from mvcc_kv.durability.log import Log
from mvcc_kv.durability.records import segment_ts
from mvcc_kv.durability.recovery import Recovery, read_log
from mvcc_kv.durability.replacing import unfinished
from mvcc_kv.durability.replay import Replay
from mvcc_kv.durability.retention import HistoryReader
from mvcc_kv.engine.history import CommitHistory
from mvcc_kv.engine.outcomes import CommitOutcomes
from mvcc_kv.errors import DataDirectoryError, UnavailableError

__all__ = ["CHECKPOINT_NAME", "CheckpointJob", "DataDirectory", "Recovered"]


class Recovered(NamedTuple):
    """A directory's newest state: everything up to `commit_ts`, in the order of the keys."""

    commit_ts: int
    items: dict[bytes, bytes]
    recovery: Recovery
    history: CommitHistory | None = None


class DataDirectory:
    """A locked data directory. It belongs to the process that opened it: a fork of that one can only close it."""

    def __init__(self, path: str, lock: int, files: FileSystem) -> None:
        self.path = path
        self.files = files
        self.checkpoint_ts: int | None = None  # of the latest checkpoint known to be on disk; None if there is none
        self._lock: int | None = lock
        self._owner_pid = os.getpid()
        self._job: CheckpointJob | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], files: FileSystem | None = None) -> DataDirectory:
        """Lock the directory; it is made, for its owner alone, if there is none. Nothing else is changed on disk.

        Raises `DataDirectoryError` if another process or another opening holds it, or if it can't be used.
        """
        path, files = os.path.abspath(path), files or OsFileSystem()
        try:
            files.make_directory(path)
            return cls(path, files.lock_directory(path), files)
        except BlockingIOError as error:
            raise _in_use(path, files.lock_holder(path)) from error
        except OSError as error:
            raise DataDirectoryError(
                f"the data directory {path!r} can't be used: {_reason(error)}; "
                f"check the path and its permissions, or choose another directory"
            ) from error

    @property
    def checkpoint_path(self) -> str:
        """Where the checkpoint is."""
        return os.path.join(self.path, CHECKPOINT_NAME)

    @property
    def is_owned(self) -> bool:
        """Is this the process that opened it, and is it open still?"""
        return self._lock is not None and self._owner_pid == os.getpid()

    def load(self) -> Checkpoint:
        """The checkpoint on disk; without one, that of an empty store: ts 0 and no items.

        Raises `DataDirectoryError` if it is damaged, foreign or unreadable, or half replaced.
        """
        replacement = unfinished(self.path, self.files)
        if replacement is not None:
            raise DataDirectoryError(f"{replacement.told(self.path)}. Nothing was changed")
        try:
            text = self.files.read(self.checkpoint_path)
        except FileNotFoundError:
            return Checkpoint(0, {})
        except OSError as error:
            raise DataDirectoryError(
                f"{self.checkpoint_path!r} can't be read: {_reason(error)}; check its permissions and the disk"
            ) from error
        try:
            checkpoint = decode_checkpoint(text, repr(self.checkpoint_path))
        except DataDirectoryError as error:
            raise self._advised(error) from error
        self.checkpoint_ts = checkpoint.commit_ts
        return checkpoint

    def _advised(self, error: DataDirectoryError) -> DataDirectoryError:
        """The refusal of a checkpoint, with advice that works: beside a log there is no start without it."""
        if not error.message.endswith(PUT_BACK) or not any(segment_ts(name) for name in self.files.list(self.path)):
            return error
        return DataDirectoryError(
            f"{error.message.removesuffix(PUT_BACK)}put a good copy back, or a backup with "
            f"`mvcc-kv restore BACKUP {self.path} --force`; `mvcc-kv verify {self.path}` says what can be had without",
            **error.evidence,
        )

    def recover(
        self, progress: Callable[[int], None] = lambda commits: None, history: CommitHistory | None = None
    ) -> Recovered:
        """The newest state that the directory holds: the checkpoint and the log after it. Changes no file.

        `progress` is called now and then with the number of commits replayed. `history`, which is empty, is filled with
        all of the past that the log still has, as far as it holds that. Raises `DataDirectoryError`.
        """
        checkpoint = self.load()
        replay = Replay(checkpoint, progress)
        reader = None if history is None else HistoryReader(history, checkpoint.commit_ts, replay.items)
        recovery = read_log(self.path, checkpoint.commit_ts, replay.take, files=self.files, history=reader, puts=replay)
        return Recovered(recovery.end.ts, replay.checkpoint.items, recovery, history)

    def begin_log(self, recovered: Recovered) -> Log:
        """The log, ready to go on where `recovered` ends, in a new segment; it keeps what `recovered.history` does.

        Raises `UnavailableError`.
        """
        log = Log(self.path, recovered.recovery.end, files=self.files, history=recovered.history)
        outcomes = CommitOutcomes()  # of all in the log, those that are to be kept
        outcomes.restore(recovered.recovery.tokens)
        try:
            log.rotate(outcomes)
        except OSError as error:
            raise UnavailableError(
                f"no log can be begun in {self.path!r}: {_reason(error)}; see to the disk"
            ) from error
        with contextlib.suppress(OSError):  # what stays is removed after the next checkpoint
            log.drop(self.checkpoint_ts or 0)
        return log

    def begin_checkpoint(self, snapshot: CheckpointSource) -> CheckpointJob:
        """The work of writing a checkpoint of what `snapshot` reads. Touches no file; the job ends the snapshot.

        Raises `UnavailableError`, and ends the snapshot, if one is being written already (retryable) or
        the directory isn't this process's.
        """
        try:
            self._check_free()
        except UnavailableError:
            snapshot.rollback()
            raise
        self._job = CheckpointJob(self, snapshot)
        return self._job

    def _check_free(self) -> None:
        if not self.is_owned:
            raise UnavailableError(
                f"the data directory {self.path!r} is closed, or was opened before this process forked"
            )
        if self._job is not None:
            raise UnavailableError(
                f"a checkpoint at {self._job.commit_ts} is being written already; try again when it is done",
                retryable=True,
            )

    def end_checkpoint(self, job: CheckpointJob, *, checkpoint_ts: int | None = None) -> None:
        """Called by the job itself when it is over, with its timestamp if it is known to be on disk."""
        if self._job is not job:
            return
        self._job = None
        if checkpoint_ts is not None:
            self.checkpoint_ts = checkpoint_ts

    def close(self) -> None:
        """Give the directory back; a checkpoint being written is abandoned. Calling it again does nothing."""
        if self._job is not None and self.is_owned:
            self._job.abandon()
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):  # closing unlocks; LOCK_UN in a fork would unlock its parent's too
                self.files.close(lock)


class CheckpointJob:
    """One checkpoint in the making. Whatever fails, the checkpoint before it stays and the next one can begin."""

    def __init__(self, directory: DataDirectory, snapshot: CheckpointSource) -> None:
        self.commit_ts = snapshot.start_ts
        self.chunks = encode_checkpoint(snapshot)  # the CPU's side; close it when not going to its end
        self._directory = directory
        self._files = directory.files
        self._path = directory.checkpoint_path
        self._temporary = f"{self._path}.tmp"
        self._file: int | None = None
        self._is_over = False
        self._is_whole = False

    def write(self, chunk: bytes) -> None:
        """Write one chunk to the temporary file. Raises `UnavailableError` (retryable), and the job is over then."""
        with self._abandoned_on_failure():
            if self._file is None:
                self._files.remove(self._temporary)
                self._file = self._files.create(self._temporary)
            self._files.write(self._file, chunk)
            self._is_whole = ends_checkpoint(chunk)

    def finish(self) -> int:
        """Put the file in place and return its commit_ts when it is on disk. Raises as `write` does.

        If only the directory's fsync fails, the new file is in place but may not survive a power loss: then the one
        before it is back. Either is whole.
        """
        with self._abandoned_on_failure():
            if self._file is None or not self._is_whole:
                raise RuntimeError("a checkpoint is finished when its last chunk has been written")
            self._files.sync(self._file)
            self._close_file()
            self._files.rename(self._temporary, self._path)
            self._files.sync_directory(self._directory.path)
        self._is_over = True
        self._directory.end_checkpoint(self, checkpoint_ts=self.commit_ts)
        return self.commit_ts

    def abandon(self) -> None:
        """Throw the work away. A job that is over is left alone."""
        if self._is_over:
            return
        self._is_over = True
        try:
            with contextlib.suppress(OSError):  # what stays is removed by the next checkpoint
                self._close_file()
                self._files.remove(self._temporary)
        finally:
            self._directory.end_checkpoint(self)

    def run(self) -> int:
        """All of it, in this thread: returns the commit_ts when it is on disk. Raises as `write` does."""
        try:
            with contextlib.closing(self.chunks):
                for chunk in self.chunks:
                    self.write(chunk)
            return self.finish()
        finally:
            self.abandon()

    @contextlib.contextmanager
    def _abandoned_on_failure(self) -> Iterator[None]:
        if self._is_over:
            raise UnavailableError(f"the checkpoint at {self.commit_ts} is over", retryable=True)
        try:
            yield
        except OSError as error:
            self.abandon()
            raise UnavailableError(
                f"the checkpoint at {self.commit_ts} could not be written to {self._path!r}: {_reason(error)}; "
                f"nothing is lost while this process runs: see to the disk, then try again",
                retryable=True,
            ) from error

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._files.close(file)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _in_use(path: str, pid: int | None) -> DataDirectoryError:
    if pid == os.getpid():
        return DataDirectoryError(
            f"the data directory {path!r} is open in this process already; close it there, or choose another directory",
            pid=pid,
        )
    who = "another process" if pid is None else f"another process (pid {pid})"
    return DataDirectoryError(
        f"the data directory {path!r} is in use by {who}; stop that one, or choose another directory",
        pid=pid,
    )
