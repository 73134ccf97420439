"""The write-ahead log: commits become records, batches of records become durable, segments come and go.

    engine's commit section      append()   into memory, in order
                                    |
    one flush at a time          batch()    frames all that has gathered             (CPU)
                                 write()    one write into the segment               (disk)
                                 sync()     fdatasync                                (disk)
                                 settled()  durable_ts moves on                      (CPU)

    at the start, and when
    a checkpoint begins          rotate()   a new segment, which keeps the tokens    (disk)
    when it is on disk           drop()     the segments that nobody needs any more  (disk)

Whoever owns the log drives it, one step at a time, each step of the disk in whatever thread: see `server/commits.py`
for the loop and `durability/keeper.py` for embedded use. `append` alone may be called at any time.

Rules:
  - A segment has its name when it is whole and on disk: it is made beside its place and renamed. So a start may put
    a segment that holds no commit yet in place of another one, and no crash comes between.
  - What an earlier process wrote last can be read, but need not be on disk: it may have ended before its sync, or
    because its sync failed. A start writes that segment anew before it goes on in the next one.
  - A segment's space is set aside in advance: forcing data to disk is cheaper then, and the rest reads as zeros. Where
    there isn't so much room it is set aside in smaller steps, so a disk takes commits until it is really full.
  - A segment's header says what records there are in it. One that gets its first value that expires is given another
    version, in place, before the record is written, and either can be read if that is cut short.
    So an older program refuses what it can't read, and reads on where no key ever expired.
  - A segment is needed by what a start replays, the commits after the checkpoint, and by history, where it is retained.
    Both begin in one, so it goes when both have moved on to a later one.
  - A failure is final. The operating system may have thrown away what it could not write, so no later sync of the file
    proves anything (see Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020): the
    log takes no more commits; what is on disk is found out by the next start.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from mvcc_kv.durability.files import FileSystem
from mvcc_kv.durability.framing import Framed, frame
from mvcc_kv.durability.records import (
    FORMAT_VERSION,
    HEADER_BYTES,
    RETAINING_VERSION,
    SegmentHeader,
    encode_commit,
    encode_header,
    encode_record,
    encode_tokens,
    segment_name,
    single_write_head,
    tells_expiry,
)
from mvcc_kv.engine.history import CommitHistory, Superseded
from mvcc_kv.errors import UnavailableError

__all__ = ["Batch", "Log", "LogEnd", "Segment"]

ALLOCATE_BYTES = 16 * 1024 * 1024
_SMALL_ALLOCATE_BYTES = 1024 * 1024
_ZEROED_BYTES = 256 * 1024
_SMALL_BATCH_BYTES = _ZEROED_BYTES // 16
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TEMPORARY_NAME = "log.wal.tmp"


class Segment(NamedTuple):
    """A segment on disk: the commit before it, and how many of its bytes are in use.

    `is_sealed`: nobody has to write it anew, since it was on disk when it was followed by another, or is superfluous.
    """

    base_ts: int
    used_bytes: int
    is_sealed: bool = False


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where a log ends, and so where it goes on: its last commit, that record's crc, and the segments there are."""

    ts: int = 0
    crc: int = 0
    segments: tuple[Segment, ...] = ()


class Batch(NamedTuple):
    """Records that are written together. `tells_expiry`: values in them expire."""

    data: bytes
    last_ts: int
    last_crc: int
    tells_expiry: bool = False


class _Lane(NamedTuple):
    """Commits that each write one key. `head`: what their bodies begin with."""

    head: bytes
    writes: Sequence[Framed]


