"""Who looks after an embedded store's directory.

Embedded users write `db = mvcc_kv.open("data")` and often nothing more: no `with`, no `close()`. So the keeper puts
the store away by itself when it is collected or when the interpreter exits in good order, whichever is first: then the
next start has only a checkpoint to load. A process that is killed has its commits in the log.

A transaction must keep its keeper alive, directly or through its database: after the store was put away, it could
commit nothing. And a fork of the process inherits the keeper but not the directory, so there it writes nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from mvcc_kv.api import Store, StoreTransaction, TransactionOptions
from mvcc_kv.collector import paused
from mvcc_kv.durability.directory import DataDirectory
from mvcc_kv.durability.files import FileSystem
from mvcc_kv.durability.flushing import Fsync, SettlingLog
from mvcc_kv.engine import CommitLog
from mvcc_kv.engine.history import CommitHistory
from mvcc_kv.errors import UnavailableError

__all__ = ["DirectoryKeeper", "KeptStore", "open_directory"]

CHECKPOINT_LOG_BYTES = 64 * 1024 * 1024


class KeptTransaction(StoreTransaction, Protocol):
    """A transaction of which a checkpoint can be made."""

    @property
    def may_expire(self) -> bool:
        """Whether there may be values in it that expire."""
        ...


class KeptStore(Store, Protocol):
    """A store whose content can be loaded from a checkpoint."""

    @property
    def visible_ts(self) -> int:
        """The newest commit that new snapshots see."""
        ...

    @property
    def outcomes(self) -> Iterable[tuple[str, int]]:
        """The tokens of commits that are remembered, with their commit_ts."""
        ...

    def begin(self, options: TransactionOptions, *, is_ours: bool = False) -> KeptTransaction:
        """Open a transaction; `is_ours`: it is never ended for what it keeps alive."""
        ...

    def restore(self, commit_ts: int, items: Mapping[bytes, bytes], tokens: Mapping[str, int] | None = None) -> None:
        """Fill an empty store with `items`, ascending by key, as of `commit_ts`."""
        ...

    def attach(self, log: CommitLog) -> None:
        """Hand every commit from now on to this log."""
        ...

    def publish(self, ts: int) -> None:
        """Let commits up to `ts` be seen."""
        ...


S = TypeVar("S", bound=KeptStore)


def open_directory(
    path: str | os.PathLike[str],
    make_store: Callable[[], S],
    *,
    fsync: Fsync = "always",
    checkpoint_log_bytes: int = CHECKPOINT_LOG_BYTES,
    history: CommitHistory | None = None,
    files: FileSystem | None = None,
) -> tuple[S, DirectoryKeeper]:
    """A new store with the directory's content, and its keeper. Raises `DataDirectoryError`, having changed no file.

    `history`, which is empty and which the store is made with, is filled with what the directory has of the past.
    """
    directory = DataDirectory.open(path, files)
    try:
        with paused():
            recovered = directory.recover(history=history)
            store = make_store()
            store.restore(recovered.commit_ts, recovered.items, recovered.recovery.tokens)
        log = SettlingLog(directory.begin_log(recovered), store.publish, fsync)
        store.attach(log)
    except BaseException:
        directory.close()
        raise
    keeper = DirectoryKeeper(directory, store, log)
    log.call_when_grown(checkpoint_log_bytes, keeper.checkpoint_soon)
    return store, keeper


class DirectoryKeeper:
    """The keeper of a store whose content is in `directory`. Safe to call from any thread."""

    def __init__(self, directory: DataDirectory, store: KeptStore, log: SettlingLog) -> None:
        self._custody = _Custody(directory, store, log)
        self._finalizer = weakref.finalize(self, self._custody.close_at_last)
        self.checkpoint_soon = self._custody.checkpoint_soon

    def checkpoint(self) -> int:
        """Write a checkpoint and return its commit_ts when it is on disk. Raises `UnavailableError`."""
        return self._custody.checkpoint()

    def close(self) -> None:
        """Write a checkpoint if there is anything new, and give the directory back. Calling it again does nothing.

        Raises `UnavailableError` if the checkpoint can't be written. The directory is still open then, and
        nothing is lost: see to the disk and call it again.
        """
        self._custody.close()
        self._finalizer.detach()


class _Custody:
    """What the keeper does, apart from the keeper, so that the finalizer doesn't keep that alive."""

    def __init__(self, directory: DataDirectory, store: KeptStore, log: SettlingLog) -> None:
        self._directory = directory
        self._store = store
        self._log = log
        self._turn = threading.Lock()
        self._is_coming = threading.Lock()  # held while a thread is on its way to write a checkpoint

    def checkpoint(self) -> int:
        with self._turn:
            return self._write()

    def checkpoint_soon(self) -> None:
        """Have a thread write a checkpoint, unless one is about to; one that fails is tried when the log grows on."""
        if self._is_coming.acquire(blocking=False):
            threading.Thread(target=self._checkpoint_aside, name="mvcc-kv-checkpoint", daemon=True).start()

    def _checkpoint_aside(self) -> None:
        try:
            with self._turn, contextlib.suppress(UnavailableError):
                if self._directory.is_owned:
                    self._write()
        finally:
            self._is_coming.release()

    def close(self) -> None:
        with self._turn:
            if self._directory.is_owned and self._store.visible_ts != (self._directory.checkpoint_ts or 0):
                self._write()
            if self._directory.is_owned:
                self._log.close()
            self._directory.close()

    def close_at_last(self) -> None:
        """As `close`, when there is nobody left to try again."""
        try:
            self.close()
        finally:
            self._directory.close()

    def _write(self) -> int:
        self._log.rotate(lambda: self._store.outcomes)
        snapshot = self._store.begin(TransactionOptions(read_only=True), is_ours=True)
        checkpoint_ts = self._directory.begin_checkpoint(snapshot).run()
        self._log.drop(checkpoint_ts)
        return checkpoint_ts
