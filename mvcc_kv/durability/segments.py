"""The log's segments one by one: what each is worth, and what the bytes behind its whole records still tell.

    log-..41.wal   [41 ... 57 ## 59 60 61 ##]
                    whole     rest                 known_ts 61: a record says so; bound_ts: what had room behind it

Recovery judges the log as a whole and stops at the first damage. Here each segment is looked at for itself.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest

from mvcc_kv.durability.files import FileSystem
from mvcc_kv.durability.findings import Damage, SegmentReport, State
from mvcc_kv.durability.records import (
    HEADER_BYTES,
    RECORD_HEADER_BYTES,
    chained_records,
    decode_header,
    find_records,
    retains_history,
    segment_ts,
)

__all__ = ["segment_reports"]


def segment_reports(
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
    return replace(report, state=state, bound_ts=max(report.known_ts, min(report.bound_ts, following_ts)))


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
