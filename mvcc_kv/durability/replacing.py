"""A directory's content replaced by another one, in steps that a crash may come between.

    checkpoint.json.new    the new content, whole: if there is no room for it, nothing has been touched yet
    replacing.json         what is being done, and where the old files go: from here on no start is taken
    moved_to/              the log's segments, then the checkpoint, one rename each
    checkpoint.json        the new content gets its name
    replacing.json         is removed: done

Until `replacing.json` is there nothing has happened; once it is, all that is left to do can be read off the directory,
so whoever comes next, a repair or a restore, finishes it. In between a start would find a part of the old files and
take it for the whole, or take an empty directory for a new one, so it is refused.
"""

from __future__ import annotations

import errno
import os

import msgspec

from mvcc_kv.durability.backup import listed, write_file
from mvcc_kv.durability.checkpoint import CHECKPOINT_NAME, Checkpoint
from mvcc_kv.durability.files import FileSystem
from mvcc_kv.durability.records import segment_ts
from mvcc_kv.errors import DataDirectoryError

__all__ = ["UNFINISHED_NAME", "Replacement", "finish", "is_ours", "put", "replace", "unfinished"]

UNFINISHED_NAME = f"{CHECKPOINT_NAME}.tmp"
_LOG_TEMPORARY_NAME = "log.wal.tmp"
_NEW_NAME = f"{CHECKPOINT_NAME}.new"
_PLAN_NAME = "replacing.json"


class Replacement(msgspec.Struct, frozen=True):
    """What is being done to a directory: all that its report needs, also when a later run finishes it.

    `moved_to` is relative to the directory, or absolute. `kept_ts` is the state that the new content is of, and
    `commit_ts` the timestamp that it is given.
    """

    action: str
    moved_to: str
    commit_ts: int
    kept_ts: int
    keys: int
    lost: tuple[int, int] | None = None
    is_end_known: bool = True

    def told(self, path: str) -> str:
        """Why the directory can't be used as it is, and what to do."""
        return (
            f"a {self.action} of {path!r} was cut short, with the old files in {os.path.join(path, self.moved_to)!r} "
            f"or on their way there; `mvcc-kv repair {path} --to {path}-old` finishes it"
        )


def is_ours(name: str) -> bool:
    """Is this a file that a data directory's content consists of?"""
    return name in (CHECKPOINT_NAME, UNFINISHED_NAME, _LOG_TEMPORARY_NAME) or segment_ts(name) is not None


def unfinished(path: str, files: FileSystem) -> Replacement | None:
    """The replacement that was begun in the directory and isn't finished. Raises `DataDirectoryError`."""
    plan = os.path.join(path, _PLAN_NAME)
    try:
        return msgspec.json.decode(files.read(plan), type=Replacement)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataDirectoryError(f"{plan!r} can't be read: {error.strerror or error}; check the disk") from error
    except msgspec.DecodeError as error:
        raise DataDirectoryError(
            f"{plan!r} is damaged ({error}): a repair or a restore was cut short, and what it had moved aside can't be "
            f"read off. Look for it, then restore a backup into a new directory"
        ) from error


def put(path: str, content: Checkpoint, files: FileSystem) -> None:
    """Make `content` what the directory, which holds nothing, holds. Raises `DataDirectoryError`."""
    try:
        write_file(os.path.join(path, CHECKPOINT_NAME), listed(content), files, replaces=False)
    except OSError as error:
        raise DataDirectoryError(f"{path!r} can't be written to: {error.strerror or error}") from error


def replace(path: str, content: Checkpoint, plan: Replacement, files: FileSystem) -> None:
    """Put `content` in place of what the locked directory holds, which goes to `plan.moved_to`, new or empty.

    The content's commit_ts must be above `Inspection.bound_ts`. Raises `DataDirectoryError`.
    """
    moved_to = os.path.join(path, plan.moved_to)
    try:
        files.make_directory(moved_to)
        if files.list(moved_to):
            raise DataDirectoryError(f"{moved_to!r} is not empty; name a new directory")
        write_file(os.path.join(path, _NEW_NAME), listed(content), files, replaces=True)
        _write_plan(path, plan, files)
    except OSError as error:
        raise DataDirectoryError(f"{path!r} could not be replaced: {error.strerror or error}") from error
    finish(path, files)


def finish(path: str, files: FileSystem) -> Replacement | None:
    """Take the steps that are left of the replacement that was begun in the locked directory; None: there is none.

    Raises `DataDirectoryError`.
    """
    plan = unfinished(path, files)
    if plan is None:
        return None
    moved_to = os.path.join(path, plan.moved_to)
    try:
        names = files.list(path)
        if _NEW_NAME in names:
            _move_aside(path, [name for name in names if is_ours(name)], moved_to, files)
            files.rename(os.path.join(path, _NEW_NAME), os.path.join(path, CHECKPOINT_NAME))
            files.sync_directory(path)
        files.remove(os.path.join(path, _PLAN_NAME))
        files.sync_directory(path)
    except OSError as error:
        raise DataDirectoryError(f"{plan.told(path)}: {error.strerror or error}") from error
    return plan


def _write_plan(path: str, plan: Replacement, files: FileSystem) -> None:
    temporary = os.path.join(path, f"{_PLAN_NAME}.tmp")
    files.remove(temporary)
    file = files.create(temporary)
    try:
        files.write(file, msgspec.json.encode(plan))
        files.sync(file)
    finally:
        files.close(file)
    files.rename(temporary, os.path.join(path, _PLAN_NAME))
    files.sync_directory(path)


def _move_aside(path: str, names: list[str], moved_to: str, files: FileSystem) -> None:
    files.make_directory(moved_to)
    for name in sorted(names, key=lambda name: name == CHECKPOINT_NAME):
        _move(os.path.join(path, name), os.path.join(moved_to, name), files)
    files.sync_directory(moved_to)
    files.sync_directory(path)


def _move(source: str, target: str, files: FileSystem) -> None:
    try:
        files.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        files.remove(target)  # half a copy, of a run that was cut short
        _copy(source, target, files)
        files.sync_directory(os.path.dirname(target))
        files.remove(source)


def _copy(source: str, target: str, files: FileSystem) -> None:
    data = files.read(source)
    file = files.create(target)
    try:
        files.write(file, data)
        files.sync(file)
    finally:
        files.close(file)
