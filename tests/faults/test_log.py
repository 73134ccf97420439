"""The log, step by step, and what each step leaves on the disk."""

from __future__ import annotations

import errno

import pytest

from mvcc_kv.durability import log as log_module
from mvcc_kv.durability.log import Log, LogEnd
from mvcc_kv.durability.records import Commit, segment_name
from mvcc_kv.durability.recovery import Recovery, read_log
from mvcc_kv.engine import CommitHistory
from mvcc_kv.errors import BadRequestError, UnavailableError
from mvcc_kv.values import Expiring
from tests.durability.test_records import FIRST_RELEASE

from .disk import ALL, NONE, Fault, SimulatedDisk

PATH = "/data"


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "ALLOCATE_BYTES", 1_024)


def begun(disk: SimulatedDisk, end: LogEnd | None = None) -> Log:
    log = Log(PATH, end or LogEnd(), files=disk)
    log.rotate()
    return log


def append(log: Log, commit_ts: int, value: bytes = b"1", token: str | None = None) -> None:
    assert log.append(commit_ts, {b"k%d" % commit_ts: value}, None, token, 1, None) is False


def flush(log: Log) -> None:
    batch = log.batch()
    assert batch is not None
    log.write(batch)
    log.sync()
    log.settled(batch.last_ts)


def read(disk: SimulatedDisk, checkpoint_ts: int = 0) -> tuple[list[tuple[int, Commit]], Recovery]:
    commits: list[tuple[int, Commit]] = []
    recovery = read_log(PATH, checkpoint_ts, lambda ts, commit: commits.append((ts, commit)), files=disk)
    return commits, recovery


def test_a_flush_is_one_write_and_one_sync_however_many_commits() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    before = len(disk.operations)
    for commit_ts in range(1, 6):
        append(log, commit_ts)
    flush(log)
    assert disk.operations[before:] == ["write_at", "sync_data"]
    assert log.batch() is None
    commits, recovery = read(disk.crash(NONE))
    assert [ts for ts, _ in commits] == [1, 2, 3, 4, 5]
    assert commits[2][1] == Commit([(b"k3", b"1")], None, None, 1)
    assert recovery.end.ts == 5


def test_space_is_set_aside_in_steps_and_given_back_at_the_end_of_a_segment() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    name = segment_name(0)
    assert len(disk.contents[name]) == 1_024
    append(log, 1, b'"%s"' % (b"x" * 3_000))
    flush(log)
    assert len(disk.contents[name]) == 4_096
    used = log.segment_bytes
    log.rotate()
    assert len(disk.contents[name]) == used
    assert log.used_bytes == used + log.segment_bytes


def test_a_segment_without_commits_is_not_followed_by_another() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    before = disk.operations[:]
    log.rotate()
    assert disk.operations == before


def test_a_rotation_keeps_tokens_of_what_was_framed_and_no_later_ones() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    append(log, 1, token="a")
    flush(log)
    append(log, 2, token="b")
    log.rotate([("a", 1), ("b", 2)])
    log.drop(1)
    _, recovery = read(disk, 1)
    assert recovery.tokens == {"a": 1}
    flush(log)
    _, recovery = read(disk, 1)
    assert recovery.tokens == {"a": 1, "b": 2}


def test_segments_are_dropped_that_a_checkpoint_covers_and_no_others() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    for commit_ts in (1, 2, 3):
        append(log, commit_ts)
        flush(log)
        log.rotate()
    for checkpoint_ts, left in [(0, [0, 1, 2, 3]), (1, [1, 2, 3]), (2, [2, 3]), (9, [3])]:
        log.drop(checkpoint_ts)
        assert [name for name in sorted(disk.contents) if name.endswith("wal")] == [segment_name(ts) for ts in left]


def test_a_drop_that_fails_is_taken_up_by_the_next() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    append(log, 1)
    flush(log)
    log.rotate()
    disk.fault = Fault(len(disk.operations), "fail")
    with pytest.raises(OSError, match="Input/output"):
        log.drop(1)
    assert segment_name(0) in disk.contents
    log.drop(1)
    assert segment_name(0) not in disk.contents


def test_a_log_goes_on_where_recovery_found_its_end() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    for commit_ts in (1, 2):
        append(log, commit_ts)
        flush(log)
    for commit_ts in (3, 4, 5):
        disk = disk.crash(ALL)
        _, recovery = read(disk)
        log = begun(disk, recovery.end)
        append(log, commit_ts)
        flush(log)
    commits, recovery = read(disk.crash(NONE))
    assert [ts for ts, _ in commits] == [1, 2, 3, 4, 5]
    assert len(recovery.end.segments) == 4


def test_starts_without_commits_leave_one_empty_segment_and_the_tokens_in_it() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    append(log, 1, token="a")
    flush(log)
    for _ in range(3):
        disk = disk.crash(NONE)
        commits, recovery = read(disk)
        assert [ts for ts, _ in commits] == [1]
        assert recovery.tokens == {"a": 1}
        log = Log(PATH, recovery.end, files=disk)
        log.rotate(recovery.tokens.items())
        assert sorted(disk.contents) == [segment_name(0), segment_name(1)]


