"""A log that was cut, flipped, shuffled or thinned out: a prefix of whole commits, or a refusal that says where."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from mvcc_kv.durability import log
from mvcc_kv.durability.directory import DataDirectory
from mvcc_kv.durability.log import Log, LogEnd
from mvcc_kv.durability.records import (
    HEADER_BYTES,
    Commit,
    Record,
    SegmentHeader,
    encode_header,
    read_record,
    segment_name,
)
from mvcc_kv.durability.recovery import Recovery, read_log
from mvcc_kv.errors import DataDirectoryError

from .disk import SECTOR_BYTES, SimulatedDisk

PATH = "/data"
FIRST = segment_name(0)


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "ALLOCATE_BYTES", 1_024)


def write_log(*segments: Iterable[int], value_bytes: int = 20) -> SimulatedDisk:
    """A disk with a log. A segment is given by the sizes of its flushes, in commits."""
    disk = SimulatedDisk()
    writer = Log(PATH, LogEnd(), files=disk)
    commit_ts = 0
    for flushes in segments:
        writer.rotate()
        for commits in flushes:
            for _ in range(commits):
                commit_ts += 1
                value = b'"%0*d"' % (value_bytes, commit_ts)
                writer.append(commit_ts, {b"key": value, b"%d" % commit_ts: value}, None, None, 1, None)
            batch = writer.batch()
            assert batch is not None
            writer.write(batch)
            writer.sync()
            writer.settled(batch.last_ts)
    writer.close()
    return disk


@dataclass
class Found:
    """What recovery made of a disk."""

    commits: list[int]
    recovery: Recovery | None = None
    refusal: DataDirectoryError | None = None

    def check_believed(self, commits: int) -> None:
        """It starts with so many."""
        assert self.refusal is None, self.refusal
        assert self.commits == list(range(1, commits + 1))

    def check_refused(self, file: str, offset: int | None = None, first_ts: int | None = None) -> None:
        """It was refused, and the refusal says where."""
        assert self.refusal is not None, f"believed up to {self.commits[-1:]}"
        evidence = self.refusal.evidence
        assert evidence["file"] == f"{PATH}/{file}"
        assert file in self.refusal.message and f"byte {evidence['offset']}" in self.refusal.message
        first, last = evidence["commits"]
        assert first <= last
        assert offset is None or evidence["offset"] == offset
        assert first_ts is None or first == first_ts


def recover(disk: SimulatedDisk, checkpoint_ts: int = 0) -> Found:
    """Read the log. Whatever it is: commits come in order, without a gap, and as they were written."""
    found = Found([])

    def replay(commit_ts: int, commit: Commit) -> None:
        assert commit_ts == checkpoint_ts + len(found.commits) + 1
        (key, value), (own, same) = commit.writes
        assert (key, own, same) == (b"key", b"%d" % commit_ts, value)
        assert value is not None and int(value.strip(b'"')) == commit_ts
        found.commits.append(commit_ts)

    before = disk.contents
    try:
        found.recovery = read_log(PATH, checkpoint_ts, replay, files=disk)
        assert found.recovery.end.ts == checkpoint_ts + len(found.commits)
    except DataDirectoryError as error:
        found.refusal = error
    assert disk.contents == before
    return found


def records(disk: SimulatedDisk, name: str = FIRST) -> list[Record]:
    """The segment's records, the one that keeps tokens first."""
    data, offset, found = disk.contents[name], HEADER_BYTES, []
    while (record := read_record(data, offset)) is not None:
        found.append(record)
        offset = record.end
    return found


def changed(disk: SimulatedDisk, data: bytes, name: str = FIRST) -> SimulatedDisk:
    """A disk with other bytes in this file."""
    other = disk.kill()
    other.put(name, data)
    return other


def without(disk: SimulatedDisk, name: str) -> SimulatedDisk:
    other = disk.kill()
    other.delete(name)
    return other


# Cut and flipped


@pytest.mark.parametrize("flushes", [[1] * 40, [8] * 5], ids=["one by one", "in groups"])
def test_a_log_cut_at_any_byte_is_a_prefix_of_its_commits(flushes: list[int]) -> None:
    disk = write_log(flushes)
    data, found = disk.contents[FIRST], records(disk)
    for size in range(len(data)):
        result = recover(changed(disk, data[:size]))
        if size < found[0].end:
            result.check_refused(FIRST)
        else:
            result.check_believed(sum(record.end <= size for record in found[1:]))


