"""Repair and restore: a directory's content replaced by the best that can be had of it, or by a backup's.

Rules:
  - What was there is moved aside, byte for byte, never removed.
  - Commit timestamps go on above every one that the old files show any trace of: what a client was told about commit 61
    must never come to mean another commit.
  - A crash in between leaves what starts as before, or not at all, or as repaired: see `replacing.py`. What was begun
    is finished by the next repair or restore, before anything else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import count

from mvcc_kv.durability.backup import read_backup
from mvcc_kv.durability.checkpoint import Checkpoint
from mvcc_kv.durability.directory import DataDirectory
from mvcc_kv.durability.files import FileSystem, OsFileSystem
from mvcc_kv.durability.inspection import best_of, held, inspected, must_be_there
from mvcc_kv.durability.records import segment_ts
from mvcc_kv.durability.replacing import Replacement, finish, is_ours, put, replace
from mvcc_kv.errors import BadRequestError, DataDirectoryError

__all__ = ["TS_MAX", "Repair", "Restored", "read_content", "repair", "restore"]

TS_MAX = 2**63 - 1  # the log has room for 64 bits; a program that reads it may have one less


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did: it kept the commits up to `kept_ts`; those in `lost` are lost, if there are any.

    Not `is_end_known`: there may have been later ones, and how many can't be said.
    `commit_ts` is where commits go on. `is_finished`: an earlier run did it, and was cut short; this one finished it.
    """

    kept_ts: int
    keys: int
    lost: tuple[int, int] | None
    commit_ts: int
    moved_to: str
    is_finished: bool = False
    is_end_known: bool = True


@dataclass(frozen=True, slots=True)
class Restored:
    """What a directory was made to hold, and where its old content is.

    `finished_to`: where an earlier run, which was cut short, had begun to move what the directory held before that.
    """

    commit_ts: int
    keys: int
    moved_to: str | None
    finished_to: str | None = None


def repair(
    path: str | os.PathLike[str],
    moved_to: str | os.PathLike[str],
    files: FileSystem | None = None,
    *,
    at_least_ts: int = 0,
) -> Repair:
    """Move the directory's files to `moved_to`, a new or empty directory, and keep what whole commits there are.

    Commits go on above all that the files tell of, and not below `at_least_ts`: a log that was cut short doesn't tell.

    A repair or a restore that was cut short is finished instead, and its old files go where they went then. Raises
    `DataDirectoryError`, having changed nothing, for a directory that isn't damaged, or that nothing can be had of.
    """
    files = files or OsFileSystem()
    _check_ts(at_least_ts)
    path, moved_to = os.path.abspath(path), os.path.abspath(moved_to)
    must_be_there(path)
    directory = DataDirectory.open(path, files)
    try:
        begun = finish(path, files)
        if begun is not None:
            old = os.path.join(path, begun.moved_to)
            return Repair(begun.kept_ts, begun.keys, begun.lost, begun.commit_ts, old, True, begun.is_end_known)
        found = inspected(path, files)
        if found.damage is None:
            raise DataDirectoryError(f"{path!r} is not damaged: there is nothing to repair")
        if found.damage.is_final:
            raise DataDirectoryError(f"{found.damage.reason}. Nothing was changed")
        kept = best_of(path, files)
        if kept is None:
            raise DataDirectoryError(
                f"nothing can be had of {path!r}: its checkpoint is of no use, and its log doesn't reach back to the "
                f"first commit. Nothing was changed; put a backup back with `mvcc-kv restore`"
            )
        commit_ts = max(found.bound_ts + 1, kept.commit_ts + 1, at_least_ts)
        lost = (kept.commit_ts + 1, found.known_ts) if found.known_ts > kept.commit_ts else None
        plan = Replacement("repair", moved_to, commit_ts, kept.commit_ts, len(kept.items), lost, found.is_end_known)
        replace(path, Checkpoint(commit_ts, kept.items), plan, files)
        return Repair(kept.commit_ts, len(kept.items), lost, commit_ts, moved_to, is_end_known=found.is_end_known)
    finally:
        directory.close()


def restore(
    content: Checkpoint,
    path: str | os.PathLike[str],
    *,
    at_least_ts: int = 0,
    replaces: bool = False,
    files: FileSystem | None = None,
) -> Restored:
    """Make `content` what the directory holds: a new or empty one, or with `replaces` one whose content moves aside.

    Its commit_ts is the content's, or `at_least_ts` if that is more, or above everything that was replaced: commit
    timestamps never go back. Raises `DataDirectoryError`.
    """
    files = files or OsFileSystem()
    _check_ts(at_least_ts)
    path = os.path.abspath(path)
    directory = DataDirectory.open(path, files)
    try:
        names = files.list(path)
        if names and not replaces:
            raise DataDirectoryError(
                f"{path!r} is not empty; name a new directory, or move its content aside with --force"
            )
        begun = finish(path, files)
        names = files.list(path)
        found = inspected(path, files)
        if found.damage is not None and found.damage.is_final:
            raise DataDirectoryError(f"{found.damage.reason}. Nothing was changed")
        is_replaced = any(map(is_ours, names))
        commit_ts = max(content.commit_ts, at_least_ts, found.bound_ts + 1 if is_replaced else 0)
        kept = Checkpoint(commit_ts, content.items)
        moved_to = _free_name(names) if is_replaced else None
        if moved_to is None:
            put(path, kept, files)
        else:
            plan = Replacement("restore", moved_to, commit_ts, content.commit_ts, len(content.items))
            replace(path, kept, plan, files)
        return Restored(
            commit_ts,
            len(content.items),
            None if moved_to is None else os.path.join(path, moved_to),
            None if begun is None else os.path.join(path, begun.moved_to),
        )
    finally:
        directory.close()


def read_content(path: str | os.PathLike[str], files: FileSystem | None = None) -> Checkpoint:
    """What a backup holds, a checkpoint file or a directory with one; or a data directory, with the log that it has.

    Raises `DataDirectoryError`, also for a directory that a process has open, and `OSError`.
    """
    files = files or OsFileSystem()
    path = os.path.abspath(path)
    if not os.path.isdir(path) or not any(segment_ts(name) is not None for name in files.list(path)):
        return read_backup(path, files)
    with held(path, files):
        found = inspected(path, files)
        if found.damage is not None:
            raise DataDirectoryError(f"{found.damage.reason}. Nothing was changed; see `mvcc-kv verify {path}`")
        reached = best_of(path, files)
    assert reached is not None  # it has a checkpoint, or a log from the first commit on
    return reached


def _check_ts(at_least_ts: int) -> None:
    if not 0 <= at_least_ts <= TS_MAX:
        raise BadRequestError(f"a commit's timestamp is a number from 0 to {TS_MAX}, not {at_least_ts}")


def _free_name(names: list[str]) -> str:
    """A directory beside the files, for those that are replaced: a rename can't leave the file system."""
    return next(name for name in map("replaced-{}".format, count(1)) if name not in names)
