"""A disk that loses what was not synced: what is left after a kill, a failed sync and an end in peace."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import mvcc_kv
from mvcc_kv.cli.stress_wiring import Connector
from mvcc_kv.stress.disk import VolatileFiles
from mvcc_kv.stress.server import ServerTarget

connect_to = partial(Connector, password=None, timeout_s=10.0, commit_timeout_s=0.0)


class Disk:
    """Volatile files with one of them open, and what the system has of it."""

    def __init__(self, path: Path) -> None:
        self.flag = path / "flag"
        self.path = path / "file"
        self.files = VolatileFiles(self.flag)
        self.file = self.files.create(str(self.path))

    @property
    def kept(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_what_is_written_is_kept_when_it_is_synced_and_no_sooner(disk: Disk) -> None:
    disk.files.write_at(disk.file, b"one", 0)
    assert disk.kept == b""
    disk.files.sync_data(disk.file)
    assert disk.kept == b"one"
    disk.files.write_at(disk.file, b"two", 3)
    disk.files.write_at(disk.file, b"TWO", 3)
    assert disk.kept == b"one"
    disk.files.sync(disk.file)
    assert disk.kept == b"oneTWO", "the later write goes on top"


def test_a_failed_sync_loses_what_it_was_for_and_the_next_one_does_not_bring_it_back(disk: Disk) -> None:
    disk.files.write(disk.file, b"one")
    disk.flag.touch()
    for sync in (disk.files.sync, disk.files.sync_data):
        with pytest.raises(OSError, match="Input/output error"):
            sync(disk.file)
    disk.flag.unlink()
    disk.files.sync(disk.file)
    assert disk.kept == b""


def test_the_process_itself_reads_what_it_has_written(disk: Disk) -> None:
    disk.files.write(disk.file, b"one")
    assert disk.files.read(str(disk.path)) == b"one"
    disk.files.write(disk.file, b"two")
    disk.files.truncate(str(disk.path), 4)
    assert disk.kept == b"onet"


def test_what_is_closed_without_a_sync_is_held_all_the_same(disk: Disk) -> None:
    disk.files.write(disk.file, b"one")
    disk.files.close(disk.file)
    assert disk.kept == b""
    disk.files.hand_over()
    assert disk.kept == b"one"


def started(tmp_path: Path, fsync: str) -> ServerTarget:
    flag = tmp_path / "flag"

    def command(port: int) -> list[str]:
        place = ["--port", str(port), "--data-dir", str(tmp_path / "data"), "--fsync", fsync]
        through = [sys.executable, "-m", "mvcc_kv.stress.disk", str(flag)]
        return [*through, "mvcc_kv", "serve", *place, "--log-level", "error"]

    return ServerTarget(command, connect_to, tmp_path / "server.log", syncs_fail=flag)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[ServerTarget]:
    target = started(tmp_path, "always")
    yield target
    target.stop()


def value_after(target: ServerTarget) -> object:
    target.restart()
    with mvcc_kv.connect(target.address) as db:
        return db.get("k")


def test_what_a_server_synced_survives_a_kill(target: ServerTarget) -> None:
    with mvcc_kv.connect(target.address) as db:
        db["k"] = 1
    target.kill()
    assert value_after(target) == 1


def test_what_a_server_did_not_sync_survives_its_end_in_peace_and_not_a_kill(tmp_path: Path) -> None:
    target = started(tmp_path, "never")
    for end, value in ((target.stop, 1), (target.kill, 2)):
        with mvcc_kv.connect(target.address) as db:
            db["k"] = value
        end()
        assert value_after(target) == 1
    target.stop()


def test_a_failed_sync_ends_commits_until_a_start_without_it(target: ServerTarget) -> None:
    with mvcc_kv.connect(target.address, commit_timeout_s=0) as db:
        db["k"] = 1
        target.fail_syncs()
        with pytest.raises(mvcc_kv.Error):
            db["k"] = 2
        assert db["k"] == 1
    target.kill()
    target.mend_syncs()
    assert value_after(target) == 1
    assert target.complaints() == []
