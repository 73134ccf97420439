"""Verify, repair and restore: what damaged directories are worth, and that timestamps never go back."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import pytest

import mvcc_kv
from mvcc_kv.durability import Checkpoint, DataDirectory, OsFileSystem, decode_checkpoint
from mvcc_kv.durability.findings import Inspection, SegmentReport
from mvcc_kv.durability.inspection import inspect
from mvcc_kv.durability.records import HEADER_BYTES, Record, find_records, segment_name
from mvcc_kv.durability.repairing import read_content, repair, restore
from mvcc_kv.errors import DataDirectoryError


@pytest.fixture(autouse=True)
def little_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 64 KiB: these tests copy and compare a lot of them."""
    monkeypatch.setattr("mvcc_kv.durability.log.ALLOCATE_BYTES", 64 * 1024)


def commits(path: Path, count: int, *, until_checkpoint: int | None = None) -> None:
    """Commits 1 to `count`, each of key k<ts>, and a process that is killed: no checkpoint at the end."""
    db = mvcc_kv.open(path)
    for ts in range(1, count + 1):
        db[f"k{ts}"] = ts
        if ts == until_checkpoint:
            db.checkpoint()
    _forget(db, path)


def _forget(db: mvcc_kv.database.StoreDatabase, path: Path) -> None:
    """End it as a kill would: what is on disk stays as it is."""
    copy = path.with_name("as-killed")
    copy.mkdir()
    for file in path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    db.close()
    for file in path.iterdir():
        file.unlink()
    for file in copy.iterdir():
        file.rename(path / file.name)
    copy.rmdir()


def segment(path: Path, base_ts: int = 0) -> Path:
    return path / segment_name(base_ts)


def records(file: Path) -> list[Record]:
    return [record for record in find_records(file.read_bytes(), HEADER_BYTES) if record.is_commit]


def flip(file: Path, offset: int) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= 1
    file.write_bytes(data)


def damage(file: Path, commit_ts: int) -> int:
    """Flip a bit in the middle of a commit's record; where the record is."""
    record = next(record for record in records(file) if record.commit_ts == commit_ts)
    flip(file, (record.offset + record.end) // 2)
    return record.offset


def content(path: Path) -> dict[str, int]:
    with mvcc_kv.open(path) as db:
        return dict(db.scan())


def expected(last: int) -> dict[str, int]:
    return {f"k{ts}": ts for ts in range(1, last + 1)}


def files_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}


def states(found: Inspection) -> list[str]:
    return [segment.state for segment in found.segments]


# Verify


def test_a_directory_without_a_checkpoint_is_fine(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 10)
    before = files_of(data)
    found = inspect(data)
    assert (found.checkpoint, found.damage, found.commit_ts) == (None, None, 10)
    only = found.segments[0]
    assert (only.state, only.first_ts, only.last_ts, only.rest_bytes) == ("ok", 1, 10, 0)
    assert files_of(data) == before


def test_a_checkpoint_and_the_log_after_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 10, until_checkpoint=6)
    found = inspect(data)
    assert found.checkpoint is not None
    assert (found.checkpoint.commit_ts, found.checkpoint.keys, found.checkpoint.error) == (6, 6, None)
    assert [(it.first_ts, it.last_ts) for it in found.segments] == [(7, 10)]
    assert (found.damage, found.commit_ts, found.known_ts) == (None, 10, 10)


def test_an_unfinished_write_at_the_end_is_no_damage(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 3)
    with segment(data).open("r+b") as file:
        file.seek(records(segment(data))[-1].offset + 40)
        file.write(b"\0" * 20)
    found = inspect(data)
    assert (found.damage, found.commit_ts, states(found)) == (None, 2, ["torn"])
    assert found.segments[0].rest_bytes > 0
    assert content(data) == expected(2)


def test_damage_is_named_by_file_offset_and_commits(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 10)
    offset = damage(segment(data), 6)
    found = inspect(data)
    assert found.damage is not None
    assert (found.damage.file, found.damage.offset, found.damage.commits) == (segment_name(0), offset, (6, 10))
    assert (found.commit_ts, found.known_ts, states(found)) == (5, 10, ["damaged"])
    with pytest.raises(DataDirectoryError, match="verify"):
        mvcc_kv.open(data)


def test_a_damaged_checkpoint_says_what_it_claims_to_be(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 10, until_checkpoint=6)
    flip(data / "checkpoint.json", 90)
    found = inspect(data)
    assert found.checkpoint is not None and found.damage is not None
    assert found.checkpoint.error is not None
    assert found.checkpoint.commit_ts == 6
    assert found.damage.file == "checkpoint.json"


