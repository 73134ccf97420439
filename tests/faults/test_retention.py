"""Retained history across starts: it is as it was, it begins behind what can't be read, and it stops no start."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from mvcc_kv.durability import DataDirectory, log
from mvcc_kv.durability.backup import listed
from mvcc_kv.durability.checkpoint import Checkpoint, encode_checkpoint
from mvcc_kv.durability.directory import Recovered
from mvcc_kv.durability.files import OsFileSystem
from mvcc_kv.durability.log import Log, LogEnd
from mvcc_kv.durability.records import (
    HEADER_BYTES,
    find_records,
    retains_history,
    segment_name,
    segment_ts,
)
from mvcc_kv.engine.history import CommitHistory, retained_history
from mvcc_kv.errors import DataDirectoryError

from .disk import NONE, SimulatedDisk
from .workload import PATH, Life, Told

RETAINED = 1_000_000
SECOND_US = 1_000_000


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "ALLOCATE_BYTES", 1_024)


def lived(
    *segments: int, retain_bytes: int = RETAINED, disk: SimulatedDisk | None = None
) -> tuple[SimulatedDisk, Told]:
    """A disk that a killed process left: so many commits before each checkpoint, the last of them after it."""
    life = Life(disk or SimulatedDisk(), Told(), retain_bytes=retain_bytes)
    for number, commits in enumerate(segments):
        if number:
            life.checkpoint()
        for _ in range(commits):
            commit(life)
    disk = life.disk.kill()
    life.end()
    return disk, life.told


def commit(life: Life) -> None:
    """The next commit: it changes a key, makes one, and deletes one that an earlier commit made."""
    ts = life.told.newest_ts + 1
    writes: dict[bytes, bytes | None] = {b"key": b"%d" % ts, b"of %d" % ts: b"%d" % ts}
    if ts > 2:
        writes[b"of %d" % (ts - 2)] = None
    life.commit(writes)


def started(disk: SimulatedDisk, told: Told, retain_bytes: int = RETAINED) -> Life:
    """A start on a copy of the disk, which has lost nothing, and whose past is as it was."""
    life = Life(disk.kill(), told, retain_bytes=retain_bytes)
    assert life.store.commit_ts == told.newest_ts
    assert life.state == told.states[-1]
    life.check_past()
    life.store.check()
    return life


def oldest_ts(disk: SimulatedDisk, told: Told, retain_bytes: int = RETAINED) -> int:
    """How far back the past can be read after a start."""
    life = started(disk, told, retain_bytes)
    oldest = life.store.oldest_ts
    life.end()
    return oldest


def recover(disk: SimulatedDisk, history: CommitHistory | None) -> Recovered:
    directory = DataDirectory.open(PATH, disk)
    try:
        return directory.recover(history=history)
    finally:
        directory.close()


def bases(disk: SimulatedDisk) -> list[int]:
    """The commits that the disk's segments come after."""
    return sorted(ts - 1 for ts in map(segment_ts, disk.contents) if ts is not None)


def changed(disk: SimulatedDisk, name: str, data: bytes) -> SimulatedDisk:
    other = disk.kill()
    other.put(name, data)
    return other


# Restarts


def test_a_clean_stop_keeps_history() -> None:
    told, disk = Told(), SimulatedDisk()
    for _ in range(4):
        life = Life(disk, told, retain_bytes=RETAINED)
        assert life.store.oldest_ts == 0
        life.check_past()
        for _ in range(3):
            commit(life)
        life.keeper.close()
    assert bases(disk) == [0, 3, 6, 9, 12]
    assert oldest_ts(disk, told) == 0


def test_a_killed_process_leaves_its_history_and_so_does_a_power_loss() -> None:
    disk, told = lived(3, 3, 3, 3)
    assert bases(disk) == [0, 3, 6, 9]
    assert oldest_ts(disk, told) == 0
    assert oldest_ts(disk.crash(NONE), told) == 0


