"""Keys put for a time: `put(..., ttl_s=...)` and `ttl(key)`, the same over every front."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import mvcc_kv
from mvcc_kv.database import StoreDatabase
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import BadRequestError, ConflictError, KeyNotFoundError
from tests.contract.serving import serving

PATIENCE_S = 20.0  # for what must come
SHORT_S = 0.02


def wait_for_the_end(db: StoreDatabase, feed: mvcc_kv.ChangeFeed, key: str) -> None:
    """Return when it was told that the key is gone."""
    while key not in next(feed).deletes:
        pass


def test_a_key_says_how_long_it_is_there(db: StoreDatabase) -> None:
    db.put("a", 1, ttl_s=100)
    db["b"] = 1
    assert 99 < (db.ttl("a") or 0) <= 100
    assert db.ttl("b") is None
    with pytest.raises(KeyNotFoundError, match="'c'"):
        db.ttl("c")
    with db.transaction() as tx:
        tx.put("c", 1, ttl_s=50)
        assert 49 < (tx.ttl("c") or 0) <= 50
        assert 99 < (tx.ttl("a") or 0) <= 100
        assert tx.snapshot.ttl("b") is None
        with pytest.raises(KeyError):
            tx.ttl("d")
    assert 49 < (db.ttl("c") or 0) <= 50
    assert db.stats()["expiring_keys"] == 2


def test_a_key_whose_time_is_up_is_gone_and_everybody_is_told(db: StoreDatabase) -> None:
    with db.changes(timeout_s=PATIENCE_S) as feed:
        db["stays"] = 1
        db.put("a", [1], ttl_s=SHORT_S)
        wait_for_the_end(db, feed, "a")
    assert "a" not in db
    assert db.get("a", "gone") == "gone"
    assert list(db) == ["stays"]
    assert not db.delete("a")
    assert (db.stats()["expiring_keys"], db.stats()["expired_total"]) == (0, 1)


def test_who_follows_is_told_until_when(db: StoreDatabase) -> None:
    with db.changes(timeout_s=PATIENCE_S) as feed:
        before = datetime.now(UTC)
        with db.transaction() as tx:
            tx.put("a", 1, ttl_s=3600)
            tx["b"] = 2
        change = next(feed)
    assert change.puts == {"a": 1, "b": 2}
    assert list(change.expires) == ["a"]
    assert timedelta(seconds=3599) < change.expires["a"] - before < timedelta(seconds=3660)


def test_a_transactions_view_outlives_the_key(db: StoreDatabase) -> None:
    with db.changes(timeout_s=PATIENCE_S) as feed:
        db.put("a", 1, ttl_s=SHORT_S)
        with db.transaction() as tx:
            is_there = tx.get("a") == 1  # unless this machine was slow
            wait_for_the_end(db, feed, "a")
            assert (tx.get("a") == 1) == is_there
            assert not is_there or tx.ttl("a") == 0
    assert "a" not in db


def test_who_writes_a_key_that_expires_meanwhile_has_lost_to_that(db: StoreDatabase) -> None:
    with db.changes(timeout_s=PATIENCE_S) as feed:
        db.put("a", 1, ttl_s=1)
        tx = db.transaction()
        tx["a"] = 2
        wait_for_the_end(db, feed, "a")
        with pytest.raises(ConflictError) as lost:
            tx.commit()
    assert lost.value.keys == ["a"]
    assert "a" not in db


def test_another_put_makes_it_stay_and_an_addition_leaves_its_time(db: StoreDatabase) -> None:
    db.put("a", 1, ttl_s=100)
    assert db.add("a", 5) == 6
    with db.transaction() as tx:
        tx.add("a", 10)
    assert 99 < (db.ttl("a") or 0) <= 100
    db["a"] = 3
    assert db.ttl("a") is None


@pytest.mark.parametrize("ttl_s", [0, -1, 1e-9, 1e12, float("nan"), float("inf"), True, "1"])
def test_a_time_that_cant_be_meant_is_refused(db: StoreDatabase, ttl_s: Any) -> None:
    with pytest.raises(BadRequestError, match="ttl_s"):
        db.put("a", 1, ttl_s=ttl_s)
    with pytest.raises(BadRequestError, match="ttl_s"), db.transaction() as tx:
        tx.put("a", 1, ttl_s=ttl_s)
    assert list(db) == []


def test_it_is_kept_over_a_start_however_the_last_life_ended(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path / "data") as db:
        db.put("checkpointed", 1, ttl_s=1000)
        db.checkpoint()
        db.put("logged", 2, ttl_s=500)
        db["stays"] = 3
    for _ in range(2):
        with mvcc_kv.open(tmp_path / "data") as db:
            assert 990 < (db.ttl("checkpointed") or 0) <= 1000
            assert 490 < (db.ttl("logged") or 0) <= 500
            assert db.ttl("stays") is None
            db["again"] = 1


def test_the_servers_clock_counts() -> None:
    clock_us = 5_000_000
    store = VersionedStore(time_us=lambda: clock_us)
    with serving(store) as address, mvcc_kv.connect(address) as db:
        db.put("a", 1, ttl_s=2)
        assert db.ttl("a") == 2.0
        clock_us += 1_500_000
        assert db.ttl("a") == 0.5
        clock_us += 500_000
        assert "a" not in db
