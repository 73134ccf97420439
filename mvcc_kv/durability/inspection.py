"""Verify and repair: what a directory's files are worth, and the best that can be had of damaged ones.

    checkpoint.json  at 40      log-..21.wal  [21 ... 40]     log-..41.wal  [41 ... 57 ## 59 60 61]
    ok                          not needed                    damaged at 58

    verify    says so, file by file, and changes nothing
    repair    keeps a prefix of whole commits, 1 to 57 here, and says that 58 to 61 are lost

Whether a directory is damaged is for recovery to judge, and nobody else: so `verify` finds nothing wrong exactly when
a start would succeed. What it adds is a look into every file, also behind the first damage. In segments that are only
kept for retained history, a damage costs reads in the past and no data: it is told of, and refuses nothing.

Rules of repair, and of replacing a directory's content with a backup's:
  - What was there is moved aside, byte for byte, never removed.
  - Commit timestamps go on above every one that the old files show any trace of: what a client was told about commit 61
    must never come to mean another commit.
  - A crash in between leaves what starts as before, or not at all, or as repaired: see `replacing.py`. What was begun
    is finished by the next repair or restore, before anything else.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import replace as replaced
from itertools import count, zip_longest
from typing import Literal

from mvcc_kv.durability.backup import read_backup
from mvcc_kv.durability.checkpoint import CHECKPOINT_NAME, PUT_BACK, Checkpoint, decode_checkpoint
from mvcc_kv.durability.directory import DataDirectory
from mvcc_kv.durability.files import FileSystem, OsFileSystem
from mvcc_kv.durability.records import (
    HEADER_BYTES,
    RECORD_HEADER_BYTES,
    Commit,
    chained_records,
    decode_header,
    find_records,
    retains_history,
    segment_ts,
)
from mvcc_kv.durability.recovery import read_log
from mvcc_kv.durability.replacing import UNFINISHED_NAME, Replacement, finish, is_ours, put, replace, unfinished
from mvcc_kv.durability.retention import HistoryReader
from mvcc_kv.engine.history import CommitHistory
from mvcc_kv.errors import BadRequestError, DataDirectoryError

__all__ = [
    "TS_MAX",
    "CheckpointReport",
    "Damage",
    "Inspection",
    "Repair",
    "Restored",
    "SegmentReport",
    "inspect",
    "read_content",
    "repair",
    "restore",
]

TS_MAX = 2**63 - 1  # the log has room for 64 bits; a program that reads it may have one less
_CLAIMED_TS = re.compile(rb'"commit_ts": *([0-9]{1,18})')
State = Literal["ok", "torn", "not needed", "history", "damaged history", "detached", "damaged"]


@dataclass(frozen=True, slots=True)
class Damage:
    """Why a start is refused. `commits` is the range that can't be read, as far as that is known.

    `is_final`: the files are a newer version's, and not for this one to repair.
    """

    reason: str
    file: str | None = None
    offset: int | None = None
    commits: tuple[int, int] | None = None
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class CheckpointReport:
    """A checkpoint file. `error` says why it can't be used; then `commit_ts` is only what it claims."""

    file: str
    size_bytes: int
    commit_ts: int = 0
    keys: int = 0
    error: str | None = None
    is_newer: bool = False


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """A segment of the log: its whole commits from the start, and what lies behind them.

    "torn": what a crash left unfinished; nobody was told of it, and the next start cuts it off. "not needed": the
    checkpoint holds all of it, and it is never read again. "history": the checkpoint holds all of it, and it is kept
    for reads in the past; a damage there costs such reads, and no data. "detached": whole, but what it goes on from is
    missing.
    """

    file: str
    size_bytes: int
    state: State
    first_ts: int | None
    last_ts: int | None
    offset: int  # where the whole records end
    rest_bytes: int  # what lies behind, less the zeros at its end
    known_ts: int  # the newest commit that it tells of
    bound_ts: int  # and the newest that may have been in what can't be read


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a directory holds. `commit_ts` is how far a start, or a repair, would come.

    `is_log_missing`: see `Recovery`; then nobody can tell whether there were commits after the checkpoint.
    `repairable_ts`: of a damaged one, the commit that a repair keeps everything up to; None if it can keep nothing.
    `is_cut_short`: a repair or a restore was, and the next one finishes it.
    """

    path: str
    checkpoint: CheckpointReport | None
    segments: list[SegmentReport]
    commit_ts: int
    damage: Damage | None
    is_log_missing: bool = False
    repairable_ts: int | None = None
    is_cut_short: bool = False

    @property
    def known_ts(self) -> int:
        """The newest commit that the files tell of, readable or not."""
        damaged_to = 0 if self.damage is None or self.damage.commits is None else self.damage.commits[1]
        claimed_ts = 0 if self.checkpoint is None else self.checkpoint.commit_ts
        return max([self.commit_ts, claimed_ts, damaged_to, *(segment.known_ts for segment in self.segments)])

    @property
    def bound_ts(self) -> int:
        """No commit whose traces are in the files, readable or not, can have had a later timestamp."""
        return max([self.known_ts, *(segment.bound_ts for segment in self.segments)])

    @property
    def is_end_known(self) -> bool:
        """Whether `known_ts` is where the log ended, as far as the files tell: not if its end is what can't be read."""
        last = self.segments[-1] if self.segments else None
        if last is None or self.bound_ts > self.known_ts:
            return False
        return last.state != "damaged" or last.known_ts > (last.last_ts or (segment_ts(last.file) or 1) - 1)


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


