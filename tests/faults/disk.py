"""A simulated disk: it knows what was synced and what was not, fails on demand, and forgets at a crash.

    process sees   the cache: every write, at once
    disk has       what was synced, and of what came after whatever a crash policy picks: sector by sector, name by name

A sync that fails is the end of what it should have synced: the cache goes on showing it, no later sync writes it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Protocol

SECTOR_BYTES = 512


class PowerLoss(BaseException):
    """The machine is gone in the middle of an operation. Nobody catches it but the test."""


class CrashPolicy(Protocol):
    """What a crash leaves of what was not synced."""

    def keep_names(self, changes: int) -> list[bool]:
        """Of a directory's changes, oldest first, those that are on disk."""
        ...

    def keep_sectors(self, versions: int, sectors: int) -> list[int]:
        """For each sector, which of a file's versions is on disk: 0 is what was synced, the last one the newest."""
        ...

    def keep_size(self, versions: int) -> int:
        """Which version's size the file has."""
        ...


@dataclass(frozen=True)
class Whole:
    """All of the names, or none; all of the data, or none."""

    names: bool
    data: bool

    def keep_names(self, changes: int) -> list[bool]:
        return [self.names] * changes

    def keep_sectors(self, versions: int, sectors: int) -> list[int]:
        return [versions - 1 if self.data else 0] * sectors

    def keep_size(self, versions: int) -> int:
        return versions - 1 if self.data else 0


