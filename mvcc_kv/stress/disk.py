"""A disk that loses what was not synced, for a server that is started through here.

    python -m mvcc_kv.stress.disk FLAG mvcc_kv serve ...

runs the module `mvcc_kv` with those arguments. What it writes into its data directory is held in this process until it
is synced, and only then handed to the system:

    write 1, sync     handed over          SIGKILL     1 is there; 2 is gone, as if the power had failed
    write 2           held                 SIGTERM     both are there: the system writes what it was given in peace

So a plain SIGKILL, which takes nothing from the system's page cache, finds who acknowledges before it syncs. While the
file FLAG is there every sync fails with EIO, and what was held for that file is gone, as Linux has it: pages that can't
be written count as clean (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).

Names are not held: what is created, renamed or removed is so at once. That a name can be lost as well, or come before
its content, is for the simulated disk of the tests.
"""

from __future__ import annotations

import atexit
import errno
import os
import runpy
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from mvcc_kv.durability import directory
from mvcc_kv.durability.files import OsFileSystem

__all__ = ["VolatileFiles", "run_with"]


class VolatileFiles:
    """Satisfies `FileSystem`: the operating system's files, which keep what was written only when it is synced."""

    def __init__(self, flag: Path) -> None:
        self._flag = flag
        self._disk = OsFileSystem()
        self._lock = Lock()  # a log is written beside its sync
        self._held: dict[int, list[tuple[int | None, bytes]]] = {}

    def __getattr__(self, name: str) -> Any:
        """What needs no holding back."""
        return getattr(self._disk, name)

    def write(self, file: int, data: bytes) -> None:
        with self._lock:
            self._held.setdefault(file, []).append((None, data))

    def write_at(self, file: int, data: bytes, offset: int) -> None:
        with self._lock:
            self._held.setdefault(file, []).append((offset, data))

    def sync(self, file: int) -> None:
        self._hand_over_or_fail(file)
        self._disk.sync(file)

    def sync_data(self, file: int) -> None:
        self._hand_over_or_fail(file)
        self._disk.sync_data(file)

    def close(self, file: int) -> None:
        """What was not synced stays held, under a descriptor of our own."""
        with self._lock:
            held = self._held.pop(file, None)
            if held:
                self._held[os.dup(file)] = held
        self._disk.close(file)

    def read(self, path: str) -> bytes:
        self.hand_over()
        return self._disk.read(path)

    def truncate(self, path: str, size: int) -> None:
        self.hand_over()
        self._disk.truncate(path, size)

    def hand_over(self) -> None:
        """Give the system all that is held: nobody may notice that it was."""
        with self._lock:
            for file in list(self._held):
                self._write_held(file)

    def _hand_over_or_fail(self, file: int) -> None:
        with self._lock:
            if self._flag.exists():
                self._held.pop(file, None)
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            self._write_held(file)

    def _write_held(self, file: int) -> None:
        for offset, data in self._held.pop(file, ()):
            if offset is None:
                self._disk.write(file, data)
            else:
                self._disk.write_at(file, data, offset)


def run_with(files: VolatileFiles, module: str, arguments: list[str]) -> None:
    """Run the module as a program of its own, whose data directories are on these files."""

    def hand_over() -> None:
        with suppress(OSError):  # a disk that is full stays so
            files.hand_over()

    atexit.register(hand_over)
    vars(directory)["OsFileSystem"] = lambda: files
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_with(VolatileFiles(Path(sys.argv[1])), sys.argv[2], sys.argv[3:])
