"""Following commits: `db.changes()` tells every commit once, in order, wherever one begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mvcc_kv
from mvcc_kv import Changes, SnapshotGoneError
from mvcc_kv.database import StoreDatabase
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import BadRequestError, UnavailableError
from tests.contract.conftest import Front
from tests.contract.serving import serving

PATIENCE_S = 20.0  # for what must come


def take(feed: mvcc_kv.ChangeFeed, count: int) -> list[Changes]:
    return [next(feed) for _ in range(count)]


def test_it_tells_what_is_committed_from_the_call_on(db: StoreDatabase) -> None:
    db["before"] = 1
    with db.changes(timeout_s=PATIENCE_S) as feed:
        assert feed.ts == 1
        db["a"] = [1.5, {"n": 10**30}, "Zoë"]
        del db["a"]
        with db.transaction(label="nightly") as tx:
            tx["b"] = None
            tx["c"] = "c"
            tx.delete("before")
        first, second, third = take(feed, 3)
        assert (first.commit_ts, first.puts, first.deletes) == (2, {"a": [1.5, {"n": 10**30}, "Zoë"]}, [])
        assert (second.commit_ts, second.puts, second.deletes) == (3, {}, ["a"])
        assert (third.commit_ts, third.puts, third.deletes) == (4, {"b": None, "c": "c"}, ["before"])
        assert [it.label for it in (first, second, third)] == [None, None, "nightly"]
        assert feed.ts == 4


def test_a_commit_tells_when_it_was(tmp_path: Path) -> None:
    def now_us() -> int:
        return 1_795_435_200_123_456

    with serving(VersionedStore(time_us=now_us)) as address, mvcc_kv.connect(address) as db:
        feed = db.changes(timeout_s=PATIENCE_S)
        db["a"] = 1
        assert next(feed).time == datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
        feed.close()
    with mvcc_kv.open(tmp_path / "data") as db, db.changes(timeout_s=PATIENCE_S) as feed:
        db["a"] = 1
        told = next(feed).time
        assert told is not None and abs(datetime.now(UTC) - told) < timedelta(minutes=1)


def test_it_begins_anew_after_any_commit_that_is_kept(db: StoreDatabase) -> None:
    with db.changes():
        for n in range(5):
            db["n"] = n
    for ts in range(5):
        with db.changes(from_ts=ts, timeout_s=PATIENCE_S) as feed:
            assert [(it.commit_ts, it.puts) for it in take(feed, 5 - ts)] == [(n + 1, {"n": n}) for n in range(ts, 5)]


def test_a_prefix_narrows_it_and_ts_passes_what_is_left_out(db: StoreDatabase) -> None:
    with db.changes(prefix="user:", timeout_s=PATIENCE_S) as feed:
        db["user:1"] = 1
        db["visits"] = 1
        with db.transaction() as tx:
            tx["user:2"] = 2
            tx["visits"] = 2
        assert [(it.commit_ts, it.puts) for it in take(feed, 2)] == [(1, {"user:1": 1}), (3, {"user:2": 2})]
        assert feed.ts == 3


def test_it_ends_quietly_when_nothing_comes_for_so_long_and_then_it_is_over(db: StoreDatabase) -> None:
    feed = db.changes(timeout_s=0.01)
    assert list(feed) == []
    db["a"] = 1
    assert list(feed) == []
    assert [it.commit_ts for it in take(db.changes(from_ts=feed.ts, timeout_s=PATIENCE_S), 1)] == [1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"from_ts": 3},
        {"from_ts": -1},
        {"from_ts": 1.0},
        {"from_ts": True},
        {"prefix": 7},
        {"timeout_s": -1},
        {"timeout_s": "1"},
    ],
)
def test_what_makes_no_sense_is_refused_at_the_call(db: StoreDatabase, arguments: dict[str, Any]) -> None:
    db["a"] = 1
    with pytest.raises(BadRequestError):
        db.changes(**arguments)


def test_a_beginning_that_is_not_kept_is_refused_at_the_call_and_one_that_is_named(db: StoreDatabase) -> None:
    db["a"] = 1
    db["a"] = 2
    with pytest.raises(SnapshotGoneError) as caught:
        db.changes(from_ts=0)
    assert caught.value.evidence == {"oldest_ts": 2}
    with db.changes(from_ts=2, timeout_s=PATIENCE_S) as feed:
        db["a"] = 3
        assert next(feed).puts == {"a": 3}


def test_who_falls_behind_is_told_what_is_lost_and_where_to_go_on(db: StoreDatabase) -> None:
    feed = db.changes(timeout_s=PATIENCE_S)
    for n in range(45):  # that is more than is kept and, over TCP, more than is on the way
        db["big"] = f"{n}".ljust(1 << 20)
    seen: list[int] = []
    with pytest.raises(SnapshotGoneError) as caught:
        seen.extend(it.commit_ts for it in feed)
    evidence = caught.value.evidence
    first, last = evidence["lost"]
    assert evidence["resync_at"] == evidence["oldest_ts"] == last
    assert feed.ts == len(seen) == first - 1
    assert list(feed) == [], "it is over"
    with db.changes(from_ts=last, timeout_s=PATIENCE_S) as anew:
        assert [it.commit_ts for it in take(anew, 45 - last)] == list(range(last + 1, 46))


# Threads


def test_another_thread_may_end_the_wait(db: StoreDatabase) -> None:
    feed = db.changes()
    seen: list[Changes] = []
    follower = Thread(target=lambda: seen.extend(feed))
    follower.start()
    db["a"] = 1
    with db.changes(from_ts=0, timeout_s=PATIENCE_S) as other:
        next(other)
    feed.close()
    feed.close()
    follower.join(PATIENCE_S)
    assert not follower.is_alive()
    assert [it.commit_ts for it in seen] in ([], [1])


def test_what_other_threads_commit_comes_in_order_and_none_is_missing(db: StoreDatabase) -> None:
    feeds = [db.changes(timeout_s=PATIENCE_S) for _ in range(3)]

    def write(room: int) -> None:
        for n in range(50):
            db[f"{room}"] = n

    writers = [Thread(target=write, args=(room,)) for room in range(4)]
    for writer in writers:
        writer.start()
    for feed in feeds:
        state: dict[str, int] = {}
        for change in take(feed, 200):
            assert all(state.get(key, -1) + 1 == value for key, value in change.puts.items())
            state.update(change.puts)
        assert (feed.ts, state) == (200, dict.fromkeys("0123", 49))
        feed.close()
    for writer in writers:
        writer.join()


def test_a_database_that_is_closed_ends_it_with_an_error(front: Front, tmp_path: Path) -> None:
    with front(tmp_path) as db:
        feed = db.changes()
        db.close()
        with pytest.raises(UnavailableError, match="closed"):
            next(feed)
        with pytest.raises(UnavailableError, match="closed"):
            db.changes()
        assert list(feed) == []


# Beginning anew

WRITES = st.dictionaries(
    st.sampled_from(["a", "a:1", "a:2", "b", "b:1"]), st.one_of(st.none(), st.integers()), min_size=1, max_size=3
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(WRITES, max_size=12), st.sampled_from(["", "a", "a:", "b"]), st.lists(st.integers(0, 4), max_size=8))
def test_however_often_one_begins_anew_every_commit_comes_once(
    db: StoreDatabase, commits: list[dict[str, int | None]], prefix: str, helpings: list[int]
) -> None:
    with db.changes() as beginning:
        ts = beginning.ts
    rebuilt = dict(db.scan(prefix=prefix))
    state = dict(db.scan())
    expected = []
    for writes in commits:
        with db.transaction() as tx:
            for key, value in writes.items():
                if value is None:
                    tx.delete(key)
                else:
                    tx[key] = value
        if any(key.startswith(prefix) and (value is not None or key in state) for key, value in writes.items()):
            expected.append(tx.commit_ts)
        state = dict(db.scan())
    told: list[Changes] = []
    for helping in [*helpings, len(expected)]:
        with db.changes(prefix=prefix, from_ts=ts, timeout_s=PATIENCE_S) as feed:
            told += take(feed, min(helping, len(expected) - len(told)))
            ts = feed.ts
    assert [it.commit_ts for it in told] == expected
    for it in told:
        rebuilt.update(it.puts)
        for key in it.deletes:
            del rebuilt[key]
    assert rebuilt == dict(db.scan(prefix=prefix))


# Over TCP


def test_a_feed_counts_in_nobody_elses_connections() -> None:
    with serving() as address, mvcc_kv.connect(address, connections_max=1) as db:
        feeds = [db.changes(timeout_s=PATIENCE_S) for _ in range(3)]
        with db.transaction() as tx:
            tx["a"] = 1
        assert [next(feed).commit_ts for feed in feeds] == [1, 1, 1]
        assert db.stats()["feeds"] == 3
        for feed in feeds:
            feed.close()


def test_a_feed_goes_on_after_a_restart_of_its_server() -> None:
    store = VersionedStore()
    with serving(store) as address:
        db = mvcc_kv.connect(address)
        feed = db.changes(timeout_s=PATIENCE_S)
        db["a"] = 1
        assert next(feed).commit_ts == 1
        db["a"] = 2
    store.put(b"a", b"3")
    with serving(store, port=int(address.rpartition(":")[2])):
        db["a"] = 4
        assert [(it.commit_ts, it.puts) for it in take(feed, 3)] == [(2, {"a": 2}), (3, {"a": 3}), (4, {"a": 4})]
        feed.close()
        db.close()