def test_history_takes_commits_of_every_kind_of_write_with_their_time_and_label() -> None:
    disk = SimulatedDisk()
    directory = DataDirectory.open(PATH, disk)
    writer = directory.begin_log(directory.recover(history=retained_history(0, RETAINED)))
    writer.append(1, {b"a": b"1"}, None, None, 5 * SECOND_US, {})
    writer.append(2, {b"a": None, b"b": b"2"}, "me", "t2", 6 * SECOND_US, {b"a": (1, b"1")})
    batch = writer.batch()
    assert batch is not None
    writer.write(batch)
    writer.close()
    directory.close()
    history = CommitHistory(retain_bytes=RETAINED)
    recover(disk, history)
    history.check()
    first, second = history.after(0, 10)
    assert first == (1, 5 * SECOND_US, None, ((b"a", b"1"),))
    assert second == (2, 6 * SECOND_US, "me", ((b"a", None), (b"b", b"2")))


def test_segments_go_when_the_checkpoint_and_history_are_both_past_them() -> None:
    history = CommitHistory(retain_us=10 * SECOND_US, retain_bytes=RETAINED)
    clock = [0]
    told, disk = Told(), SimulatedDisk()
    life = Life(disk, told, history=history, time_us=lambda: clock[0])
    for ts in range(1, 31):
        clock[0] = ts * SECOND_US
        commit(life)
        if ts % 5 == 0:
            life.checkpoint()
    assert life.store.oldest_ts == 19
    assert bases(disk) == [15, 20, 25, 30], "the commits after 19 are in the segment after 15"
    clock[0] = 37 * SECOND_US
    life.store.trim()
    assert life.store.oldest_ts == 26
    assert bases(disk) == [15, 20, 25, 30]
    life.checkpoint()
    assert bases(disk) == [25, 30]
    life.end()


def test_a_start_lets_go_of_what_is_too_old_and_of_its_segments() -> None:
    disk, told = lived(5, 5, 5, 5)
    small = 6_000
    life = started(disk, told, small)
    assert 5 < life.store.oldest_ts < 20
    assert bases(life.disk) == [base for base in (0, 5, 10, 15, 20) if base + 5 > life.store.oldest_ts]
    life.end()


def test_without_history_nothing_of_it_stays() -> None:
    disk, told = lived(3, 3, 3)
    life = started(disk, told, 0)
    assert bases(life.disk) == [6, 9]
    assert not retains_history(life.disk.contents[segment_name(9)])
    life.end()


def test_history_that_is_switched_off_and_on_begins_anew() -> None:
    disk, told = lived(3, 3)
    life = Life(disk, told)
    commit(life)
    disk, off = life.disk.kill(), life.told
    assert oldest_ts(disk, off) == 3, (
        "what followed the checkpoint is in the log, and the checkpoint has what was before"
    )
    life.checkpoint()
    commit(life)
    disk = life.disk.kill()
    life.end()
    life = started(disk, life.told)
    assert life.store.oldest_ts == 7
    commit(life)
    assert oldest_ts(life.disk, life.told) == 7
    life.checkpoint()
    assert life.store.oldest_ts == 7
    assert oldest_ts(life.disk, life.told) == 8, (
        "the record of 8 doesn't say what it superseded, nor does a checkpoint now"
    )
    life.end()


def test_commits_of_an_unretaining_process_are_taken_from_the_log_after_the_checkpoint() -> None:
    disk, told = lived(3, 3, retain_bytes=0)
    assert bases(disk) == [3]
    assert oldest_ts(disk, told) == 3


def test_a_checkpoint_in_the_middle_of_a_segment_is_where_an_unretained_past_ends() -> None:
    """The log stays in its segment when there is no room for another."""
    for retain_bytes, oldest in ((0, 4), (RETAINED, 0)):
        disk, told = lived(6, retain_bytes=retain_bytes)
        state = Checkpoint(4, dict(sorted(told.states[4].items())))
        disk.put("checkpoint.json", b"".join(encode_checkpoint(listed(state))))
        assert oldest_ts(disk, told) == oldest


def test_a_checkpoint_that_is_ahead_of_its_log_is_where_history_begins() -> None:
    disk, told = lived(3, 3)
    disk.delete(segment_name(3))
    assert oldest_ts(disk, told.since(3)) == 0
    told = told.since(3)
    told.states += [told.states[-1]] * 2
    disk.put(
        "checkpoint.json", b"".join(encode_checkpoint(listed(Checkpoint(5, dict(sorted(told.states[5].items()))))))
    )
    assert oldest_ts(disk, told) == 5


