"""Retained history, read back from the log: as far as its segments reach, and never at the price of a start.

    checkpoint at 40     log-..1.wal [1 ... 20]   log-..21.wal [21 ## 40]   log-..41.wal [41 ... 58]
                         read for history's sake alone                     replayed, and history besides
                         damaged: history begins behind it                  damaged: the start is refused, as ever

History is what a commit wrote and what it superseded. A record of kind 3 tells both. One of kind 1, from a time when
nothing was retained, tells the first alone: after the checkpoint the rest is at hand, in the items that the log is
replayed on; before it there is no knowing, so history begins after that commit.

Rules:
  - History has every commit from where it begins to the log's end, or it begins later.
  - What is expired goes as it is read, so this takes no more memory than history may. Ages are measured from the newest
    commit here; what is too old by the clock goes when the store looks.
  - How old a superseded version is said to be is an upper bound where it comes from a checkpoint, since those know no
    timestamps of their items. It is never put after the place where history begins.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from mvcc_kv.api import CommittedWrites
from mvcc_kv.durability.log import Segment
from mvcc_kv.durability.records import (
    HEADER_BYTES,
    Commit,
    Fault,
    SegmentHeader,
    chained_records,
    decode_commit,
    decode_header,
    segment_ts,
)
from mvcc_kv.engine.history import CommitHistory, Superseded

__all__ = ["HistoryReader"]

_NO_CRC = -1


class HistoryReader:
    """Fills `history`, which is empty, from segments in order: `read` those before the checkpoint, `take` what follows.

    `items` is what the checkpoint holds, and then what has been replayed on it.
    """

    def __init__(self, history: CommitHistory, checkpoint_ts: int, items: Mapping[bytes, bytes]) -> None:
        self.history = history
        self.faults: list[Fault] = []
        self._checkpoint_ts = checkpoint_ts
        self._items = items
        self._newest_us = 0
        self._path, self._offset = "", 0  # of the segment that was read last, and where its whole records end
        self._end: SegmentHeader | None = None  # what a segment that goes on from there begins with
        self._reason = ""

    @property
    def lost(self) -> Fault | None:
        """Why history begins no earlier, if it begins behind a fault."""
        fault = self.faults[-1] if self.faults else None
        return fault if fault is not None and fault.commits[1] == self.history.base_ts else None

    def read(self, path: str, data: bytes | None) -> Segment:
        """Take in a segment that nothing but history needs; None: it can't be read."""
        base_ts = (segment_ts(os.path.basename(path)) or 1) - 1
        header = None if data is None else _header(data)
        if data is None or header is None or header.base_ts != base_ts:
            reason = "it can't be read" if data is None else "its header is damaged"
            if self._end is not None and self._end.base_ts != base_ts:
                self._break_off(self._end, base_ts)
            self._ends(path, 0, SegmentHeader(base_ts, _NO_CRC), reason)
            return Segment(base_ts, 0 if data is None else len(data), is_sealed=True)
        self.follow(header)
        offset, end = HEADER_BYTES, header
        for record in chained_records(data, header):
            if record.is_commit:
                self.take(record.commit_ts, decode_commit(record.body))
            offset, end = record.end, SegmentHeader(record.commit_ts, record.crc)
        is_damaged = bool(data[offset:].rstrip(b"\0"))
        self._ends(path, offset, end, "a record is damaged" if is_damaged else "what follows is missing")
        return Segment(base_ts, offset, is_sealed=True)

    def follow(self, header: SegmentHeader) -> None:
        """The next segment begins so: history goes on if what was read leads up to it, and else begins here."""
        if header != self._end:
            if self._end is not None:
                self._break_off(self._end, header.base_ts)
            self.history.begin(header.base_ts)
        self._end = None

    def take(self, commit_ts: int, commit: Commit) -> None:
        """The next commit; one that is replayed, before it is."""
        superseded: Mapping[bytes, Superseded]
        base_ts = self.history.base_ts
        if commit.superseded is not None:
            superseded = {key: (min(ts, base_ts), value) for key, (ts, value) in commit.superseded.items()}
        elif commit_ts > self._checkpoint_ts:
            superseded = {key: (base_ts, self._items[key]) for key, _ in commit.writes if key in self._items}
        else:
            self.history.begin(commit_ts)
            return
        self.history.append(CommittedWrites(commit_ts, commit.time_us, commit.label, tuple(commit.writes)), superseded)
        self._newest_us = max(self._newest_us, commit.time_us)
        self.history.trim(self._newest_us, self.history.newest_ts)

    def finish(self, end_ts: int) -> None:
        """That was all, and the newest state is the one at `end_ts`: a checkpoint may be ahead of its log."""
        if self.history.newest_ts != end_ts:
            self.history.begin(end_ts)

    def _ends(self, path: str, offset: int, end: SegmentHeader, reason: str) -> None:
        """The segment's whole records end there, at `end`; if the next one doesn't go on so, that's the reason."""
        self._path, self._offset, self._end, self._reason = path, offset, end, reason

    def _break_off(self, end: SegmentHeader, next_ts: int) -> None:
        """What was read doesn't lead up to the next segment, which begins after the commit at `next_ts`."""
        commits = end.base_ts + 1, max(end.base_ts + 1, next_ts)
        self.faults.append(Fault(self._path, self._offset, self._reason, commits))


def _header(data: bytes) -> SegmentHeader | None:
    try:
        return decode_header(data)
    except ValueError:
        return None  # of a newer version
