"""Backups: a checkpoint file of one snapshot, somewhere else; and a directory made of one.

A backup is a `checkpoint.json` like any other: checked by its crc32, readable by any tool, and put back by copying
it into an empty directory as well as by `restore`. It comes from a directory, or page by page from a server.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, suppress

from mvcc_kv.api import KeyRange, Page
from mvcc_kv.durability.checkpoint import Checkpoint, CheckpointSource, decode_checkpoint, encode_checkpoint
from mvcc_kv.durability.files import FileSystem, OsFileSystem
from mvcc_kv.errors import DataDirectoryError
from mvcc_kv.values import Expiring

__all__ = ["PagedSource", "listed", "read_backup", "write_backup", "write_file"]

_PAGE_ITEMS = 250


class PagedSource:
    """A snapshot that comes in pages, the first to the last."""

    def __init__(self, start_ts: int, pages: Iterator[Page], *, may_expire: bool) -> None:
        self.start_ts = start_ts
        self.may_expire = may_expire
        self.pages = pages

    def scan(self, keys: KeyRange, *, limit: int) -> Page:
        """The next page, which begins where `keys` does."""
        return next(self.pages)

    def rollback(self) -> None:
        """There is nothing to end."""


def listed(checkpoint: Checkpoint) -> PagedSource:
    """The source of a checkpoint that is in memory."""

    def pages() -> Iterator[Page]:
        items = list(checkpoint.items.items())
        for at in range(0, len(items), _PAGE_ITEMS):
            after = at + _PAGE_ITEMS
            yield Page(items[at:after], items[after][0] if after < len(items) else None)
        if not items:
            yield Page([], None)

    may_expire = any(isinstance(value, Expiring) for value in checkpoint.items.values())
    return PagedSource(checkpoint.commit_ts, pages(), may_expire=may_expire)


def write_backup(path: str | os.PathLike[str], source: CheckpointSource, files: FileSystem | None = None) -> str:
    """Write what `source` reads to the new file `path`, or to checkpoint.json in the directory `path`; the file's name.

    A path that ends in a slash is a directory, made if it is missing. The file is there when it is whole and on
    disk, or not at all. Raises `DataDirectoryError` if there is one already, and `OSError`.
    """
    files = files or OsFileSystem()
    path = os.fspath(path)
    if path.endswith(os.sep) or os.path.isdir(path):
        files.make_directory(os.path.abspath(path))
        path = os.path.join(path, "checkpoint.json")
    write_file(path, source, files, replaces=False)
    return path


def write_file(path: str, source: CheckpointSource, files: FileSystem, *, replaces: bool) -> None:
    """Write a checkpoint file, whole or not at all; `replaces`: in the place of another one. Raises `OSError`."""
    _must_be_new(path, replaces)
    temporary = f"{path}.tmp"
    if replaces:
        files.remove(temporary)
    try:
        file = files.create(temporary)
    except FileExistsError as error:
        raise DataDirectoryError(
            f"{temporary!r} is there already: another backup is being written, or was cut short; remove it then"
        ) from error
    try:
        try:
            with closing(encode_checkpoint(source)) as chunks:
                for chunk in chunks:
                    files.write(file, chunk)
            files.sync(file)
        finally:
            files.close(file)
        _must_be_new(path, replaces)
        files.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            files.remove(temporary)
        raise
    files.sync_directory(os.path.dirname(os.path.abspath(path)))


def read_backup(path: str | os.PathLike[str], files: FileSystem | None = None) -> Checkpoint:
    """The backup in the file `path`, or in the directory's checkpoint.json. Raises `DataDirectoryError`, `OSError`."""
    files = files or OsFileSystem()
    path = os.fspath(path)
    if os.path.isdir(path):
        path = os.path.join(path, "checkpoint.json")
    return decode_checkpoint(files.read(path), repr(path))


def _must_be_new(path: str, replaces: bool) -> None:
    if not replaces and os.path.lexists(path):
        raise DataDirectoryError(f"{path!r} is there already, and no backup is overwritten; name a new file")
