"""The operating system's files: what the checkpoint relies on beyond what `os` says."""

from __future__ import annotations

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
