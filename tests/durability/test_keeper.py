"""The keeper: an embedded store is on disk when its user is done, whether they said so or not."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import mvcc_kv
from mvcc_kv.durability import Checkpoint, DataDirectory, DirectoryKeeper, decode_checkpoint, open_directory
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import DataDirectoryError, UnavailableError

from .faulty_files import FaultyFiles


def on_disk(path: Path) -> Checkpoint:
    return decode_checkpoint((path / "checkpoint.json").read_bytes())


def run_python(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    opening = (
        "import os, sys\nfrom mvcc_kv.durability import open_directory\nfrom mvcc_kv.engine import VersionedStore\n"
        "from mvcc_kv.errors import DataDirectoryError, UnavailableError\n"
        "store, keeper = open_directory(sys.argv[1], VersionedStore)\n"
    )
    return subprocess.run([sys.executable, "-c", opening + script, str(path)], capture_output=True, text=True)


def test_what_was_kept_is_there_at_the_next_opening(tmp_path: Path) -> None:
    store, keeper = open_directory(tmp_path, VersionedStore)
    store.put(b"a", b"1.0")
    store.put(b"a", b"2.0")
    keeper.close()
    again, keeper = open_directory(tmp_path, VersionedStore)
    assert again.get(b"a") == b"2.0"
    assert again.commit_ts == 2
    assert again.begin().start_ts == 2
    keeper.close()


def test_checkpoint_returns_what_is_on_disk(tmp_path: Path) -> None:
    store, keeper = open_directory(tmp_path, VersionedStore)
    store.put(b"a", b"1")
    assert keeper.checkpoint() == 1
    assert on_disk(tmp_path) == Checkpoint(1, {b"a": b"1"})
    keeper.close()


def test_close_writes_nothing_when_there_is_nothing_new(tmp_path: Path) -> None:
    store, keeper = open_directory(tmp_path, VersionedStore)
    store.put(b"a", b"1")
    keeper.close()
    before = (tmp_path / "checkpoint.json").stat()
    store, keeper = open_directory(tmp_path, VersionedStore)
    store.get(b"a")
    keeper.close()
    after = (tmp_path / "checkpoint.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_close_can_be_called_again_and_a_checkpoint_after_it_is_refused(tmp_path: Path) -> None:
    store, keeper = open_directory(tmp_path, VersionedStore)
    keeper.close()
    keeper.close()
    with pytest.raises(UnavailableError, match="closed"):
        keeper.checkpoint()
    assert store.stats()["active_transactions"] == 0


def test_a_close_that_fails_can_be_tried_again(tmp_path: Path) -> None:
    files = FaultyFiles()
    store, keeper = open_directory(tmp_path, VersionedStore, files=files)
    store.put(b"a", b"1")
    files.fail("sync", errno.ENOSPC)
    with pytest.raises(UnavailableError, match="No space left"):
        keeper.close()
    with pytest.raises(DataDirectoryError):
        DataDirectory.open(tmp_path)
    files.mend()
    keeper.close()
    assert on_disk(tmp_path).items == {b"a": b"1"}
    DataDirectory.open(tmp_path).close()


def test_a_refused_opening_gives_the_lock_back(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.json").write_bytes(b"{}")
    for _ in range(2):
        with pytest.raises(DataDirectoryError, match="not mvcc-kv's"):
            open_directory(tmp_path, VersionedStore)


def test_a_store_that_is_dropped_is_put_away(tmp_path: Path) -> None:
    store, keeper = open_directory(tmp_path, VersionedStore)
    store.put(b"a", b"1")
    del store, keeper
    gc.collect()
    assert on_disk(tmp_path).items == {b"a": b"1"}
    DataDirectory.open(tmp_path).close()


def test_a_program_that_just_ends_keeps_what_it_committed(tmp_path: Path) -> None:
    done = run_python('store.put(b"a", b"1")', tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert on_disk(tmp_path).items == {b"a": b"1"}


def test_a_program_that_ends_with_an_error_keeps_what_it_committed(tmp_path: Path) -> None:
    done = run_python('store.put(b"a", b"1")\nraise SystemExit(3)', tmp_path)
    assert done.returncode == 3
    assert on_disk(tmp_path).items == {b"a": b"1"}


def test_a_fork_writes_nothing_and_leaves_the_lock_with_its_parent(tmp_path: Path) -> None:
    done = run_python(
        'store.put(b"a", b"1")\n'
        "if os.fork() == 0:\n"
        "    try:\n"
        '        store.put(b"a", b\'"of the fork"\')\n'
        "    except UnavailableError as error:\n"
        "        assert 'forked' in str(error) and 'disk' not in str(error), error\n"
        "        sys.exit(7)  # runs the finalizers, as the parent's end will\n"
        "assert os.waitstatus_to_exitcode(os.wait()[1]) == 7\n"
        "assert os.listdir(sys.argv[1]) == ['log-00000000000000000001.wal']\n"
        'store.put(b"b", b"2")\n'
        "from mvcc_kv.durability import DataDirectory\n"
        "try:\n    DataDirectory.open(sys.argv[1])\n"
        "except DataDirectoryError:\n    print('still locked')\n",
        tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "still locked\n", "")
    assert on_disk(tmp_path).items == {b"a": b"1", b"b": b"2"}


def test_threads_take_turns(tmp_path: Path) -> None:
    store, keeper = open_directory(tmp_path, VersionedStore)
    failures: list[BaseException] = []

    def work(keeper: DirectoryKeeper) -> None:
        try:
            for _ in range(5):
                store.put(b"a", b"1")
                keeper.checkpoint()
        except BaseException as error:  # noqa: BLE001 (handed to the test)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(keeper,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keeper.close()
    assert failures == []
    assert on_disk(tmp_path).commit_ts == 20


def test_opening_and_closing_an_empty_directory_leaves_it_empty(tmp_path: Path) -> None:
    mvcc_kv.open(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_directory_holds_no_space_for_what_may_come(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path) as db:
        db["a"] = 1
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 4096


def test_opening_and_closing_leaves_no_descriptor_open(tmp_path: Path) -> None:
    def open_descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = open_descriptors()
    for _ in range(3):
        store, keeper = open_directory(tmp_path, VersionedStore, fsync="interval")
        store.put(b"a", b"1")
        keeper.checkpoint()
        keeper.close()
    (tmp_path / "checkpoint.json").write_bytes(b"{}")
    with pytest.raises(DataDirectoryError):
        open_directory(tmp_path, VersionedStore)
    assert open_descriptors() == before
