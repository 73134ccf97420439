"""A disk with little room left takes commits until it is really full, and a start says how much room it needs."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

import mvcc_kv
from mvcc_kv.durability import OsFileSystem, open_directory
from mvcc_kv.durability.records import segment_name
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import UnavailableError

KIB, MIB = 1024, 1024 * 1024


class SmallDisk(OsFileSystem):
    """There is room for files of so many bytes, and not for larger ones."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.allocated: list[int] = []

    def allocate(self, file: int, size: int) -> None:
        if size > self.room_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.allocated.append(size)
        super().allocate(file, size)


def put(store: VersionedStore, size_bytes: int) -> None:
    store.put(b"k", b'"%b"' % (b"x" * size_bytes))


def test_a_segment_is_made_where_there_is_no_room_for_a_large_one(tmp_path: Path) -> None:
    """16 MiB or nothing was the rule: a start was refused with 15 MiB to spare."""
    for room_bytes, expected in ((32 * MIB, 16 * MIB), (5 * MIB, MIB), (10 * KIB, None)):
        files = SmallDisk(room_bytes)
        path = tmp_path / str(room_bytes)
        store, keeper = open_directory(path, VersionedStore, files=files)
        put(store, 100)
        keeper.close()
        assert files.allocated[0] <= room_bytes
        if expected is not None:
            assert files.allocated[0] == expected
        with mvcc_kv.open(path) as db:
            assert db["k"] == "x" * 100


def test_commits_are_taken_until_the_disk_is_really_full(tmp_path: Path) -> None:
    files = SmallDisk(1536 * KIB)
    store, keeper = open_directory(tmp_path / "data", VersionedStore, files=files)
    for _ in range(15):
        put(store, 100 * KIB)
    assert files.allocated[0] == MIB, "a small step first, then just what is needed"
    assert all(MIB < size <= files.room_bytes for size in files.allocated[1:])
    with pytest.raises(UnavailableError, match="No space left"):
        put(store, 100 * KIB)
    assert store.visible_ts == 15
    keeper.close()
    with mvcc_kv.open(tmp_path / "data") as db:
        assert db["k"] == "x" * 100 * KIB


def test_a_start_without_room_says_how_much_it_takes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with mvcc_kv.open(data) as db:
        for _ in range(3):
            db["k"] = "x" * KIB
        as_killed = (data / segment_name(0)).read_bytes()
    for file in data.iterdir():
        file.unlink()
    (data / segment_name(0)).write_bytes(as_killed)
    with pytest.raises(UnavailableError, match=r"make room for 3\d\d\d bytes at least.* 16 MiB"):
        open_directory(data, VersionedStore, files=SmallDisk(0))
    assert (data / segment_name(0)).read_bytes() == as_killed
    with mvcc_kv.open(data) as db:
        assert db["k"] == "x" * KIB