@pytest.mark.parametrize("flushes", [[1] * 18, [6] * 3], ids=["one by one", "in groups"])
def test_a_flipped_bit_is_refused_or_cuts_the_last_commit(flushes: list[int]) -> None:
    disk = write_log(flushes, value_bytes=100)
    data, found = disk.contents[FIRST], records(disk)
    end = found[-1].end
    assert end > 4_500
    at_bit = changed(disk, data)
    for offset in range(end - 4_096, end):
        hit = next(record for record in found if offset < record.end)
        for bit in range(8):
            flipped = data[:offset] + bytes([data[offset] ^ (1 << bit)]) + data[offset + 1 :]
            at_bit.put(FIRST, flipped)
            result = recover(at_bit)
            if hit is found[-1]:
                result.check_believed(len(found) - 2)
                assert result.recovery is not None and result.recovery.torn is not None
                assert result.recovery.torn.offset == hit.offset
            else:
                result.check_refused(FIRST, hit.offset, hit.commit_ts)


def test_a_flipped_bit_before_the_first_commit_is_refused() -> None:
    disk = write_log([1, 1])
    data, first = disk.contents[FIRST], records(disk)[0]
    for offset in range(first.end):
        for bit in range(8):
            flipped = data[:offset] + bytes([data[offset] ^ (1 << bit)]) + data[offset + 1 :]
            result = recover(changed(disk, flipped))
            assert result.refusal is not None


def test_garbage_behind_the_last_commit_is_cut() -> None:
    disk = write_log([1, 1, 1])
    data, end = disk.contents[FIRST], records(disk)[-1].end
    for garbage in (b"\xff", b"\xffRec", b"\xffRec" + b"\xff" * 100, b"garbage" * 20):
        result = recover(changed(disk, data[:end] + garbage + data[end + len(garbage) :]))
        result.check_believed(3)
        assert result.recovery is not None and result.recovery.torn is not None
        assert result.recovery.torn.dropped_bytes == len(garbage)


# A write that did not arrive whole


@pytest.mark.parametrize("value_bytes", [20, 300, 1_500])
@pytest.mark.parametrize("sector_bytes", [SECTOR_BYTES, 4_096])
def test_a_hole_in_the_last_flush_is_cut_and_one_before_it_is_refused(value_bytes: int, sector_bytes: int) -> None:
    disk = write_log([1, 2, 3, 30], value_bytes=value_bytes)
    data, found = disk.contents[FIRST], records(disk)
    last_flush = found[-30].offset
    for start in range(0, found[-1].end, sector_bytes):
        end = min(start + sector_bytes, len(data))
        kept_from = max(start, last_flush)  # what was there before the flush stays
        if end > last_flush:
            result = recover(changed(disk, data[:kept_from] + bytes(end - kept_from) + data[end:]))
            result.check_believed(sum(record.end <= kept_from for record in found[1:]))
        lost = recover(changed(disk, data[:start] + bytes(end - start) + data[end:]))
        if start < last_flush and found[-1].offset >= end:
            lost.check_refused(FIRST)


def test_two_holes_in_the_last_flush_are_cut_at_the_first() -> None:
    disk = write_log([1, 60])
    data, found = disk.contents[FIRST], records(disk)
    for first in range(1, 6):
        for second in range(first + 1, 8):
            holed = bytearray(data)
            for sector in (first, second):
                holed[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES] = bytes(SECTOR_BYTES)
            result = recover(changed(disk, bytes(holed)))
            result.check_believed(sum(record.end <= first * SECTOR_BYTES for record in found[1:]))


# Records that are not where they were written


def moved(disk: SimulatedDisk, order: Iterable[int], name: str = FIRST) -> SimulatedDisk:
    """The commits' records in another order, some of them twice or not at all."""
    data, (kept, *rest) = disk.contents[name], records(disk, name)
    shuffled = b"".join(data[rest[at].offset : rest[at].end] for at in order)
    return changed(disk, data[: kept.end] + shuffled, name)


@pytest.mark.parametrize("flushes", [[1] * 6, [6]], ids=["one by one", "in groups"])
def test_a_record_removed_doubled_or_swapped_is_refused(flushes: list[int]) -> None:
    disk = write_log(flushes)
    for at in range(5):
        others = [0, 1, 2, 3, 4, 5]
        recover(moved(disk, others[:at] + others[at + 1 :])).check_refused(FIRST, None, at + 1)
        swapped = [*others[:at], at + 1, at, *others[at + 2 :]]
        recover(moved(disk, swapped)).check_refused(FIRST, None, at + 1)
        recover(moved(disk, [*others[: at + 1], *others[at:]])).check_refused(FIRST, None, at + 2)
    recover(moved(disk, [0, 1, 2, 3, 4])).check_believed(5)


def test_a_record_from_another_history_is_refused_though_its_timestamp_fits() -> None:
    disk, other = write_log([1] * 6), write_log([1] * 6, value_bytes=21)
    mine, theirs = disk.contents[FIRST], other.contents[FIRST]
    at, there = records(disk)[3], records(other)[3]
    swapped = mine[: at.offset] + theirs[there.offset : there.end] + mine[at.end :]
    recover(changed(disk, swapped)).check_refused(FIRST, at.offset, 3)