def test_what_a_server_holds_is_left_alone(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path / "data") as db:
        db["a"] = 1
        with pytest.raises(DataDirectoryError, match="open in this process already"):
            inspect(tmp_path / "data")


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DataDirectoryError, match="there is no directory"):
        inspect(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_whose_log_was_deleted_does_not_pass_for_all_there_is(tmp_path: Path) -> None:
    """Commits 7 to 10 were in the log. It can't be known any more, but it can be said that there may have been some."""
    data = tmp_path / "data"
    commits(data, 10, until_checkpoint=6)
    assert not inspect(data).is_log_missing
    for file in data.glob("log-*.wal"):
        file.unlink()
    found = inspect(data)
    assert (found.is_log_missing, found.damage, found.commit_ts) == (True, None, 6)
    directory = DataDirectory.open(data)
    assert directory.recover().recovery.is_log_missing
    directory.close()
    content(data)
    assert not inspect(data).is_log_missing, "a start leaves a log, and so does a stop"


def test_a_new_directory_misses_no_log(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert not inspect(tmp_path / "data").is_log_missing


class ReadOnlyFiles(OsFileSystem):
    """A file system mounted read-only, as a backup may be."""

    def lock_directory(self, path: str) -> int:
        raise OSError(errno.EROFS, "Read-only file system")


def test_a_copy_that_cannot_be_written_to_can_be_verified(tmp_path: Path) -> None:
    commits(tmp_path / "data", 3)
    assert inspect(tmp_path / "data", ReadOnlyFiles()).commit_ts == 3


# Repair


def test_what_is_not_damaged_is_not_repaired(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 3)
    before = files_of(data)
    with pytest.raises(DataDirectoryError, match="nothing to repair"):
        repair(data, tmp_path / "old")
    assert files_of(data) == before
    assert not (tmp_path / "old").exists()


@pytest.mark.parametrize("until_checkpoint", [None, 4])
def test_repair_keeps_the_prefix_before_the_damage(tmp_path: Path, until_checkpoint: int | None) -> None:
    data, old = tmp_path / "data", tmp_path / "old"
    commits(data, 10, until_checkpoint=until_checkpoint)
    damage(segment(data, until_checkpoint or 0), 7)
    before = files_of(data)
    done = repair(data, old)
    assert (done.kept_ts, done.keys, done.lost) == (6, 6, (7, 10))
    assert files_of(old) == before
    assert inspect(data).damage is None
    assert content(data) == expected(6)


def test_timestamps_of_lost_commits_are_not_used_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 10)
    damage(segment(data), 3)
    done = repair(data, tmp_path / "old")
    assert done.commit_ts > 10
    with mvcc_kv.open(data) as db, db.transaction() as tx:
        tx["new"] = 1
    assert tx.commit_ts == done.commit_ts + 1


def test_even_of_commits_that_nothing_can_be_read_of(tmp_path: Path) -> None:
    """A long damage may have held many commits: as many as there is room for are taken as used."""
    data = tmp_path / "data"
    commits(data, 60)
    file = segment(data)
    whole = records(file)
    contents = bytearray(file.read_bytes())
    contents[whole[9].offset : whole[58].offset] = b"\xaa" * (whole[58].offset - whole[9].offset)
    contents[whole[59].offset :] = b"\xaa" * (len(contents) - whole[59].offset)
    file.write_bytes(contents[: whole[59].end])
    found = inspect(data)
    assert found.damage is not None
    assert (found.commit_ts, found.known_ts) == (9, 59)
    assert repair(data, tmp_path / "old").commit_ts > 60


def test_a_damaged_checkpoint_is_rebuilt_from_a_log_that_reaches_back_to_the_first_commit(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 5)
    (data / "checkpoint.json").write_bytes(b'{"format": "mvcc-kv-checkpoint",\n"format_version": 1,\n"commit_ts": 5,\n')
    done = repair(data, tmp_path / "old")
    assert (done.kept_ts, done.lost) == (5, None)
    assert content(data) == expected(5)


def test_nothing_is_done_where_nothing_can_be_had(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 10, until_checkpoint=6)
    flip(data / "checkpoint.json", 90)
    before = files_of(data)
    with pytest.raises(DataDirectoryError, match="mvcc-kv restore"):
        repair(data, tmp_path / "old")
    assert files_of(data) == before
    assert not (tmp_path / "old").exists()


def test_an_unfinished_checkpoint_that_is_whole_can_bridge_a_damage(tmp_path: Path) -> None:
    data, later = tmp_path / "data", tmp_path / "later"
    commits(later, 8, until_checkpoint=8)
    commits(data, 10)
    damage(segment(data), 3)
    (data / "checkpoint.json.tmp").write_bytes((later / "checkpoint.json").read_bytes())
    done = repair(data, tmp_path / "old")
    assert (done.kept_ts, done.lost) == (8, (9, 10))
    assert content(data) == expected(8)
    assert {file.name for file in (tmp_path / "old").iterdir()} == {segment_name(0), "checkpoint.json.tmp"}


def test_files_of_a_newer_version_are_not_for_this_one_to_repair(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 3)
    (data / "checkpoint.json").write_bytes(b'{"format": "mvcc-kv-checkpoint", "format_version": 9}')
    with pytest.raises(DataDirectoryError, match="upgrade"):
        repair(data, tmp_path / "old")
    with pytest.raises(DataDirectoryError, match="upgrade"):
        restore(Checkpoint(1, {}), data, replaces=True)


def test_the_place_for_the_old_files_has_to_be_empty(tmp_path: Path) -> None:
    data, old = tmp_path / "data", tmp_path / "old"
    commits(data, 10)
    damage(segment(data), 3)
    old.mkdir()
    (old / "precious").touch()
    before = files_of(data)
    with pytest.raises(DataDirectoryError, match="not empty"):
        repair(data, old)
    assert files_of(data) == before


class OtherDevice(OsFileSystem):
    """Renames from one directory to another cross a border."""

    def rename(self, old: str, new: str) -> None:
        if Path(old).parent != Path(new).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        super().rename(old, new)


def test_the_old_files_may_go_to_another_disk(tmp_path: Path) -> None:
    data, old = tmp_path / "data", tmp_path / "old"
    commits(data, 10, until_checkpoint=4)
    damage(segment(data, 4), 7)
    before = files_of(data)
    repair(data, old, OtherDevice())
    assert files_of(old) == before
    assert content(data) == expected(6)


class CrashingFiles(OsFileSystem):
    """Every operation from the n-th on fails."""

    def __init__(self, left: int) -> None:
        self.left = left

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")

    def create(self, path: str) -> int:
        self._count()
        return super().create(path)

    def write(self, file: int, data: bytes) -> None:
        self._count()
        super().write(file, data)

    def rename(self, old: str, new: str) -> None:
        self._count()
        super().rename(old, new)

    def remove(self, path: str) -> None:
        self._count()
        super().remove(path)

    def sync_directory(self, path: str) -> None:
        self._count()
        super().sync_directory(path)


@pytest.mark.parametrize("left", range(20))
def test_a_repair_that_is_cut_short_is_never_taken_for_the_state_before_the_damage(tmp_path: Path, left: int) -> None:
    data, old = tmp_path / "data", tmp_path / "old"
    commits(data, 10, until_checkpoint=4)
    damage(segment(data, 4), 7)
    before = files_of(data)
    files = CrashingFiles(left)
    try:
        repair(data, old, files)
    except DataDirectoryError:
        assert files.left < 0
    else:
        assert files.left >= 0
    saved = files_of(old) if old.exists() else {}
    now = files_of(data)
    for name, was in before.items():
        assert was in (now.get(name), saved.get(name)), f"{name} is somewhere, as it was"
    with suppress(DataDirectoryError):  # it may still be refused, as the damage demands
        assert content(data) == expected(6)
    with suppress(DataDirectoryError):  # not damaged any more: it was all done
        done = repair(data, tmp_path / "later")
        assert (done.kept_ts, done.lost) == (6, (7, 10)), "a second run knows what the first one lost"
        assert files_of(Path(done.moved_to)) == before
    assert content(data) == expected(6)


@pytest.mark.parametrize("left", range(24))
def test_a_restore_that_is_cut_short_destroys_nothing_that_it_promised_to_keep(tmp_path: Path, left: int) -> None:
    """The new checkpoint used to go in place first: a start then dropped the segments that were still beside it.

    And until they were gone, their tokens told that commits were applied whose data wasn't there.
    """
    data = tmp_path / "data"
    commits(data, 10, until_checkpoint=4)
    before = files_of(data)
    files = CrashingFiles(left)
    with suppress(DataDirectoryError):
        restore(Checkpoint(2, {b"a": b"1"}), data, replaces=True, files=files)
    found = inspect(data)
    if found.damage is None:
        assert content(data) in (expected(10), {"a": 1}), "the one or the other, never nothing"
        return
    with pytest.raises(DataDirectoryError, match=f"a restore of .* was cut short, .*{data / 'replaced-1'}"):
        mvcc_kv.open(data)
    assert files_of(data).items() | files_of(data / "replaced-1").items() >= before.items()
    done = restore(Checkpoint(2, {b"b": b"2"}), data, replaces=True)
    assert (done.finished_to, done.moved_to) == (str(data / "replaced-1"), str(data / "replaced-2"))
    assert done.commit_ts > 10
    assert files_of(data / "replaced-1") == before
    assert content(data) == {"b": 2}


def test_a_half_copied_file_on_another_disk_is_copied_again(tmp_path: Path) -> None:
    data, old = tmp_path / "data", tmp_path / "old"
    commits(data, 10)
    damage(segment(data), 7)
    before = files_of(data)

    class Full(OtherDevice):
        def write(self, file: int, data: bytes) -> None:
            if len(data) > 10_000:
                super().write(file, data[:5_000])
                raise OSError(errno.ENOSPC, "No space left on device")
            super().write(file, data)

    with pytest.raises(DataDirectoryError, match="No space left"):
        repair(data, old, Full())
    with pytest.raises(DataDirectoryError, match="was cut short"):
        mvcc_kv.open(data)
    assert repair(data, tmp_path / "elsewhere", OtherDevice()).moved_to == str(old)
    assert files_of(old) == before
    assert content(data) == expected(6)


# Restore


def test_a_backup_goes_into_a_new_directory_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = restore(Checkpoint(42, {b"a": b"1.0"}), data)
    assert (done.commit_ts, done.keys, done.moved_to) == (42, 1, None)
    assert decode_checkpoint((data / "checkpoint.json").read_bytes()) == Checkpoint(42, {b"a": b"1.0"})
    with mvcc_kv.open(data) as db, db.transaction() as tx:
        tx["b"] = 1
    assert tx.commit_ts == 43


def test_timestamps_can_be_told_to_go_on_higher(tmp_path: Path) -> None:
    assert restore(Checkpoint(42, {}), tmp_path / "data", at_least_ts=1_000).commit_ts == 1_000
    assert restore(Checkpoint(42, {}), tmp_path / "other", at_least_ts=7).commit_ts == 42


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 3)
    before = files_of(data)
    with pytest.raises(DataDirectoryError, match="--force"):
        restore(Checkpoint(42, {}), data)
    assert files_of(data) == before


