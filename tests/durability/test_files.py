"""The operating system's files: what the checkpoint relies on beyond what `os` says."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mvcc_kv.durability import OsFileSystem


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, really_write = OsFileSystem(), os.write
    monkeypatch.setattr(os, "write", lambda file, data: really_write(file, data[:3]))
    file = files.create(str(tmp_path / "a"))
    files.write(file, b"0123456789")
    files.close(file)
    assert files.read(str(tmp_path / "a")) == b"0123456789"


def test_an_existing_file_is_not_created_anew(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"kept")
    with pytest.raises(FileExistsError):
        OsFileSystem().create(str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == b"kept"


def test_a_directory_that_can_not_be_written_to_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # for root there is no other
    with pytest.raises(PermissionError):
        OsFileSystem().lock_directory(str(tmp_path))
    monkeypatch.undo()
    os.close(OsFileSystem().lock_directory(str(tmp_path)))


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    OsFileSystem().remove(str(tmp_path / "a"))


def test_a_lock_that_nobody_holds_has_no_holder(tmp_path: Path) -> None:
    assert OsFileSystem().lock_holder(str(tmp_path)) is None
    assert OsFileSystem().lock_holder(str(tmp_path / "missing")) is None


def test_a_directory_that_is_made_is_on_disk_with_all_its_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(OsFileSystem, "sync_directory", lambda self, path: synced.append(path))
    OsFileSystem().make_directory(str(tmp_path / "a" / "b" / "c"))
    assert synced == [str(tmp_path / "a" / "b"), str(tmp_path / "a"), str(tmp_path)]
    assert (tmp_path / "a" / "b" / "c").stat().st_mode & 0o777 == 0o700


def test_a_file_is_written_in_any_place_set_aside_and_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, really_write, path = OsFileSystem(), os.pwrite, str(tmp_path / "a")
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: really_write(file, data[:3], offset))
    file = files.create(path)
    files.allocate(file, 20)
    files.write_at(file, b"0123456789", 4)
    files.sync_data(file)
    files.close(file)
    assert files.read(path) == bytes(4) + b"0123456789" + bytes(6)
    files.truncate(path, 6)
    assert files.read(path) == bytes(4) + b"01"
    assert files.list(str(tmp_path)) == ["a"]


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENOSPC])
def test_where_no_space_can_be_set_aside_zeros_will_do_but_a_full_disk_is_told(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, offset: int, size: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    files, path = OsFileSystem(), str(tmp_path / "a")
    file = files.create(path)
    if code == errno.ENOSPC:
        with pytest.raises(OSError, match="No space left"):
            files.allocate(file, 20)
    else:
        files.allocate(file, 20)
        assert files.read(path) == bytes(20)
    files.close(file)


def test_no_program_that_is_started_inherits_a_file(tmp_path: Path) -> None:
    files = OsFileSystem()
    opened = [files.create(str(tmp_path / "a")), files.lock_directory(str(tmp_path))]
    assert not any(map(os.get_inheritable, opened))
    for file in opened:
        files.close(file)