def inspect(path: str | os.PathLike[str], files: FileSystem | None = None) -> Inspection:
    """Look into every file of the directory. Changes nothing.

    Nobody may be writing to it: raises `DataDirectoryError` if a process holds it. One that can't be written to, as
    a copy may be, is taken to be at rest. Takes the memory of a recovery.
    """
    files = files or OsFileSystem()
    path = os.path.abspath(path)
    _must_be_there(path)
    with _held(path, files):
        return _inspected(path, files)


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
    _must_be_there(path)
    directory = DataDirectory.open(path, files)
    try:
        begun = finish(path, files)
        if begun is not None:
            old = os.path.join(path, begun.moved_to)
            return Repair(begun.kept_ts, begun.keys, begun.lost, begun.commit_ts, old, True, begun.is_end_known)
        found = _inspected(path, files)
        if found.damage is None:
            raise DataDirectoryError(f"{path!r} is not damaged: there is nothing to repair")
        if found.damage.is_final:
            raise DataDirectoryError(f"{found.damage.reason}. Nothing was changed")
        kept = _best(path, files)
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
        found = _inspected(path, files)
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
    with _held(path, files):
        found = _inspected(path, files)
        if found.damage is not None:
            raise DataDirectoryError(f"{found.damage.reason}. Nothing was changed; see `mvcc-kv verify {path}`")
        reached = _best(path, files)
    assert reached is not None  # it has a checkpoint, or a log from the first commit on
    return Checkpoint(reached.commit_ts, reached.items)


def _check_ts(at_least_ts: int) -> None:
    if not 0 <= at_least_ts <= TS_MAX:
        raise BadRequestError(f"a commit's timestamp is a number from 0 to {TS_MAX}, not {at_least_ts}")


def _free_name(names: list[str]) -> str:
    """A directory beside the files, for those that are replaced: a rename can't leave the file system."""
    return next(name for name in map("replaced-{}".format, count(1)) if name not in names)


def _inspected(path: str, files: FileSystem) -> Inspection:
    checkpoint, report = _checkpoint(path, CHECKPOINT_NAME, files)
    reached = _Reached(checkpoint or Checkpoint(0, []))
    history = HistoryReader(CommitHistory(retain_bytes=0), reached.commit_ts, {})
    damage = None
    torn: str | None = None
    is_log_missing = False
    if report is not None and report.error is not None:
        damage = Damage(report.error.removesuffix(f"; {PUT_BACK}"), report.file, is_final=report.is_newer)
    try:
        recovery = read_log(path, reached.commit_ts, reached.replay, files=files, history=history)
        torn = None if recovery.torn is None else os.path.basename(recovery.torn.file)
        is_log_missing = recovery.is_log_missing
    except DataDirectoryError as error:
        damage = damage or _damage(error)
    begun = unfinished(path, files)
    if begun is not None:
        damage = Damage(begun.told(path))
    checkpoint_ts = 0 if checkpoint is None else checkpoint.commit_ts
    breaks = {os.path.basename(fault.file) for fault in history.faults}
    segments = _segments(path, checkpoint_ts, torn, damage, breaks, files)
    best = None if damage is None or damage.is_final else _best(path, files)
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