@pytest.mark.parametrize("damaging", [None, 7])
def test_what_is_replaced_moves_aside_and_timestamps_go_on_above_it(tmp_path: Path, damaging: int | None) -> None:
    data = tmp_path / "data"
    commits(data, 10, until_checkpoint=4)
    if damaging is not None:
        damage(segment(data, 4), damaging)
    before = files_of(data)
    done = restore(Checkpoint(2, {b"a": b"1"}), data, replaces=True)
    assert done.commit_ts > 10
    assert done.moved_to == str(data / "replaced-1")
    assert files_of(data / "replaced-1") == before
    assert content(data) == {"a": 1}
    assert restore(Checkpoint(2, {}), data, replaces=True).moved_to == str(data / "replaced-2")


def test_a_restored_directory_knows_that_it_has_forgotten_who_committed(tmp_path: Path) -> None:
    """A client in doubt about a commit is told that nobody knows, over restarts too; and not that it was lost."""
    data = tmp_path / "data"
    restore(Checkpoint(42, {}), data)
    for _ in range(2):
        with mvcc_kv.open(data) as db:
            store = db._store
            with pytest.raises(mvcc_kv.UnavailableError, match="forgotten"):
                store.outcome("token", 41)  # type: ignore[attr-defined]
            assert store.outcome("token", 42) is None  # type: ignore[attr-defined]
            db["a"] = 1


