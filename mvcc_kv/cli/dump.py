"""`mvcc-kv dump`: write every key and value as JSON, page by page."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, BinaryIO, Protocol

import typer

from mvcc_kv.api import KeyRange, Page, Store, TransactionOptions
from mvcc_kv.cli.json_file import encode_items
from mvcc_kv.cli.progress import watched
from mvcc_kv.cli.reporting import note
from mvcc_kv.cli.target import DataDir, Password, Url, chosen
from mvcc_kv.errors import LimitExceededError
from mvcc_kv.values import encode_key

__all__ = ["dump"]

PAGE_ITEMS = 1_000


class _Scannable(Protocol):
    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False) -> Page: ...


def dump(
    file: Annotated[str, typer.Argument(help="The file to write; - is standard output.")] = "-",
    prefix: Annotated[str, typer.Option("--prefix", help="Only keys that begin with this.", show_default=False)] = "",
    snapshot: Annotated[
        bool,
        typer.Option("--snapshot", help="All of it from one snapshot, or nothing; see above."),
    ] = False,
    url: Url = None,
    password: Password = None,
    data_dir: DataDir = None,
) -> None:
    """Write all keys and values as one JSON object, an entry a line, in the order of the keys.

    `mvcc-kv load` reads it back. A FILE is replaced as a whole, or not touched.

    Which moment does it show? With --data-dir, one snapshot. From a server, pages of up to 1,000 keys are read one
    after the other, each from the newest snapshot then; if anything was committed in between, a line on standard
    error says so. With --snapshot all pages are read in one read-only transaction. A server limits a transaction's
    commands to 1,024 bytes unless it was started with a larger --max-transaction-bytes, which is enough for some
    15,000 keys; past it, --snapshot fails.

    \b
      mvcc-kv dump backup.json
      mvcc-kv dump --prefix user: | jq .
      mvcc-kv dump --snapshot --data-dir data backup.json
    """
    keys = KeyRange(encode_key(prefix))
    with chosen(url, password, data_dir).opened() as store, _output(file) as out:
        if snapshot:
            _dump_snapshot(store, keys, out)
        else:
            _dump_pages(store, keys, out)


def _dump_snapshot(store: Store, keys: KeyRange, out: BinaryIO) -> None:
    transaction = store.begin(TransactionOptions(read_only=True))
    try:
        _write(transaction, keys, store.stats()["keys"], out)
    except LimitExceededError as error:
        error.message += ", or dump without --snapshot"
        raise
    finally:
        transaction.rollback()


def _dump_pages(store: Store, keys: KeyRange, out: BinaryIO) -> None:
    stats = store.stats()
    begun_ts = stats["visible_ts"]
    _write(store, keys, stats["keys"], out)
    ended_ts = store.stats()["visible_ts"]
    if ended_ts != begun_ts:
        note(
            f"the dump is not of one moment, but from between commits {begun_ts} and {ended_ts}; --snapshot makes it so"
        )


def _write(source: _Scannable, keys: KeyRange, total: int, out: BinaryIO) -> None:
    for chunk in encode_items(watched(_items(source, keys), "Dumping", total)):
        out.write(chunk)


def _items(source: _Scannable, keys: KeyRange) -> Iterator[tuple[bytes, bytes]]:
    while True:
        page = source.scan(keys, limit=PAGE_ITEMS)
        yield from page.items
        if page.next is None:
            return
        keys = keys.resumed(page.next, reverse=False)


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
