"""The operating system's files, with a record of what was done to them and failures on demand."""

from __future__ import annotations

import errno
import os
from pathlib import PurePath

from mvcc_kv.durability import FileSystem, OsFileSystem


class FaultyFiles:
    """Satisfies `FileSystem`. `calls` has an (operation, file names) entry for each call, `lock_holder` aside."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.open_files: set[int] = set()
        self._files: FileSystem = OsFileSystem()
        self._failures: dict[str, int] = {}

    def fail(self, operation: str, error: int = errno.EIO) -> None:
        """From now on the operation fails with this errno, after doing half of it where that can be."""
        self._failures[operation] = error

    def mend(self) -> None:
        """From now on everything works."""
        self._failures.clear()

    @property
    def operations(self) -> list[str]:
        return [call[0] for call in self.calls]

    def _enter(self, operation: str, *paths: str) -> None:
        self.calls.append((operation, *(PurePath(path).name for path in paths)))
        if operation in self._failures:
            code = self._failures[operation]
            raise OSError(code, os.strerror(code))

    def make_directory(self, path: str) -> None:
        self._enter("make_directory", path)
        self._files.make_directory(path)

    def lock_directory(self, path: str) -> int:
        self._enter("lock_directory", path)
        return self._files.lock_directory(path)

    def lock_holder(self, path: str) -> int | None:
        return self._files.lock_holder(path)

    def sync_directory(self, path: str) -> None:
        self._enter("sync_directory", path)
        self._files.sync_directory(path)

    def read(self, path: str) -> bytes:
        self._enter("read", path)
        return self._files.read(path)

    def create(self, path: str) -> int:
        self._enter("create", path)
        file = self._files.create(path)
        self.open_files.add(file)
        return file

    def write(self, file: int, data: bytes) -> None:
        if "write" in self._failures:
            self._files.write(file, data[: len(data) // 2])
        self._enter("write")
        self._files.write(file, data)

    def write_at(self, file: int, data: bytes, offset: int) -> None:
        if "write_at" in self._failures:
            self._files.write_at(file, data[: len(data) // 2], offset)
        self._enter("write_at")
        self._files.write_at(file, data, offset)

    def allocate(self, file: int, size: int) -> None:
        self._enter("allocate")
        self._files.allocate(file, size)

    def truncate(self, path: str, size: int) -> None:
        self._enter("truncate", path)
        self._files.truncate(path, size)

    def list(self, path: str) -> list[str]:
        self._enter("list", path)
        return self._files.list(path)

    def sync_data(self, file: int) -> None:
        self._enter("sync_data")
        self._files.sync_data(file)

    def sync(self, file: int) -> None:
        self._enter("sync")
        self._files.sync(file)

    def close(self, file: int) -> None:
        self._files.close(file)
        self.open_files.discard(file)
        self._enter("close")

    def rename(self, old: str, new: str) -> None:
        self._enter("rename", old, new)
        self._files.rename(old, new)

    def remove(self, path: str) -> None:
        self._enter("remove", path)
        self._files.remove(path)