def test_a_restored_backup_has_no_past() -> None:
    disk = SimulatedDisk()
    disk.put("checkpoint.json", b"".join(encode_checkpoint(listed(Checkpoint(40, {b"a": b"1"})))))
    history = CommitHistory(retain_bytes=RETAINED)
    recovered = recover(disk, history)
    assert (recovered.commit_ts, history.base_ts, len(history)) == (40, 40, 0)


# What older programs can read


def test_only_a_log_that_retains_history_is_of_the_second_version() -> None:
    for retain_bytes in (0, RETAINED):
        disk, _ = lived(2, 2, retain_bytes=retain_bytes)
        segments = [data for name, data in disk.contents.items() if segment_ts(name) is not None]
        assert {retains_history(data) for data in segments} == {bool(retain_bytes)}
        kinds = {record.body[0] for data in segments for record in find_records(data, HEADER_BYTES)}
        assert kinds == ({2, 3} if retain_bytes else {1, 2})


def test_a_start_without_history_and_a_stop_leave_what_older_programs_read() -> None:
    disk, told = lived(2, 2)
    life = started(disk, told, 0)
    commit(life)
    life.keeper.close()
    segments = [data for name, data in life.disk.contents.items() if segment_ts(name) is not None]
    assert segments and not any(map(retains_history, segments))


def test_history_that_is_kept_for_the_feed_alone_is_not_written_down() -> None:
    life = Life(SimulatedDisk(), Told())
    life.store.keep_changes(RETAINED)
    commit(life)
    commit(life)
    life.checkpoint()
    assert bases(life.disk) == [2]
    commit(life)
    records = find_records(life.disk.contents[segment_name(2)], HEADER_BYTES)
    assert {record.body[0] for record in records} == {1, 2}
    life.end()


# Damage


def retained_bytes(disk: SimulatedDisk) -> list[tuple[int, str, int]]:
    """Every byte of the segments that history alone needs: where history has to begin without it."""
    all_bases = bases(disk)
    return [
        (following, segment_name(base), offset)
        for base, following in pairwise(all_bases)
        for offset in range(len(disk.contents[segment_name(base)]))
    ]


def test_a_flipped_bit_in_what_history_alone_needs_costs_the_past_before_it_and_nothing_else() -> None:
    disk, told = lived(2, 3, 2, 2)
    places = retained_bytes(disk)
    assert len(places) > 1_000
    for number, (following, name, offset) in enumerate(places):
        data = bytearray(disk.contents[name])
        data[offset] ^= 1 << number % 8
        history = CommitHistory(retain_bytes=RETAINED)
        recovered = recover(changed(disk, name, bytes(data)), history)
        history.check()
        assert recovered.commit_ts == told.newest_ts and recovered.items == told.states[-1]
        assert (history.base_ts, history.newest_ts) == (following, told.newest_ts)
        lost = recovered.recovery.history_lost
        assert lost is not None and lost.file == f"{PATH}/{name}" and lost.commits[1] == following
        if number % 40 == 0:
            assert oldest_ts(changed(disk, name, bytes(data)), told) == following


def test_a_start_removes_what_lies_before_a_damage_that_history_begins_behind() -> None:
    disk, told = lived(2, 3, 2, 2)
    life = started(changed(disk, segment_name(2), b"what is this"), told)
    assert (life.store.oldest_ts, bases(life.disk)) == (5, [5, 7, 9])
    life.end()


@pytest.mark.parametrize("size", [0, 10, HEADER_BYTES, HEADER_BYTES + 60, -20, -1])
def test_a_retained_segment_that_was_cut_short_ends_the_past(size: int) -> None:
    disk, told = lived(2, 3, 2, 2)
    name = segment_name(2)
    assert oldest_ts(changed(disk, name, disk.contents[name][:size]), told) == 5


def test_a_retained_segment_that_is_missing_ends_the_past() -> None:
    disk, told = lived(2, 3, 2, 2)
    for base, oldest in ((0, 2), (2, 5), (5, 7)):
        other = disk.kill()
        other.delete(segment_name(base))
        assert oldest_ts(other, told) == oldest