def test_a_start_builds_on_nothing_that_is_only_in_memory() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    append(log, 1)
    batch = log.batch()
    assert batch is not None
    log.write(batch)
    disk.fault = Fault(len(disk.operations), "fail")
    with pytest.raises(OSError, match="Input/output"):
        log.sync()
    disk = disk.kill()
    commits, recovery = read(disk)
    assert [ts for ts, _ in commits] == [1], "it is in the page cache, taken for clean"
    begun(disk, recovery.end)
    commits, _ = read(disk.crash(NONE))
    assert [ts for ts, _ in commits] == [1]


def test_after_a_failure_every_commit_gets_an_error_of_its_own() -> None:
    log = begun(SimulatedDisk())
    append(log, 1)
    log.refuse(OSError(errno.EIO, "Input/output error"))
    log.refuse(OSError(errno.EIO, "something that came of it"))
    assert not log.has_pending
    errors = []
    for _ in range(2):
        with pytest.raises(UnavailableError, match="Input/output error") as raised:
            append(log, 2)
        errors.append(raised.value)
    assert not errors[0].retryable
    assert errors[0] is not errors[1], "raised again and again, one would drag ever more tracebacks along"
    assert log.failure is not None and log.failure is not log.failure


def test_a_commit_that_the_log_can_not_hold_is_refused_alone() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    with pytest.raises(BadRequestError):
        append(log, 1, token="x" * 300)
    append(log, 1)
    flush(log)
    assert read(disk)[1].end.ts == 1


@pytest.mark.parametrize("commit_ts", [1, 3])
def test_a_commit_out_of_turn_ends_the_log_rather_than_its_consistency(commit_ts: int) -> None:
    log = begun(SimulatedDisk())
    append(log, 1)
    with pytest.raises(UnavailableError, match=f"commit {commit_ts} came after commit 1"):
        append(log, commit_ts)
    assert log.failure is not None


def test_a_close_that_fails_is_a_close() -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    disk.fault = Fault(len(disk.operations), "fail")
    log.close()
    log.close()
    assert disk.open_files == {}


def version_of(disk: SimulatedDisk, base_ts: int = 0) -> int:
    return disk.contents[segment_name(base_ts)][8]


@pytest.mark.parametrize(("history", "plain", "expiring"), [(None, 1, 4), (CommitHistory(retain_bytes=9_999), 2, 5)])
def test_a_segment_says_that_values_in_it_expire_when_the_first_of_them_comes(
    history: CommitHistory | None, plain: int, expiring: int
) -> None:
    disk = SimulatedDisk()
    log = Log(PATH, LogEnd(), files=disk, history=history)
    log.rotate()
    append(log, 1)
    flush(log)
    assert version_of(disk) == plain
    append(log, 2, Expiring(b"1" * 20_000, 7))
    append(log, 3)
    before = len(disk.operations)
    flush(log)
    assert disk.operations[before:] == ["allocate", "write_at", "write_at", "sync_data"]
    append(log, 4, Expiring(b"1", 8))
    flush(log)
    assert disk.operations[-2:] == ["write_at", "sync_data"]
    assert version_of(disk) == expiring
    log.rotate()
    assert (version_of(disk), version_of(disk, 4)) == (expiring, plain)
    commits, _ = read(disk.crash(NONE))
    times = [value.expires_us for _, commit in commits for _, value in commit.writes if isinstance(value, Expiring)]
    assert times == [7, 8]


def test_a_log_of_the_first_release_is_gone_on_with() -> None:
    disk = SimulatedDisk()
    for base_ts, segment in zip((0, 3), FIRST_RELEASE, strict=True):
        disk.put(segment_name(base_ts), bytes.fromhex(segment))
    _, recovery = read(disk)
    log = begun(disk, recovery.end)
    append(log, 5, Expiring(b"1", 7))
    flush(log)
    commits, _ = read(disk.crash(NONE))
    assert [ts for ts, _ in commits] == [1, 2, 3, 4, 5]
    assert [version_of(disk, base_ts) for base_ts in (0, 3, 4)] == [1, 1, 4]


def test_zeros_are_written_where_small_batches_will_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_ZEROED_BYTES", 200)
    disk = SimulatedDisk()
    log = begun(disk)
    written = []
    for commit_ts in range(1, 9):
        append(log, commit_ts)
        before = len(disk.operations)
        flush(log)
        written.append(disk.operations[before:].count("write_at"))
    assert written == [1, 2, 1, 1, 1, 2, 1, 1], "not before the first sync, nor where they are still"
    append(log, 9, b"1" * 20_000)
    before = len(disk.operations)
    flush(log)
    assert disk.operations[before:] == ["allocate", "write_at", "sync_data"], "a large one gains nothing by it"
    assert [ts for ts, _ in read(disk.crash(NONE))[0]] == list(range(1, 10))


def test_zeros_stay_within_what_was_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    for commit_ts in range(1, 30):
        append(log, commit_ts, b"1" * 99)
        flush(log)
        (content,) = disk.contents.values()
        assert len(content) % 1_024 == 0 and len(content) - log.used_bytes < 1_024


@pytest.mark.parametrize("how", ["fail", "half", "lie"])
def test_zeros_that_cannot_be_written_cost_nothing(how: str) -> None:
    disk = SimulatedDisk()
    log = begun(disk)
    append(log, 1)
    flush(log)
    append(log, 2)
    disk.fault = Fault(len(disk.operations) + 1, how)
    flush(log)
    assert disk.operations[-2:] == ["write_at", "sync_data"]
    append(log, 3)
    flush(log)
    assert [ts for ts, _ in read(disk.crash(NONE))[0]] == [1, 2, 3]
