"""`mvcc-kv dump`: write every key and value as JSON, all of them from one snapshot."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Annotated, BinaryIO

import typer

from mvcc_kv.api import KeyRange, Page, Store, TransactionOptions
from mvcc_kv.cli.json_file import encode_items
from mvcc_kv.cli.progress import watched
from mvcc_kv.cli.reporting import note
from mvcc_kv.cli.target import DataDir, Password, Target, Url, chosen
from mvcc_kv.values import Expiring, encode_key

__all__ = ["dump"]

PAGE_ITEMS = 1_000


def dump(
    file: Annotated[str, typer.Argument(help="The file to write; - is standard output.")] = "-",
    prefix: Annotated[str, typer.Option("--prefix", help="Only keys that begin with this.", show_default=False)] = "",
    url: Url = None,
    password: Password = None,
    data_dir: DataDir = None,
    snapshot: Annotated[bool, typer.Option("--snapshot", hidden=True, help="It always is.")] = False,
) -> None:
    """Write all keys and values as one JSON object, an entry a line, in the order of the keys, from one snapshot.

    `mvcc-kv load` reads it back. Keys that expire are in it without their time; `mvcc-kv backup` keeps that.
    A FILE is replaced as a whole, or not touched. Clients of the server go on meanwhile.

    \b
      mvcc-kv dump all.json
      mvcc-kv dump --prefix user: | jq .
      mvcc-kv dump --data-dir data all.json
    """
    keys = encode_key(prefix)
    target = chosen(url, password, data_dir)
    with target.opened() as store, _output(file) as out:
        total = store.stats()["keys"]
        with closing(_pages(target, store, keys)) as pages:
            items = (item for page in pages for item in page.items)
            expiring = _Expiring()
            for chunk in encode_items(expiring.counted(watched(items, "Dumping", total))):
                out.write(chunk)
    if expiring.count:
        note(f"{expiring.count} of them expire, which a dump doesn't say: loaded, they stay. `mvcc-kv backup` keeps it")


class _Expiring:
    """Counts the values that expire, as they pass."""

    def __init__(self) -> None:
        self.count = 0

    def counted(self, items: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for item in items:
            self.count += isinstance(item[1], Expiring)
            yield item


def _pages(target: Target, store: Store, prefix: bytes) -> Generator[Page, None, None]:
    """All that begins with the prefix, from one snapshot."""
    if target.data_dir is None:
        from mvcc_kv.cli.snapshot import served_snapshot

        with served_snapshot(target.address, target.password, prefix.decode()) as served:
            yield from served.pages
        return
    snapshot, keys = store.begin(TransactionOptions(read_only=True)), KeyRange(prefix)
    try:
        while True:
            page = snapshot.scan(keys, limit=PAGE_ITEMS)
            yield page
            if page.next is None:
                return
            keys = keys.resumed(page.next, reverse=False)
    finally:
        snapshot.rollback()


@contextmanager
def _output(file: str) -> Iterator[BinaryIO]:
    """Where to write. A regular file takes the old one's place at the end, if all went well."""
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif _is_device(file):
        with open(file, "wb") as out:
            yield out
    else:
        unfinished = f"{file}.tmp"
        try:
            with open(unfinished, "wb") as out:
                yield out
            os.replace(unfinished, file)
        finally:
            with suppress(FileNotFoundError):
                os.remove(unfinished)


def _is_device(file: str) -> bool:
    """Whether the file is there and no regular one: a pipe or a terminal is written to, not replaced."""
    try:
        return not stat.S_ISREG(os.stat(file).st_mode)
    except FileNotFoundError:
        return False