def test_a_segment_report_tells_of_what_is_not_needed(tmp_path: Path) -> None:
    """A crash between a checkpoint and the removal of the log before it."""
    data = tmp_path / "data"
    commits(data, 5)
    log = segment(data).read_bytes()
    with mvcc_kv.open(data) as db:
        db.checkpoint()
        db["k6"] = 6
        db.checkpoint()
    segment(data).write_bytes(log)
    found = inspect(data)
    assert found.damage is None
    reports: list[SegmentReport] = found.segments
    assert [report.state for report in reports] == ["not needed", "ok"]


def test_a_data_directory_under_repair_belongs_to_nobody_else(tmp_path: Path) -> None:
    data = tmp_path / "data"
    commits(data, 10)
    damage(segment(data), 3)
    holder = DataDirectory.open(data)
    with pytest.raises(DataDirectoryError, match="open in this process"):
        repair(data, tmp_path / "old")
    holder.close()


# Retained history


def retained(path: Path) -> None:
    """Commits 1 to 11 in four segments, the first three of which are kept for history; killed."""
    db = mvcc_kv.open(path, retain_bytes=1_000_000)
    for ts in range(1, 12):
        db[f"k{ts}"] = ts
        if ts in (3, 6, 9):
            db.checkpoint()
    _forget(db, path)