class Scatter:
    """A prefix of the changes, or any of them; of each file any prefix, or any mixture of sectors."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def keep_names(self, changes: int) -> list[bool]:
        if self._random.random() < 0.5:
            kept = self._random.randint(0, changes)
            return [at < kept for at in range(changes)]
        return [self._random.random() < 0.5 for _ in range(changes)]

    def keep_sectors(self, versions: int, sectors: int) -> list[int]:
        match self._random.randrange(4):
            case 0:  # the writes up to one of them
                return [self._random.randrange(versions)] * sectors
            case 1:  # the newest but for one sector that is lost
                lost = self._random.randrange(sectors + 1)
                return [0 if at == lost else versions - 1 for at in range(sectors)]
            case 2:  # the newest up to some sector
                reached = self._random.randint(0, sectors)
                return [versions - 1 if at < reached else 0 for at in range(sectors)]
        return [self._random.randrange(versions) for _ in range(sectors)]

    def keep_size(self, versions: int) -> int:
        return self._random.randrange(versions)


ALL, NONE = Whole(True, True), Whole(False, False)
ONLY_NAMES, ONLY_DATA = Whole(True, False), Whole(False, True)


@dataclass
class File:
    """`versions`: the content that is on disk for certain, and what it would be after each change since then."""

    cache: bytes = b""
    versions: list[bytes] = field(default_factory=lambda: [b""])

    def change(self, change: Callable[[bytes], bytes]) -> None:
        self.cache = change(self.cache)
        self.versions.append(change(self.versions[-1]))

    def synced(self) -> None:
        del self.versions[:-1]

    def sync_failed(self) -> None:
        """What was not synced stays in the cache, where it is taken for clean."""
        del self.versions[1:]

    def after_crash(self, policy: CrashPolicy) -> bytes:
        versions = self.versions
        if len(versions) == 1:
            return versions[0]
        size = len(versions[policy.keep_size(len(versions))])
        sectors = -(-size // SECTOR_BYTES)
        kept = policy.keep_sectors(len(versions), sectors)
        return b"".join(
            versions[version][start : min(start + SECTOR_BYTES, size)].ljust(min(SECTOR_BYTES, size - start), b"\0")
            for version, start in zip(kept, range(0, size, SECTOR_BYTES), strict=True)
        )


@dataclass(frozen=True)
class Change:
    """A change of a directory: one name less, one more, or both in one step."""

    gone: str | None = None
    come: str | None = None
    file: File | None = None

    def apply(self, names: dict[str, File]) -> None:
        if self.gone is not None:
            names.pop(self.gone, None)
        if self.come is not None and self.file is not None:
            names[self.come] = self.file


class Fault:
    """What goes wrong at the n-th operation, counted from 0; with `lasting`, at every one from there on.

    `how`: "fail" does nothing and says so, "half" does half of a write and fails, "lie" does it all and says that it
    failed; "before", "middle" and "after" lose the power.
    """

    def __init__(self, at: int, how: str, error: int = errno.EIO, *, lasting: bool = False) -> None:
        self.at = at
        self.how = how
        self.error = error
        self.lasting = lasting

    def hits(self, number: int) -> bool:
        return number >= self.at if self.lasting else number == self.at

    def strike(self) -> None:
        if self.how in ("before", "middle", "after"):
            raise PowerLoss
        raise OSError(self.error, os.strerror(self.error))

    def __repr__(self) -> str:
        return f"Fault({self.at}, {self.how!r}, {errno.errorcode[self.error]}, lasting={self.lasting})"


class SimulatedDisk:
    """Satisfies `FileSystem`, with one flat directory. `operations` has what was done, in order."""

    def __init__(self, names: dict[str, File] | None = None, fault: Fault | None = None) -> None:
        self.fault = fault
        self.operations: list[str] = []
        self.open_files: dict[int, File] = {}
        self.is_dead = False
        self._names = {} if names is None else names
        self._synced_names = dict(self._names)
        self._changes: list[Change] = []
        self._locks: set[int] = set()
        self._descriptors = count(3)

    def crash(self, policy: CrashPolicy) -> SimulatedDisk:
        """The disk as the next process finds it. This one is left as it is, so it can crash in another way, too."""
        names = dict(self._synced_names)
        for change, kept in zip(self._changes, policy.keep_names(len(self._changes)), strict=True):
            if kept:
                change.apply(names)
        files = {}
        for name in sorted(names):
            content = names[name].after_crash(policy)
            files[name] = File(content, [content])
        return SimulatedDisk(files)

    def kill(self) -> SimulatedDisk:
        """The disk as the next process finds it when only this one ended: the cache stays, unsynced as it was."""
        heir = SimulatedDisk()
        heir._names, heir._synced_names, heir._changes = deepcopy((self._names, self._synced_names, self._changes))
        return heir

    @property
    def contents(self) -> dict[str, bytes]:
        """What a process sees: each file's content by its name."""
        return {name: file.cache for name, file in sorted(self._names.items())}

    def put(self, name: str, content: bytes) -> None:
        """Have the file hold this, on disk."""
        self._names[name] = self._synced_names[name] = File(content, [content])

    def delete(self, name: str) -> None:
        """Have no such file, on disk."""
        del self._names[name], self._synced_names[name]

    def _step(self, operation: str, act: Callable[[], None], half: Callable[[], None] = lambda: None) -> None:
        if self.is_dead:
            raise PowerLoss
        number = len(self.operations)
        self.operations.append(operation)
        fault = self.fault
        if fault is None or not fault.hits(number):
            act()
            return
        if fault.how in ("lie", "after"):
            act()
        elif fault.how in ("half", "middle"):
            half()
        self.is_dead = fault.how in ("before", "middle", "after")
        fault.strike()

    def _change(self, change: Change) -> None:
        change.apply(self._names)
        self._changes.append(change)

    def _find(self, path: str) -> File:
        name = os.path.basename(path)
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._names[name]

    # FileSystem

    def make_directory(self, path: str) -> None:
        self._step("make_directory", lambda: None)

    def lock_directory(self, path: str) -> int:
        self._step("lock_directory", lambda: None)
        if self._locks:
            raise BlockingIOError
        lock = next(self._descriptors)
        self._locks.add(lock)
        return lock

    def lock_holder(self, path: str) -> int | None:
        return None

    def sync_directory(self, path: str) -> None:
        def act() -> None:
            self._synced_names = dict(self._names)
            self._changes.clear()

        self._step("sync_directory", act)

    def read(self, path: str) -> bytes:
        self._step("read", lambda: None)
        return self._find(path).cache

    def list(self, path: str) -> list[str]:
        self._step("list", lambda: None)
        return sorted(self._names)

    def create(self, path: str) -> int:
        name, file, descriptor = os.path.basename(path), File(), next(self._descriptors)
        if name in self._names:
            raise FileExistsError(path)
        self._step("create", lambda: self._change(Change(None, name, file)))
        self.open_files[descriptor] = file
        return descriptor

    def write(self, file: int, data: bytes) -> None:
        self._write("write", self.open_files[file], data, len(self.open_files[file].cache))

    def write_at(self, file: int, data: bytes, offset: int) -> None:
        self._write("write_at", self.open_files[file], data, offset)

    def _write(self, operation: str, file: File, data: bytes, offset: int) -> None:
        def act(size: int) -> None:
            end = offset + size
            file.change(lambda content: content[:offset].ljust(offset, b"\0") + data[:size] + content[end:])

        self._step(operation, lambda: act(len(data)), lambda: act(len(data) // 2))

    def allocate(self, file: int, size: int) -> None:
        opened = self.open_files[file]
        half = (len(opened.cache) + size) // 2
        self._step(
            "allocate",
            lambda: opened.change(lambda content: content.ljust(size, b"\0")),
            lambda: opened.change(lambda content: content.ljust(half, b"\0")),
        )

    def truncate(self, path: str, size: int) -> None:
        file = self._find(path)
        self._step("truncate", lambda: file.change(lambda content: content[:size]))

    def sync_data(self, file: int) -> None:
        self._sync("sync_data", self.open_files[file])

    def sync(self, file: int) -> None:
        self._sync("sync", self.open_files[file])

    def _sync(self, operation: str, file: File) -> None:
        try:
            self._step(operation, file.synced)
        except OSError:
            file.sync_failed()  # after `synced`, if it lies, there is nothing left to lose
            raise

    def close(self, file: int) -> None:
        self.open_files.pop(file, None)
        self._locks.discard(file)
        self._step("close", lambda: None)

    def rename(self, old: str, new: str) -> None:
        source, target, file = os.path.basename(old), os.path.basename(new), self._find(old)
        self._step("rename", lambda: self._change(Change(source, target, file)))

    def remove(self, path: str) -> None:
        name = os.path.basename(path)
        self._step("remove", lambda: self._change(Change(name)) if name in self._names else None)