def test_a_record_in_another_segment_is_refused() -> None:
    disk = write_log([1, 1, 1], [1, 1, 1])
    second = segment_name(3)
    data, found = disk.contents[second], records(disk, second)
    first, last = disk.contents[FIRST], records(disk)[-1]
    foreign = data[: found[1].offset] + first[last.offset : last.end] + data[found[1].offset :]
    recover(changed(disk, foreign, second)).check_refused(second, found[1].offset, 4)


def test_records_that_two_segments_hold_are_refused() -> None:
    disk = write_log([1, 1, 1], [1, 1])
    first = disk.contents[FIRST] + disk.contents[segment_name(3)][HEADER_BYTES:]
    recover(changed(disk, first)).check_refused(FIRST)


# Segments that are missing, foreign, stale or newer


def test_a_missing_segment_is_refused() -> None:
    disk = write_log([1, 1], [1, 1], [1, 1])
    first, second, third = segment_name(0), segment_name(2), segment_name(4)
    recover(without(disk, first)).check_refused(second, 0, 1)
    recover(without(disk, second)).check_refused(first, None, 3)
    recover(without(disk, third)).check_believed(4)  # nothing is left that tells of it


def test_without_a_checkpoint_the_log_after_it_is_refused() -> None:
    disk = without(write_log([1, 1], [1, 1]), segment_name(0))
    assert recover(disk, 2).commits == [3, 4] and recover(disk, 2).refusal is None
    recover(disk, 1).check_refused(segment_name(2), 0, 2)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_damaged_header_is_refused(at: int) -> None:
    disk = write_log([1, 1], [1, 1], [1, 1])
    name = segment_name(2 * at)
    data = disk.contents[name]
    for damaged in (bytes(HEADER_BYTES) + data[HEADER_BYTES:], data[:10], b"", b"what is this\n" * 100):
        recover(changed(disk, damaged, name)).check_refused(name, 0)


def test_a_segment_under_another_name_is_refused() -> None:
    disk = write_log([1, 1], [1, 1])
    renamed = without(disk, segment_name(2))
    renamed.put(segment_name(7), disk.contents[segment_name(2)])
    recover(renamed).check_refused(segment_name(7))


def test_other_files_are_left_alone() -> None:
    disk = write_log([1, 1])
    for name in ("log.wal", "log-1.wal", "log-00000000000000000042.wal.tmp", "log.wal.tmp", "notes.txt"):
        disk.put(name, b"mine")
    recover(disk).check_believed(2)


def test_a_segment_of_a_newer_format_asks_for_an_upgrade() -> None:
    disk = write_log([1, 1])
    header = bytearray(encode_header(SegmentHeader(0, 0)))
    header[8] = 6
    header[60:] = struct.pack("<I", zlib.crc32(header[:60]))
    result = recover(changed(disk, bytes(header) + disk.contents[FIRST][HEADER_BYTES:]))
    assert result.refusal is not None
    assert "version 6" in result.refusal.message and "upgrade" in result.refusal.message
    assert FIRST in result.refusal.message


def test_segments_that_a_checkpoint_made_superfluous_are_not_read() -> None:
    disk = changed(write_log([1, 1], [1, 1], [1, 1]), b"whatever")
    assert recover(disk, 2).commits == [3, 4, 5, 6]
    assert recover(without(disk, segment_name(2)), 4).commits == [5, 6]


def test_a_stale_segment_left_behind_is_removed_by_the_next_start() -> None:
    disk = write_log([1, 1], [1, 1])
    disk.put(
        "checkpoint.json",
        b'{"format": "mvcc-kv-checkpoint",\n"format_version": 1,\n"commit_ts": 3,\n"data": {\n},\n"crc32": "%08x"}\n'
        % zlib.crc32(b'{"format": "mvcc-kv-checkpoint",\n"format_version": 1,\n"commit_ts": 3,\n"data": {\n}'),
    )
    directory = DataDirectory.open(PATH, disk)
    recovered = directory.recover()
    assert recovered.commit_ts == 4
    directory.begin_log(recovered).close()
    directory.close()
    assert sorted(disk.contents) == ["checkpoint.json", segment_name(2), segment_name(4)]


def test_an_unreadable_directory_or_segment_is_refused() -> None:
    class Unreadable(SimulatedDisk):
        def list(self, path: str) -> list[str]:
            raise PermissionError(13, "Permission denied")

    with pytest.raises(DataDirectoryError, match="Permission denied"):
        read_log(PATH, 0, lambda commit_ts, commit: None, files=Unreadable())