def past(path: Path) -> list[dict[str, int]]:
    """Every state that can be read, from the oldest on."""
    with mvcc_kv.open(path, retain_bytes=1_000_000) as db:
        stats, states = db.stats(), []
        for ts in range(stats["oldest_ts"], stats["visible_ts"] + 1):
            with db.transaction(at=ts) as tx:
                states.append(dict(tx.scan()))
    return states


def test_what_is_retained_is_no_damage_and_not_superfluous(tmp_path: Path) -> None:
    data = tmp_path / "data"
    retained(data)
    found = inspect(data)
    assert (found.damage, found.commit_ts, found.known_ts, found.is_end_known) == (None, 11, 11, True)
    assert states(found) == ["history", "history", "history", "ok"]
    assert [(it.first_ts, it.last_ts) for it in found.segments] == [(1, 3), (4, 6), (7, 9), (10, 11)]
    assert past(data) == [expected(ts) for ts in range(12)]


@pytest.mark.parametrize("at", [0, 8, 30, 70, 140, -1])
def test_a_damage_in_retained_history_is_told_as_what_it_is(tmp_path: Path, at: int) -> None:
    data = tmp_path / "data"
    retained(data)
    file = segment(data, 3)
    flip(file, at % file.stat().st_size)
    before = files_of(data)
    found = inspect(data)
    assert (found.damage, found.commit_ts, found.known_ts, found.bound_ts) == (None, 11, 11, 11)
    assert states(found) == ["history", "damaged history", "history", "ok"]
    assert found.is_end_known
    with pytest.raises(DataDirectoryError, match="not damaged"):
        repair(data, tmp_path / "old")
    assert files_of(data) == before
    assert past(data) == [expected(ts) for ts in range(6, 12)]


def test_a_retained_segment_that_is_missing_or_can_not_be_read_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    retained(data)
    segment(data, 3).unlink()
    found = inspect(data)
    assert (found.damage, states(found)) == (None, ["damaged history", "history", "ok"])
    segment(data, 0).write_bytes(b"")
    found = inspect(data)
    assert (found.damage, states(found)) == (None, ["damaged history", "history", "ok"])
    assert past(data) == [expected(ts) for ts in range(6, 12)]


def test_every_retained_segment_that_is_damaged_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    retained(data)
    segment(data, 0).write_bytes(b"")
    segment(data, 3).write_bytes(b"what is this")
    found = inspect(data)
    assert (found.damage, states(found)) == (None, ["damaged history", "damaged history", "history", "ok"])
    flip(segment(data, 6), 150)
    assert states(inspect(data)) == ["damaged history", "damaged history", "damaged history", "ok"]
    assert past(data) == [expected(ts) for ts in range(9, 12)]


def test_a_repair_keeps_the_data_and_history_begins_behind_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    retained(data)
    damage(segment(data, 9), 10)
    assert states(inspect(data)) == ["history", "history", "history", "damaged"]
    done = repair(data, tmp_path / "old")
    assert (done.kept_ts, done.lost, done.commit_ts) == (9, (10, 11), 12)
    assert sorted(file.name for file in data.iterdir()) == ["checkpoint.json"]
    assert past(data) == [expected(9)]


def test_a_restore_of_a_directory_that_retains_history_reads_all_of_its_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    retained(data)
    content = read_content(data)
    assert content.commit_ts == 11 and content.items == {f"k{ts}".encode(): b"%d" % ts for ts in range(1, 12)}
    done = restore(content, data, replaces=True)
    assert done.commit_ts == 12
    assert past(data) == [expected(11)]
