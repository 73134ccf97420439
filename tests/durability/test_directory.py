"""The data directory: who holds it, in what order a checkpoint reaches the disk, and what a failure leaves behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mvcc_kv.api import TransactionOptions
from mvcc_kv.durability import Checkpoint, DataDirectory, OsFileSystem
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import DataDirectoryError, UnavailableError

from .faulty_files import FaultyFiles

READ_ONLY = TransactionOptions(read_only=True)
STEPS = ["remove", "create", "write", "sync", "close", "rename", "sync_directory"]

HOLD_THE_LOCK = """
import sys
from mvcc_kv.durability import DataDirectory
directory = DataDirectory.open(sys.argv[1])
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def files() -> FaultyFiles:
    return FaultyFiles()


@pytest.fixture
def directory(tmp_path: Path, files: FaultyFiles) -> Iterator[DataDirectory]:
    directory = DataDirectory.open(tmp_path, files)
    yield directory
    directory.close()


@pytest.fixture
def store() -> VersionedStore:
    store = VersionedStore()
    store.put(b"a", b"1")
    return store


def write_checkpoint(directory: DataDirectory, store: VersionedStore) -> int:
    return directory.begin_checkpoint(store.begin(READ_ONLY)).run()


def state_of(path: Path) -> dict[str, tuple[int, bytes]]:
    """All that a start may not change: every entry's name, mtime and bytes, and the directory's own mtime."""
    entries = {entry.name: (entry.stat().st_mtime_ns, entry.read_bytes()) for entry in path.iterdir()}
    return {".": (path.stat().st_mtime_ns, b""), **entries}


# Checkpoints


def test_a_new_directory_is_empty_and_has_no_checkpoint(directory: DataDirectory) -> None:
    assert directory.load() == Checkpoint(0, {})
    assert directory.checkpoint_ts is None


def test_a_checkpoint_is_loaded_by_the_next_opening(directory: DataDirectory, store: VersionedStore) -> None:
    assert write_checkpoint(directory, store) == directory.checkpoint_ts == 1
    directory.close()
    again = DataDirectory.open(directory.path)
    assert again.load() == Checkpoint(1, {b"a": b"1"})
    assert again.checkpoint_ts == 1
    again.close()


def test_the_file_is_synced_before_it_is_renamed_and_the_directory_after(
    directory: DataDirectory, store: VersionedStore, files: FaultyFiles
) -> None:
    files.calls.clear()
    write_checkpoint(directory, store)
    assert [call for call in files.calls if call[0] != "write"] == [
        ("remove", "checkpoint.json.tmp"),
        ("create", "checkpoint.json.tmp"),
        ("sync",),
        ("close",),
        ("rename", "checkpoint.json.tmp", "checkpoint.json"),
        ("sync_directory", os.path.basename(directory.path)),
    ]
    assert files.operations.index("sync") == len(files.operations) - 4, "nothing is written after the fsync"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o377, 0o777])
def test_the_file_is_its_owners_alone_under_any_umask(
    directory: DataDirectory, store: VersionedStore, umask: int
) -> None:
    before = os.umask(umask)
    try:
        write_checkpoint(directory, store)
    finally:
        os.umask(before)
    assert os.stat(directory.checkpoint_path).st_mode & 0o777 == 0o600


def test_what_a_crash_left_is_ignored_and_then_replaced(directory: DataDirectory, store: VersionedStore) -> None:
    left = Path(f"{directory.checkpoint_path}.tmp")
    left.write_bytes(b'{"format": "mvcc-kv-che')
    left.chmod(0o444)
    assert directory.load() == Checkpoint(0, {})
    write_checkpoint(directory, store)
    assert directory.load().items == {b"a": b"1"}
    assert os.listdir(directory.path) == ["checkpoint.json"]


