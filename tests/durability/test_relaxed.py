"""durability="none": seen at once, written at once, and the disk not waited for."""

from __future__ import annotations

from pathlib import Path

import mvcc_kv
from mvcc_kv.api import TransactionOptions
from mvcc_kv.durability import OsFileSystem, open_directory
from mvcc_kv.engine import VersionedStore

RELAXED = TransactionOptions(durability="none")


class CountingFiles(OsFileSystem):
    def __init__(self) -> None:
        self.syncs = 0
        self.writes = 0

    def sync_data(self, file: int) -> None:
        self.syncs += 1
        super().sync_data(file)

    def write_at(self, file: int, data: bytes, offset: int) -> None:
        self.writes += 1
        super().write_at(file, data, offset)


def put(store: VersionedStore, value: bytes, options: TransactionOptions = TransactionOptions()) -> None:  # noqa: B008
    tx = store.begin(options)
    tx.put(b"a", value)
    tx.commit()


def test_it_is_written_and_seen_without_a_sync(tmp_path: Path) -> None:
    files = CountingFiles()
    store, keeper = open_directory(tmp_path, VersionedStore, files=files)
    before = files.writes
    put(store, b"1", RELAXED)
    assert (files.writes - before, files.syncs) == (1, 0)
    assert store.get(b"a") == b"1"
    keeper.close()


def test_the_next_one_that_waits_makes_it_durable_too(tmp_path: Path) -> None:
    files = CountingFiles()
    store, keeper = open_directory(tmp_path, VersionedStore, files=files)
    put(store, b"1", RELAXED)
    put(store, b"2")
    assert files.syncs == 1
    put(store, b"3", RELAXED)
    assert files.syncs == 1
    keeper.close()


def test_it_is_a_choice_of_transactions_and_of_retries(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path) as db:
        with db.transaction(durability="none") as tx:
            tx["a"] = 1
        assert db["a"] == 1
        for attempt in db.attempts(durability="none"):
            with attempt as again:
                again["a"] += 1

        @mvcc_kv.transactional(durability="none")
        def add(tx: mvcc_kv.Transaction) -> None:
            tx["a"] += 1

        add(db)
        assert db["a"] == 3
    with mvcc_kv.open(tmp_path, fsync="never") as db:
        assert db["a"] == 3
