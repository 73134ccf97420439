"""Recovery: what the log's segments say happened after a checkpoint, and whether they can be believed.

    checkpoint at 40        log-..1.wal  [1 ... 40]   log-..41.wal  [41 ... 57 58 ?????? 0000]
                            superfluous, but for      replayed: 41 to 58; then whatever this is
                            retained history

A crash leaves the last writes half done: a *torn tail*. It is cut at the last whole commit, since nobody was told
of anything behind it. Damage is something else: bytes that were on disk and are not what they were. Cutting there
would silently take commits away that clients were told of, so damage refuses the start.

Behind the last whole record, in the last segment, the two are told apart so:

    no whole record follows                              torn
    one follows that says the missing ones were durable  damage
    others follow, and a sector between was never        torn: of what was not synced yet, later sectors reached the
    written: it is zeros from our last record's end on     disk and earlier ones didn't
    others follow, and there is no such sector           damage

In an earlier segment anything amiss is damage, unless the next segment continues exactly there: then a tail was cut
there before. A segment's header and first record were on disk before it had its name: if they are amiss, it's damage.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import NoReturn, Protocol

from mvcc_kv.durability.files import FileSystem
from mvcc_kv.durability.log import LogEnd, Segment
from mvcc_kv.durability.records import (
    HEADER_BYTES,
    Commit,
    Fault,
    Record,
    SegmentHeader,
    chained_records,
    decode_commit,
    decode_header,
    decode_tokens,
    find_records,
    segment_ts,
)
from mvcc_kv.durability.retention import HistoryReader
from mvcc_kv.durability.single_puts import replay_puts
from mvcc_kv.engine.outcomes import FORGOTTEN
from mvcc_kv.errors import DataDirectoryError

__all__ = ["Fault", "Puts", "Recovery", "read_log"]

_SECTOR_BYTES = 512
_PUTS_AT_ONCE = 100_000  # so that it is told now and then how far it has come


class Puts(Protocol):
    """What commits that only put a key are replayed on, many at a time; `passed` tells then which was the last."""

    items: dict[bytes, bytes]

    def passed(self, commit_ts: int) -> None: ...


@dataclass(slots=True)
class Recovery:
    """What was read: where the log ends, the tokens it keeps, and the tail that was cut, if one was.

    `history_lost`: why retained history begins no earlier, if that isn't as it should be.
    `is_log_missing`: there is a checkpoint and no log at all. Every server leaves one, a backup has none.
    """

    end: LogEnd
    tokens: dict[str, int] = field(default_factory=dict)
    commits_replayed: int = 0
    torn: Fault | None = None
    history_lost: Fault | None = None
    is_log_missing: bool = False


def read_log(
    path: str,
    checkpoint_ts: int,
    replay: Callable[[int, Commit], None],
    *,
    files: FileSystem,
    history: HistoryReader | None = None,
    puts: Puts | None = None,
) -> Recovery:
    """Call `replay(commit_ts, commit)` for every commit after the checkpoint, in order. Reads, changes nothing.

    `history` is given all commits that the log has, those before the checkpoint too. Without it, commits that only put
    a key go straight into `puts`, and not to `replay`.
    Raises `DataDirectoryError` for damage, naming file, offset and commits. Memory: one segment at a time.
    """
    return _Reader(path, checkpoint_ts, replay, files, history, puts if history is None else None).read()


class _Reader:
    """Reads segments in order; two at a time, since whether one's end is right is for the next one to say."""

    def __init__(
        self,
        path: str,
        checkpoint_ts: int,
        replay: Callable[[int, Commit], None],
        files: FileSystem,
        history: HistoryReader | None,
        puts: Puts | None,
    ) -> None:
        self._path = path
        self._checkpoint_ts = checkpoint_ts
        self._replay = replay
        self._files = files
        self._history = history
        self._puts = puts
        self._recovery = Recovery(LogEnd(checkpoint_ts))
        self._end = SegmentHeader(checkpoint_ts, 0)  # of what was read so far
        self._has_begun = False
        self._segments: list[Segment] = []

    def read(self) -> Recovery:
        names = self._names()
        first = max(sum(_base_ts(name) <= self._checkpoint_ts for name in names) - 1, 0)
        self._segments = [self._read_superfluous(name) for name in names[:first]]
        data = self._load(names[first]) if names else b""
        for name, following in zip_longest(names[first:], names[first + 1 :]):
            data = self._read_segment(name, data, following)
        if not names:
            self._recovery.tokens[FORGOTTEN] = self._checkpoint_ts  # a checkpoint alone remembers none
            self._recovery.is_log_missing = self._checkpoint_ts > 0
        end_ts = max(self._end.base_ts, self._checkpoint_ts)
        self._recovery.end = LogEnd(end_ts, self._end.base_crc, tuple(self._segments))
        if self._history is not None:
            self._history.finish(end_ts)
            self._recovery.history_lost = self._history.lost
        return self._recovery

    def _read_superfluous(self, name: str) -> Segment:
        """A segment that the checkpoint holds all of: history may want it, or it only waits to be removed."""
        if self._history is None:
            return Segment(_base_ts(name), 0, is_sealed=True)
        path = os.path.join(self._path, name)
        try:
            data = self._files.read(path)
        except OSError:
            return self._history.read(path, None)
        return self._history.read(path, data)

    def _names(self) -> list[str]:
        try:
            return [name for name in self._files.list(self._path) if segment_ts(name) is not None]
        except OSError as error:
            raise DataDirectoryError(
                f"{self._path!r} can't be read: {error.strerror or error}; check its permissions and the disk"
            ) from error

    def _load(self, name: str) -> bytes:
        path = os.path.join(self._path, name)
        try:
            return self._files.read(path)
        except OSError as error:
            raise DataDirectoryError(f"{path!r} can't be read: {error.strerror or error}; check the disk") from error

    def _read_segment(self, name: str, data: bytes, following: str | None) -> bytes:
        """Replay one segment and judge its end; returns the next one's bytes."""
        next_data = b"" if following is None else self._load(following)
        header = self._header(name, data)
        self._continue(name, header)
        offset = self._read_records(data)
        if offset == HEADER_BYTES:
            self._refuse(name, offset, "its first record is damaged", (header.base_ts + 1, header.base_ts + 1))
        self._segments.append(Segment(header.base_ts, offset))
        if following is None:
            self._judge_tail(name, data, offset)
            if self._end.base_ts == header.base_ts:
                self._end = header  # it holds no commit: the log goes on in its place
        elif self._header(following, next_data) != self._end:
            self._judge_middle(name, offset, following)
        return next_data

    def _header(self, name: str, data: bytes) -> SegmentHeader:
        try:
            header = decode_header(data)
        except ValueError as error:
            raise DataDirectoryError(
                f"{os.path.join(self._path, name)!r} is of {error}: upgrade mvcc-kv, or choose another directory",
                newer=True,
            ) from None
        if header is None or header.base_ts != _base_ts(name):
            self._refuse(name, 0, "its header is damaged", (_base_ts(name) + 1, _base_ts(name) + 1))
        return header

    def _continue(self, name: str, header: SegmentHeader) -> None:
        """Nothing that is needed may be missing before this segment."""
        if not self._has_begun and header.base_ts > self._checkpoint_ts:
            missing = (self._checkpoint_ts + 1, header.base_ts)
            self._refuse(name, 0, "the log before it, or the checkpoint, is missing", missing)
        if not self._has_begun and self._history is not None:
            self._history.follow(header)
        self._has_begun = True
        self._end = header

    def _read_records(self, data: bytes) -> int:
        """Replay the records from the start; returns the offset behind the last one that belongs here."""
        offset = HEADER_BYTES
        while True:
            offset = self._read_puts(data, offset)
            record = next(chained_records(data, self._end, offset), None)
            if record is None:
                return offset
            self._take(record)
            self._end = SegmentHeader(record.commit_ts, record.crc)
            offset = record.end

    def _read_puts(self, data: bytes, offset: int) -> int:
        """Replay the commits at the offset that only put a key, if there are any; returns the offset behind them."""
        while self._puts is not None and self._end.base_ts >= self._checkpoint_ts:
            before_ts = self._end.base_ts
            offset, *end = replay_puts(data, offset, *self._end, self._puts.items, _PUTS_AT_ONCE)
            self._end = SegmentHeader(*end)
            if self._end.base_ts == before_ts:
                break
            self._puts.passed(self._end.base_ts)
            self._recovery.commits_replayed += self._end.base_ts - before_ts
        return offset

    def _take(self, record: Record) -> None:
        if not record.is_commit:
            self._recovery.tokens.update(decode_tokens(record.body))
            return
        commit = decode_commit(record.body)
        if commit.token is not None:
            self._recovery.tokens[commit.token] = record.commit_ts
        if self._history is not None:
            self._history.take(record.commit_ts, commit)
        if record.commit_ts > self._checkpoint_ts:
            self._replay(record.commit_ts, commit)
            self._recovery.commits_replayed += 1

    def _judge_middle(self, name: str, offset: int, following: str) -> None:
        """A segment that the next one doesn't continue: what lies between is lost."""
        commits = self._end.base_ts + 1, max(self._end.base_ts + 1, _base_ts(following))
        self._refuse(name, offset, "the log is damaged or cut short, and goes on in the next file", commits)

    def _judge_tail(self, name: str, data: bytes, offset: int) -> None:
        """What follows the last whole record of the log: nothing, a torn tail, or damage."""
        dropped_bytes = len(data[offset:].rstrip(b"\0"))
        if not dropped_bytes:
            return
        end_ts = self._end.base_ts
        whole = list(find_records(data, offset))
        last_ts = max((record.commit_ts for record in whole), default=end_ts + 1)
        if whole and (
            any(record.durable_ts > end_ts for record in whole) or not _has_hole(data, offset, whole[0].offset)
        ):
            self._refuse(name, offset, "a record is damaged, and whole ones follow it", (end_ts + 1, last_ts))
        self._recovery.torn = Fault(name, offset, "an unfinished write", (end_ts + 1, last_ts), dropped_bytes)

    def _refuse(self, name: str, offset: int, reason: str, commits: tuple[int, int]) -> NoReturn:
        fault = Fault(os.path.join(self._path, name), offset, reason, commits)
        raise DataDirectoryError(
            f"{fault}; nothing was changed. Put a good copy back, or see what `mvcc-kv verify {self._path}` and "
            f"`mvcc-kv repair {self._path} --to BACKUP` can do",
            file=fault.file,
            offset=offset,
            commits=list(commits),
        )


def _has_hole(data: bytes, start: int, end: int) -> bool:
    """Whether some sector, as far as it lies behind `start` and ends before `end`, is zeros, as it was set aside."""
    zeros = bytes(_SECTOR_BYTES)
    edges = [start, *range(start - start % _SECTOR_BYTES + _SECTOR_BYTES, end + 1, _SECTOR_BYTES)]
    return any(data[at:edge] == zeros[: edge - at] for at, edge in pairwise(edges))


def _base_ts(name: str) -> int:
    ts = segment_ts(name)
    assert ts is not None
    return ts - 1
