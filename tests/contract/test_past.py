"""The past: reading at an older timestamp, and the versions of a key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import mvcc_kv
from mvcc_kv.api import Database, Version
from mvcc_kv.database import MemoryKeeper, StoreDatabase
from mvcc_kv.engine import CommitHistory, VersionedStore
from mvcc_kv.errors import BadRequestError, ReadOnlyError, SnapshotGoneError

from .serving import serving

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Clock:
    """A second a commit."""

    def __init__(self) -> None:
        self.now_us = int(NOON.timestamp()) * 1_000_000

    def __call__(self) -> int:
        return self.now_us


def store_with_history(clock: Clock, retain_bytes: int) -> VersionedStore:
    return VersionedStore(time_us=clock, history=CommitHistory(retain_bytes=retain_bytes))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["embedded", "over TCP"])
def kept(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Database]:
    """A database that retains 64 KiB of history."""
    store = store_with_history(clock, 64 * 1024)
    if request.param == "embedded":
        yield StoreDatabase(store, MemoryKeeper())
        return
    with serving(store, max_transaction_bytes=1 << 20) as address, mvcc_kv.connect(address) as db:
        yield db


def test_an_older_state_is_read_as_it_was(kept: Database) -> None:
    kept["a"], kept["b"] = 1, 1
    kept["a"] = 2
    del kept["b"]
    states: list[dict[str, int]] = [{}, {"a": 1}, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2}]
    for at, state in enumerate(states):
        with kept.transaction(at=at) as tx:
            assert tx.start_ts == at
            assert dict(tx.scan()) == state
            assert list(tx.keys(reverse=True)) == sorted(state, reverse=True)
            assert (tx.get("a"), "b" in tx) == (state.get("a"), "b" in state)


def test_what_is_not_there_yet_can_not_be_read(kept: Database) -> None:
    kept["a"] = 1
    with pytest.raises(BadRequestError):
        kept.transaction(at=2)


def test_what_is_retained_no_more_is_gone_and_the_error_says_how_far_back_one_can_go(kept: Database) -> None:
    kept["a"] = 0
    tx = kept.transaction(at=0, read_only=True)
    assert tx.get("a") is None
    for _ in range(300):
        kept["a"] = "x" * 200
    for read in (lambda: tx.get("a"), lambda: list(tx.scan()), lambda: list(tx.history("a"))):
        with pytest.raises(SnapshotGoneError) as caught:
            read()
        assert caught.value.evidence["oldest_ts"] == kept.stats()["oldest_ts"] > 0
    tx.commit()
    with pytest.raises(SnapshotGoneError):
        kept.transaction(at=0)
    with kept.transaction(at=kept.stats()["oldest_ts"]) as oldest:
        assert oldest["a"] == "x" * 200


def test_the_versions_of_a_key_come_newest_first_with_time_and_label(kept: Database, clock: Clock) -> None:
    kept["a"] = [1.5]
    clock.now_us += 1_000_001
    with kept.transaction(label="nightly") as tx:
        tx["a"] = None
    del kept["a"]
    second = NOON + timedelta(seconds=1, microseconds=1)
    assert list(kept.history("a")) == [
        Version(3, None, True, second, None),
        Version(2, None, False, second, "nightly"),
        Version(1, [1.5], False, NOON, None),
    ]
    assert list(kept.history("nobody")) == []


def test_a_history_is_limited_and_lazy(kept: Database) -> None:
    for n in range(5):
        kept["a"] = n
    assert [it.value for it in kept.history("a", limit=2)] == [4, 3]
    assert list(kept.history("a", limit=0)) == []
    versions = kept.history("a")
    assert next(versions).commit_ts == 5
    assert [it.commit_ts for it in versions] == [4, 3, 2, 1]


def test_a_history_of_many_pages_has_every_version_once(clock: Clock) -> None:
    store = store_with_history(clock, 1 << 30)
    with serving(store) as address, mvcc_kv.connect(address) as db:
        for n in range(2500):
            store.put(b"a", b"%d" % n)
        for source in (db, StoreDatabase(store, MemoryKeeper())):
            assert [it.value for it in source.history("a")] == list(range(2499, -1, -1))
            assert [it.value for it in source.history("a", limit=1500)] == list(range(2499, 999, -1))


def test_a_transactions_history_is_that_of_its_snapshot(kept: Database) -> None:
    kept["a"] = 1
    with kept.transaction() as tx:
        tx["a"] = 3
        kept["b"] = 2
        assert [it.commit_ts for it in tx.history("a")] == [1]
        assert [it.commit_ts for it in tx.snapshot.history("b")] == []


@pytest.mark.parametrize("limit", [-1, 1.0, "3", True])
def test_what_is_no_limit_is_refused_by_the_call(db: Database, limit: Any) -> None:
    with pytest.raises(BadRequestError, match="limit"):
        db.history("a", limit=limit)


def test_without_retention_the_past_is_what_somebody_still_reads(db: Database) -> None:
    db["a"] = 1
    with db.transaction(read_only=True) as tx:
        db["a"] = 2
        db["a"] = 3
        assert [(it.commit_ts, it.value) for it in db.history("a")] == [(3, 3), (1, 1)]
        with pytest.raises(ReadOnlyError):
            tx["a"] = 4
    assert [(it.commit_ts, it.value) for it in db.history("a")] == [(3, 3)]
    with pytest.raises(SnapshotGoneError):
        db.transaction(at=1)
    with db.transaction(at=3) as newest:
        assert newest["a"] == 3