class _Reached:
    """The state that a replay has come to: it stays when the replay ends in damage."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.commit_ts = checkpoint.commit_ts
        self._items = dict(checkpoint.items)

    @property
    def items(self) -> list[tuple[bytes, bytes]]:
        return sorted(self._items.items())

    def replay(self, commit_ts: int, commit: Commit) -> None:
        for key, value in commit.writes:
            if value is None:
                self._items.pop(key, None)
            else:
                self._items[key] = value
        self.commit_ts = commit_ts


def _best(path: str, files: FileSystem) -> _Reached | None:
    """The newest state that can be reached: from a checkpoint, an unfinished one that is whole too, or from nothing."""
    best: _Reached | None = None
    starts = [_checkpoint(path, name, files)[0] for name in (CHECKPOINT_NAME, UNFINISHED_NAME)]
    if starts == [None, None] and any(segment_ts(name) == 1 for name in files.list(path)):
        starts.append(Checkpoint(0, []))
    for start in starts:
        if start is None:
            continue
        reached = _Reached(start)
        with suppress(DataDirectoryError):
            read_log(path, start.commit_ts, reached.replay, files=files)
        if best is None or reached.commit_ts > best.commit_ts:
            best = reached
    return best


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


def _segments(
    path: str, checkpoint_ts: int, torn: str | None, damage: Damage | None, breaks: set[str], files: FileSystem
) -> list[SegmentReport]:
    """What each one is worth; `breaks`: those before the checkpoint that the next one doesn't continue."""
    reports: list[SegmentReport] = []
    names = [name for name in files.list(path) if segment_ts(name) is not None]
    retaining = {name: _retains(path, name, files) for name in names}
    for name, following in zip_longest(names, names[1:]):
        following_ts = None if following is None else (segment_ts(following) or 1) - 1
        if following_ts is None or following_ts > checkpoint_ts:
            reports.append(_segment(path, name, torn == name, damage, files))
        elif retaining[name] or (retaining[name] is None and any(retaining.values())):
            state: State = "damaged history" if name in breaks else "history"
            reports.append(_superfluous(path, name, state, following_ts, files))
        else:
            reports.append(_superfluous(path, name, "not needed", following_ts, files))
    return reports


def _retains(path: str, name: str, files: FileSystem) -> bool | None:
    """Whether the segment tells what its commits superseded; None if its header can't be read."""
    with suppress(OSError, ValueError):
        data = files.read(os.path.join(path, name))
        return None if decode_header(data) is None else retains_history(data)
    return None


def _superfluous(path: str, name: str, state: State, following_ts: int, files: FileSystem) -> SegmentReport:
    """The report of a segment that the checkpoint holds all of; the next one's base bounds the commits in it."""
    report = _segment(path, name, False, None, files)
    return replaced(report, state=state, bound_ts=max(report.known_ts, min(report.bound_ts, following_ts)))


def _segment(path: str, name: str, is_torn: bool, damage: Damage | None, files: FileSystem) -> SegmentReport:
    base_ts = (segment_ts(name) or 1) - 1
    try:
        data = files.read(os.path.join(path, name))
    except OSError:
        return SegmentReport(name, 0, "damaged", None, None, 0, 0, base_ts, base_ts)
    end_ts, offset = base_ts, 0
    with suppress(ValueError):  # of a newer version: nothing of it is known
        header = decode_header(data)
        if header is not None and header.base_ts == base_ts:
            offset = HEADER_BYTES
            for record in chained_records(data, header):
                end_ts, offset = record.commit_ts, record.end
    rest = data[offset:].rstrip(b"\0")
    is_refused = damage is not None and damage.file == name
    is_damaged = damage is not None and not is_torn and (is_refused or bool(rest) or not offset)
    state: State = "damaged" if is_damaged else "torn" if is_torn else "ok"
    if state == "damaged" and is_refused and damage is not None and damage.offset == 0 and offset and not rest:
        state = "detached"
    first_ts, last_ts = (base_ts + 1, end_ts) if end_ts > base_ts else (None, None)
    return SegmentReport(name, len(data), state, first_ts, last_ts, offset, len(rest), *_traces(rest, end_ts))


def _traces(rest: bytes, end_ts: int) -> tuple[int, int]:
    """The newest commit that these bytes, which follow the one at `end_ts`, tell of, and the newest they may have had.

    Of whole records the timestamp is known. Where nothing can be read, no more commits can have been than there is
    room for their records' headers.
    """
    known_ts, bound_ts, at = end_ts, end_ts, 0
    for record in find_records(rest, 0):
        known_ts = max(known_ts, record.commit_ts, record.durable_ts)
        bound_ts = max(bound_ts + _records_max(record.offset - at), known_ts)
        at = record.end
    return known_ts, bound_ts + _records_max(len(rest) - at)


def _records_max(size_bytes: int) -> int:
    return -(-size_bytes // RECORD_HEADER_BYTES)


@contextmanager
def _held(path: str, files: FileSystem) -> Iterator[None]:
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


def _must_be_there(path: str) -> None:
    if not os.path.isdir(path):
        raise DataDirectoryError(f"there is no directory {path!r}")
