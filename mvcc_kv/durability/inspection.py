"""Verify: what a directory's files are worth.

    checkpoint.json  at 40      log-..21.wal  [21 ... 40]     log-..41.wal  [41 ... 57 ## 59 60 61]
    ok                          not needed                    damaged at 58

    verify    says so, file by file, and changes nothing
    repair    keeps a prefix of whole commits, 1 to 57 here, and says that 58 to 61 are lost: see repairing.py

Whether a directory is damaged is for recovery to judge, and nobody else: so `verify` finds nothing wrong exactly when
a start would succeed. What it adds is a look into every file, also behind the first damage. In segments that are only
kept for retained history, a damage costs reads in the past and no data: it is told of, and refuses nothing.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mvcc_kv.durability.checkpoint import CHECKPOINT_NAME, PUT_BACK, Checkpoint, decode_checkpoint
from mvcc_kv.durability.directory import DataDirectory
from mvcc_kv.durability.files import FileSystem, OsFileSystem
from mvcc_kv.durability.findings import CheckpointReport, Damage, Inspection
from mvcc_kv.durability.records import segment_ts
from mvcc_kv.durability.recovery import read_log
from mvcc_kv.durability.replacing import UNFINISHED_NAME, unfinished
from mvcc_kv.durability.replay import Replay
from mvcc_kv.durability.retention import HistoryReader
from mvcc_kv.durability.segments import segment_reports
from mvcc_kv.engine.history import CommitHistory
from mvcc_kv.errors import DataDirectoryError

__all__ = ["best_of", "held", "inspect", "inspected", "must_be_there"]

_CLAIMED_TS = re.compile(rb'"commit_ts": *([0-9]{1,18})')


def inspect(path: str | os.PathLike[str], files: FileSystem | None = None) -> Inspection:
    """Look into every file of the directory. Changes nothing.

    Nobody may be writing to it: raises `DataDirectoryError` if a process holds it. One that can't be written to, as
    a copy may be, is taken to be at rest. Takes the memory of a recovery.
    """
    files = files or OsFileSystem()
    path = os.path.abspath(path)
    must_be_there(path)
    with held(path, files):
        return inspected(path, files)


def inspected(path: str, files: FileSystem) -> Inspection:
    """What the files of a directory are worth, that the caller holds."""
    checkpoint, report = _checkpoint(path, CHECKPOINT_NAME, files)
    reached = Replay(checkpoint or Checkpoint(0, {}))
    history = HistoryReader(CommitHistory(retain_bytes=0), reached.commit_ts, {})
    damage = None
    torn: str | None = None
    is_log_missing = False
    if report is not None and report.error is not None:
        damage = Damage(report.error.removesuffix(f"; {PUT_BACK}"), report.file, is_final=report.is_newer)
    try:
        recovery = read_log(path, reached.commit_ts, reached.take, files=files, history=history)
        torn = None if recovery.torn is None else os.path.basename(recovery.torn.file)
        is_log_missing = recovery.is_log_missing
    except DataDirectoryError as error:
        damage = damage or _damage(error)
    begun = unfinished(path, files)
    if begun is not None:
        damage = Damage(begun.told(path))
    checkpoint_ts = 0 if checkpoint is None else checkpoint.commit_ts
    breaks = {os.path.basename(fault.file) for fault in history.faults}
    segments = segment_reports(path, checkpoint_ts, torn, damage, breaks, files)
    best = None if damage is None or damage.is_final else best_of(path, files)
    repairable_ts = None if best is None else best.commit_ts
    return Inspection(
        path, report, segments, reached.commit_ts, damage, is_log_missing, repairable_ts, begun is not None
    )


def _damage(error: DataDirectoryError) -> Damage:
    commits = error.evidence.get("commits")
    file = error.evidence.get("file")
    return Damage(
        error.message.partition("; nothing was changed")[0],
        None if file is None else os.path.basename(file),
        error.evidence.get("offset"),
        None if commits is None else (commits[0], commits[1]),
        bool(error.evidence.get("newer")),
    )


def best_of(path: str, files: FileSystem) -> Checkpoint | None:
    """The newest state that can be reached: from a checkpoint, an unfinished one that is whole too, or from nothing."""
    best: Replay | None = None
    starts = [_checkpoint(path, name, files)[0] for name in (CHECKPOINT_NAME, UNFINISHED_NAME)]
    if starts == [None, None] and any(segment_ts(name) == 1 for name in files.list(path)):
        starts.append(Checkpoint(0, {}))
    for start in starts:
        if start is None:
            continue
        reached = Replay(start)
        with suppress(DataDirectoryError):
            read_log(path, start.commit_ts, reached.take, files=files, puts=reached)
        if best is None or reached.commit_ts > best.commit_ts:
            best = reached
    return None if best is None else best.checkpoint


def _checkpoint(path: str, name: str, files: FileSystem) -> tuple[Checkpoint | None, CheckpointReport | None]:
    try:
        text = files.read(os.path.join(path, name))
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, CheckpointReport(name, 0, error=f"{name} can't be read: {error.strerror or error}")
    try:
        checkpoint = decode_checkpoint(text, name)
    except DataDirectoryError as error:
        claimed = _CLAIMED_TS.search(text, 0, 4096)
        claimed_ts = 0 if claimed is None else int(claimed[1])
        return None, CheckpointReport(name, len(text), claimed_ts, 0, error.message, "newer" in error.evidence)
    return checkpoint, CheckpointReport(name, len(text), checkpoint.commit_ts, len(checkpoint.items))


@contextmanager
def held(path: str, files: FileSystem) -> Iterator[None]:
    """Hold the directory, without changing it."""
    try:
        lock = files.lock_directory(path)
    except BlockingIOError:
        DataDirectory.open(path, files).close()  # raises, and says who holds it
        lock = None
    except OSError as error:
        if error.errno not in (None, errno.EACCES, errno.EPERM, errno.EROFS):
            raise DataDirectoryError(f"{path!r} can't be read: {error.strerror or error}") from error
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            files.close(lock)


def must_be_there(path: str) -> None:
    """Raise `DataDirectoryError` if there is no such directory."""
    if not os.path.isdir(path):
        raise DataDirectoryError(f"there is no directory {path!r}")