def test_a_link_in_the_temporary_files_place_is_not_followed(
    directory: DataDirectory, store: VersionedStore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    victim = tmp_path_factory.mktemp("elsewhere") / "victim"
    victim.write_bytes(b"precious")
    os.symlink(victim, f"{directory.checkpoint_path}.tmp")
    write_checkpoint(directory, store)
    assert victim.read_bytes() == b"precious"


def test_only_one_checkpoint_is_written_at_a_time(directory: DataDirectory, store: VersionedStore) -> None:
    job = directory.begin_checkpoint(store.begin(READ_ONLY))
    with pytest.raises(UnavailableError, match="being written already") as refused:
        directory.begin_checkpoint(store.begin(READ_ONLY))
    assert refused.value.retryable
    assert job.run() == 1
    assert write_checkpoint(directory, store) == 1
    assert store.stats()["active_transactions"] == 0


def test_beginning_a_checkpoint_touches_no_file(
    directory: DataDirectory, store: VersionedStore, files: FaultyFiles
) -> None:
    files.calls.clear()
    job = directory.begin_checkpoint(store.begin(READ_ONLY))
    list(job.chunks)
    assert files.calls == []


def test_a_checkpoint_is_not_put_in_place_before_its_last_chunk(
    directory: DataDirectory, store: VersionedStore, tmp_path: Path
) -> None:
    write_checkpoint(directory, store)
    before = Path(directory.checkpoint_path).read_bytes()
    job = directory.begin_checkpoint(store.begin(READ_ONLY))
    job.write(next(job.chunks))
    with pytest.raises(RuntimeError):
        job.finish()
    job.chunks.close()
    job.abandon()
    assert state_of(tmp_path).keys() == {".", "checkpoint.json"}
    assert Path(directory.checkpoint_path).read_bytes() == before


# Failures


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("operation", STEPS)
def test_a_failure_at_any_step_leaves_a_whole_checkpoint_and_the_next_one_works(
    directory: DataDirectory, store: VersionedStore, files: FaultyFiles, operation: str, error: int
) -> None:
    write_checkpoint(directory, store)
    store.put(b"b", b"2")
    files.fail(operation, error)
    with pytest.raises(UnavailableError, match=os.strerror(error)) as failed:
        write_checkpoint(directory, store)
    assert failed.value.retryable
    assert isinstance(failed.value.__cause__, OSError)
    assert directory.checkpoint_ts == 1
    assert store.stats()["active_transactions"] == 0
    assert not files.open_files

    files.mend()
    is_in_place = operation == "sync_directory"  # whole, only not known to be on disk
    assert OsFileSystem().read(directory.checkpoint_path).count(b'"b": 2') == is_in_place
    assert write_checkpoint(directory, store) == 2
    assert directory.load() == Checkpoint(2, {b"a": b"1", b"b": b"2"})
    assert os.listdir(directory.path) == ["checkpoint.json"]


def test_a_failed_write_leaves_no_temporary_file(
    directory: DataDirectory, store: VersionedStore, files: FaultyFiles
) -> None:
    files.fail("write", errno.ENOSPC)
    with pytest.raises(UnavailableError):
        write_checkpoint(directory, store)
    assert os.listdir(directory.path) == []


def test_a_job_that_failed_takes_nothing_more(
    directory: DataDirectory, store: VersionedStore, files: FaultyFiles
) -> None:
    job = directory.begin_checkpoint(store.begin(READ_ONLY))
    files.fail("write")
    with pytest.raises(UnavailableError):
        job.write(next(job.chunks))
    files.mend()
    with pytest.raises(UnavailableError, match="is over"):
        job.write(next(job.chunks))
    with pytest.raises(UnavailableError, match="is over"):
        job.finish()
    job.abandon()
    job.chunks.close()
    assert os.listdir(directory.path) == []


def test_a_stale_job_does_not_end_its_successor(directory: DataDirectory, store: VersionedStore) -> None:
    stale = directory.begin_checkpoint(store.begin(READ_ONLY))
    stale.chunks.close()
    stale.abandon()
    job = directory.begin_checkpoint(store.begin(READ_ONLY))
    stale.abandon()
    with pytest.raises(UnavailableError, match="being written already"):
        directory.begin_checkpoint(store.begin(READ_ONLY))
    assert job.run() == 1


def test_closing_abandons_the_checkpoint_being_written(directory: DataDirectory, store: VersionedStore) -> None:
    job = directory.begin_checkpoint(store.begin(READ_ONLY))
    job.write(next(job.chunks))
    directory.close()
    job.chunks.close()
    assert os.listdir(directory.path) == []
    with pytest.raises(UnavailableError, match="closed"):
        write_checkpoint(directory, store)
    assert store.stats()["active_transactions"] == 0


# Starts that are refused


def test_another_process_can_not_open_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        before = state_of(tmp_path)
        with pytest.raises(DataDirectoryError, match="in use by another process") as refused:
            DataDirectory.open(tmp_path)
        assert refused.value.evidence["pid"] in (holder.pid, None)
        assert state_of(tmp_path) == before
        holder.communicate()
    DataDirectory.open(tmp_path).close()


def test_the_same_process_can_not_open_it_twice(directory: DataDirectory) -> None:
    with pytest.raises(DataDirectoryError, match=r"open in this process already|in use by another process"):
        DataDirectory.open(directory.path)
    directory.close()
    directory.close()
    DataDirectory.open(directory.path).close()


@pytest.mark.parametrize("text", [b"", b"{}", b'{"format": "mvcc-kv-checkpoint", "format_version": 3}', b"\xff"])
def test_a_refused_start_changes_nothing_on_disk(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "checkpoint.json").write_bytes(text)
    (tmp_path / "checkpoint.json.tmp").write_bytes(b"left over")
    before = state_of(tmp_path)
    directory = DataDirectory.open(tmp_path)
    with pytest.raises(DataDirectoryError, match=r"checkpoint\.json' is"):
        directory.load()
    directory.close()
    assert state_of(tmp_path) == before


@pytest.mark.parametrize("operation", ["make_directory", "lock_directory"])
def test_a_directory_that_can_not_be_used_is_refused_with_the_reason(
    tmp_path: Path, files: FaultyFiles, operation: str
) -> None:
    files.fail(operation, errno.EACCES)
    with pytest.raises(DataDirectoryError, match="Permission denied; check the path"):
        DataDirectory.open(tmp_path, files)


def test_a_file_in_the_directorys_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(DataDirectoryError, match="Not a directory"):
        DataDirectory.open(tmp_path / "data")


def test_a_checkpoint_that_can_not_be_read_is_refused(directory: DataDirectory, files: FaultyFiles) -> None:
    files.fail("read")
    with pytest.raises(DataDirectoryError, match="can't be read: Input/output error"):
        directory.load()


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    DataDirectory.open(tmp_path / "new" / "data").close()
    assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700