class Log:
    """The log of one data directory. Satisfies the engine's `CommitLog`."""

    def __init__(self, path: str, end: LogEnd, *, files: FileSystem, history: CommitHistory | None = None) -> None:
        """`history`: what is retained, and so is to be found by the next start; None: nothing is."""
        self.durable_ts = end.ts
        self._path = path
        self._files = files
        self._history = history
        self._failure: str | None = None
        self._pending: deque[bytes | _Lane] = deque()  # from `_end_ts` on: a body, or several commits
        self._appended_ts = end.ts
        self._end_ts, self._end_crc = end.ts, end.crc  # of what has been framed
        self._old = list(end.segments)
        self._file: int | None = None
        self._header = SegmentHeader(end.ts, end.crc)
        self._tells_expiry = False
        self._base_ts = end.ts
        self._used_bytes = 0
        self._allocated_bytes = 0
        self._zeroed_bytes = 0
        self._was_synced = False  # since zeros were written

    @property
    def failure(self) -> UnavailableError | None:
        """Why no commit is taken any more: an error of your own to raise; None as long as they are."""
        return None if self._failure is None else UnavailableError(self._failure, retryable=False)

    @property
    def has_pending(self) -> bool:
        """Whether there are commits that no batch has yet."""
        return bool(self._pending)

    @property
    def used_bytes(self) -> int:
        """What the log's records take on disk."""
        return self._used_bytes + sum(segment.used_bytes for segment in self._old)

    @property
    def segment_bytes(self) -> int:
        """What the current segment takes."""
        return self._used_bytes

    def append(
        self,
        commit_ts: int,
        writes: Mapping[bytes, bytes | None],
        label: str | None,
        token: str | None,
        time_us: int,
        superseded: Mapping[bytes, Superseded] | None,
    ) -> bool:
        """Take a commit in; it may be seen when a batch that holds it is durable.

        Raises `UnavailableError`, `BadRequestError` or `LimitExceededError`: the commit is not taken.
        """
        if self._failure is not None:
            raise UnavailableError(self._failure, retryable=False)
        body = encode_commit(writes, label, token, time_us, None if self._history is None else superseded)
        if commit_ts != self._appended_ts + 1:  # whoever was cut short between here and there, by Ctrl-C for one
            self.refuse(RuntimeError(f"commit {commit_ts} came after commit {self._appended_ts}"))
            raise UnavailableError(str(self._failure), retryable=False)
        self._appended_ts = commit_ts
        self._pending.append(body)
        return False

    def append_lane(
        self,
        first_ts: int,
        writes: list[Framed | list[tuple[bytes, bytes]] | dict[bytes, bytes]],
        time_us: int,
        label: str | None = None,
    ) -> None:
        """Take commits in from `first_ts` on: a key and its value, a list of such, or a dict of them with the label.

        As `append`, but that nothing may be amiss. The list is the log's from now on.
        """
        assert first_ts == self._appended_ts + 1 and self._history is None and self._failure is None
        if writes:
            if set(map(type, writes)) != {tuple}:  # nearly always all put a key each
                for at, commit in enumerate(writes):
                    if type(commit) is dict:
                        writes[at] = encode_commit(commit, label, None, time_us)
                    elif type(commit) is list:
                        writes[at] = encode_commit(dict(commit), None, None, time_us)
            self._pending.append(_Lane(single_write_head(time_us), cast("list[Framed]", writes)))
            self._appended_ts += len(writes)

    def settle(self, commit_ts: int, *, waits: bool = True) -> None:
        """Waits for nothing: who drives the log tells the committer when its record is durable."""

    def refuse(self, error: BaseException) -> None:
        """A step has failed, or, by an `UnavailableError` that says so, another reason: take no more commits, ever."""
        if self._failure is None and isinstance(error, UnavailableError):
            self._failure = error.message
        elif self._failure is None:
            self._failure = (
                f"the log can't be written ({error}), so nothing is committed any more; reads go on. "
                f"See to the disk, then start anew"
            )
        self._pending.clear()

    def batch(self) -> Batch | None:
        """Frame every pending commit; None if there is none. The batch has to be written before the next is taken."""
        parts: list[bytes] = []
        bodies: list[Framed] = []
        has_expiries = False
        pending = self._pending  # others append to it meanwhile
        while pending:
            commit = pending.popleft()
            if isinstance(commit, _Lane):
                self._frame(bodies, b"", parts)
                bodies = []
                self._frame(commit.writes, commit.head, parts)
            else:
                bodies.append(commit)
                has_expiries = has_expiries or tells_expiry(commit)
        self._frame(bodies, b"", parts)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        return Batch(data, self._end_ts, self._end_crc, has_expiries) if parts else None

    def _frame(self, commits: Sequence[Framed], head: bytes, parts: list[bytes]) -> None:
        if commits:
            data, self._end_crc = frame(commits, head, self._end_ts + 1, self.durable_ts, self._end_crc)
            self._end_ts += len(commits)
            parts.append(data)

    def write(self, batch: Batch) -> None:
        """Write the batch into the segment. Raises `OSError`."""
        assert self._file is not None, "a log is begun by `rotate`"
        end = self._used_bytes + len(batch.data)
        if end > self._allocated_bytes:
            self._allocated_bytes = self._allocate(self._file, end, ALLOCATE_BYTES)
        if batch.tells_expiry and not self._tells_expiry:
            self._files.write_at(self._file, self._encode_header(self._header, expiring=True), 0)
            self._tells_expiry = True
        self._files.write_at(self._file, batch.data, self._used_bytes)
        self._used_bytes = end
        if end > self._zeroed_bytes and self._was_synced and len(batch.data) <= _SMALL_BATCH_BYTES:
            self._write_zeros(self._file)

    def _write_zeros(self, file: int) -> None:
        """Write zeros where the next records will be: to sync what is written over them takes a quarter less time.

        Of space that is only set aside, the file system has to note in each sync that it is in use now.
        """
        self._was_synced = False
        count = min(_ZEROED_BYTES, self._allocated_bytes - self._used_bytes)
        self._zeroed_bytes = self._used_bytes + count
        with contextlib.suppress(OSError):  # it's only time
            self._files.write_at(file, bytes(count), self._used_bytes)

    def sync(self) -> None:
        """Return when everything written is on disk. Raises `OSError`."""
        assert self._file is not None, "a log is begun by `rotate`"
        self._files.sync_data(self._file)
        self._was_synced = True

    def settled(self, ts: int) -> None:
        """Everything up to `ts` is on disk: records framed from now on bear witness to it."""
        self.durable_ts = max(self.durable_ts, ts)

    def rotate(self, tokens: Iterable[tuple[str, int]] = ()) -> None:
        """Go on in a new segment, which begins with `tokens`; does nothing if the current one holds no commit.

        Everything framed has to be written; it is durable when this returns. Raises `UnavailableError` (retryable)
        if there is no room for one: then the log goes on where it is. Any `OSError` is final, as elsewhere.
        """
        if self._file is None:
            self._seal()
        elif self._base_ts == self._end_ts:
            return
        else:
            self.sync()
        header = SegmentHeader(self._end_ts, self._end_crc)
        body = encode_tokens((token, ts) for token, ts in tokens if ts <= self._end_ts)
        kept, crc = encode_record(body, self._end_ts, self._end_ts, self._end_crc)
        data = self._encode_header(header, expiring=False) + kept
        file, allocated_bytes = self._put_in_place(self._end_ts, data, ALLOCATE_BYTES)
        self._retire()
        self._header, self._tells_expiry = header, False
        self._file, self._base_ts, self._end_crc = file, self._end_ts, crc
        self._used_bytes, self._allocated_bytes, self._zeroed_bytes = HEADER_BYTES + len(kept), allocated_bytes, 0

    def _encode_header(self, header: SegmentHeader, *, expiring: bool) -> bytes:
        version = FORMAT_VERSION if self._history is None else RETAINING_VERSION
        return encode_header(header, version, expiring=expiring)

    def _seal(self) -> None:
        """Write the last segment of an earlier process anew, without what was cut off."""
        self._old = [segment for segment in self._old if segment.base_ts != self._end_ts]
        if self._old and not self._old[-1].is_sealed:
            base_ts, used_bytes, _ = self._old[-1]
            data = self._files.read(self._segment_path(base_ts))[:used_bytes]
            self._files.close(self._put_in_place(base_ts, data, 1)[0])

    def _put_in_place(self, base_ts: int, data: bytes, step_bytes: int) -> tuple[int, int]:
        """Make a whole segment; it and its size, open for more, when it is on disk under its name."""
        temporary = os.path.join(self._path, _TEMPORARY_NAME)
        file: int | None = None
        try:
            self._files.remove(temporary)
            file = self._files.create(temporary)
            allocated_bytes = self._allocate(file, len(data), step_bytes)
            self._files.write_at(file, data, 0)
            self._files.sync(file)
        except OSError as error:
            self._throw_away(file, temporary)
            raise UnavailableError(
                f"no new segment of the log can be made in {self._path!r}: {error.strerror or error}; "
                + (_room(len(data)) if error.errno in _FULL else "see to the disk"),
                retryable=True,
            ) from error
        try:
            self._files.rename(temporary, self._segment_path(base_ts))
            self._files.sync_directory(self._path)
        except BaseException:
            self._throw_away(file, temporary)
            raise
        return file, allocated_bytes

    def _throw_away(self, file: int | None, path: str) -> None:
        with contextlib.suppress(OSError):
            if file is not None:
                self._files.close(file)
        with contextlib.suppress(OSError):
            self._files.remove(path)

    def _segment_path(self, base_ts: int) -> str:
        return os.path.join(self._path, segment_name(base_ts))

    def _retire(self) -> None:
        """Close the current segment, which is on disk, and give back the space that it didn't need."""
        if self._file is None:
            return
        file, self._file = self._file, None
        self._old.append(Segment(self._base_ts, self._used_bytes))
        with contextlib.suppress(OSError):  # it's only space
            self._files.close(file)
            self._files.truncate(self._segment_path(self._base_ts), self._used_bytes)

    def _allocate(self, file: int, needed_bytes: int, step_bytes: int) -> int:
        """Set aside whole steps that `needed_bytes` fit in, or smaller ones if that is too much; the file's size."""
        for step in (step_bytes, min(step_bytes, _SMALL_ALLOCATE_BYTES), 1):
            size = -(-needed_bytes // step) * step
            try:
                self._files.allocate(file, size)
            except OSError as error:
                if error.errno not in _FULL or size == needed_bytes:
                    raise
            else:
                return size
        raise AssertionError("the last step is just what is needed")

    def drop(self, checkpoint_ts: int) -> None:
        """Remove the segments that a checkpoint at `checkpoint_ts`, which is on disk, made superfluous.

        What history is retained from stays.
        Raises `OSError`; what stays is for the next one to remove, and in nobody's way.
        """
        needed_ts = checkpoint_ts if self._history is None else min(checkpoint_ts, self._history.base_ts)
        bases = [segment.base_ts for segment in self._old[1:]] + [self._base_ts]
        while self._old and bases[0] <= needed_ts:
            self._files.remove(self._segment_path(self._old[0].base_ts))
            del self._old[0], bases[0]

    def close(self) -> None:
        """Close the segment and give back the space that it didn't need, all of it if there never was a commit.

        What was not written is lost.
        """
        if self._file is not None:
            file, self._file = self._file, None
            path = self._segment_path(self._base_ts)
            with contextlib.suppress(OSError):  # all that matters was synced
                self._files.close(file)
                if self._end_ts == 0:
                    self._files.remove(path)
                else:
                    self._files.truncate(path, self._used_bytes)


def _room(needed_bytes: int) -> str:
    """What to do about a disk that has no room for a segment of so many bytes."""
    return (
        f"make room for {needed_bytes} bytes at least. A start copies the log's last segment and begins a new one, "
        f"which should have {ALLOCATE_BYTES >> 20} MiB"
    )