def test_the_fault_that_history_begins_behind_is_told_and_no_other() -> None:
    disk, told = lived(2, 3, 2, 2)
    two = changed(changed(disk, segment_name(0), b"what is this"), segment_name(5), b"what is this")
    history = CommitHistory(retain_bytes=RETAINED)
    lost = recover(two, history).recovery.history_lost
    assert lost is not None and (lost.offset, lost.commits, history.base_ts) == (0, (6, 7), 7)
    assert "its header is damaged" in str(lost)
    one = changed(disk, segment_name(0), b"what is this")
    assert recover(one, CommitHistory(retain_bytes=2_000)).recovery.history_lost is None, "it had expired anyway"
    assert recover(one, None).recovery.history_lost is None
    assert recover(disk, CommitHistory(retain_bytes=RETAINED)).recovery.history_lost is None
    assert oldest_ts(two, told) == 7


def test_a_retained_segment_that_can_not_be_read_ends_the_past() -> None:
    class Unreadable(SimulatedDisk):
        def read(self, path: str) -> bytes:
            if path.endswith(segment_name(2)):
                raise OSError(5, "Input/output error")
            return super().read(path)

    disk, told = lived(2, 3, 2, 2, disk=Unreadable())
    unreadable = Unreadable()
    for name, data in disk.contents.items():
        unreadable.put(name, data)
    history = CommitHistory(retain_bytes=RETAINED)
    recovered = recover(unreadable, history)
    assert recovered.items == told.states[-1]
    assert history.base_ts == 5
    assert "can't be read" in str(recovered.recovery.history_lost)


def refusal(disk: SimulatedDisk, history: CommitHistory | None) -> str | None:
    try:
        recover(disk, history)
    except DataDirectoryError as error:
        return error.message
    return None


def test_damage_in_what_the_checkpoint_needs_is_judged_as_it_is_without_history() -> None:
    disk, _ = lived(2, 3, 3)
    name = segment_name(5)
    data = disk.contents[name]
    refusals = set()
    for offset in range(len(data.rstrip(b"\0"))):
        flipped = data[:offset] + bytes([data[offset] ^ 4]) + data[offset + 1 :]
        other = changed(disk, name, flipped)
        refused = refusal(other, CommitHistory(retain_bytes=RETAINED))
        assert refused == refusal(other, None)
        refusals.add(refused)
    assert len(refusals) > 3 and None in refusals  # the last commit is a torn tail
    for lost in (lambda it: it.delete(name), lambda it: it.put("checkpoint.json", b"{}")):
        check_same_refusal(disk, lost)


def check_same_refusal(disk: SimulatedDisk, change: Callable[[SimulatedDisk], None]) -> None:
    other = disk.kill()
    change(other)
    assert refusal(other, CommitHistory(retain_bytes=RETAINED)) == refusal(other, None)


# Memory


def test_a_start_takes_no_more_memory_than_history_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of 16 MB in 40 segments, all of it retained, is read with a limit of 100 kB."""
    monkeypatch.setattr(log, "ALLOCATE_BYTES", 1024)
    history, value = CommitHistory(retain_bytes=RETAINED), b'"%s"' % (b"x" * 2_000)
    writer = Log(str(tmp_path), LogEnd(), files=OsFileSystem(), history=history)
    for ts in range(1, 4_001):
        if ts % 100 == 1:
            writer.rotate()
        key = b"%d" % (ts % 50)
        writer.append(ts, {key: value}, None, None, ts, {key: (ts - 50, value)} if ts > 50 else {})
        batch = writer.batch()
        assert batch is not None
        writer.write(batch)
    writer.close()
    state = dict.fromkeys(sorted(b"%d" % number for number in range(50)), value)
    (tmp_path / "checkpoint.json").write_bytes(b"".join(encode_checkpoint(listed(Checkpoint(3_950, state)))))
    directory, bounded = DataDirectory.open(tmp_path), CommitHistory(retain_bytes=100_000)
    tracemalloc.start()
    try:
        recovered = directory.recover(history=bounded)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        directory.close()
    bounded.check()
    assert recovered.commit_ts == bounded.newest_ts == 4_000
    assert 15 < len(bounded) < 30 and bounded.used_bytes <= 100_000
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) > 16_000_000
    assert peak_bytes < 2_500_000, peak_bytes
