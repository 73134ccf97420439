"""Retained history: every state from base_ts on can be read, in little memory, and no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.api import CommittedWrites, KeyRange, KeyVersion, TransactionOptions
from mvcc_kv.engine import CommitHistory, VersionedStore
from mvcc_kv.engine.history import COMMIT_BYTES, WRITE_BYTES
from mvcc_kv.errors import BadRequestError, ConflictError, SnapshotGoneError
from tests.engine.logs import DeferringLog

A_COMMIT_BYTES = COMMIT_BYTES + 2 * WRITE_BYTES + len(b"a") + 2 * len(b"1")  # one write, and the base below it
PLENTY = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now_us = 1_000_000

    def __call__(self) -> int:
        return self.now_us


def retaining(clock: Clock | None = None, *, retain_us: int = 0, retain_bytes: int = PLENTY) -> VersionedStore:
    history = CommitHistory(retain_us=retain_us, retain_bytes=retain_bytes)
    return VersionedStore(time_us=clock or Clock(), history=history)


def state_at(store: VersionedStore, ts: int) -> dict[bytes, bytes]:
    reader = store.begin(TransactionOptions(read_only=True, at=ts))
    try:
        return dict(reader.scan(KeyRange(), limit=100).items)
    finally:
        reader.rollback()


def test_a_transaction_reads_at_the_timestamp_that_it_asks_for() -> None:
    store = retaining()
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    store.delete(b"a")
    assert [state_at(store, ts) for ts in range(4)] == [{}, {b"a": b"1"}, {b"a": b"2"}, {}]
    store.check()


def test_a_key_that_nobody_wrote_since_is_read_as_it_is() -> None:
    store = VersionedStore(history=CommitHistory(retain_bytes=PLENTY))
    store.restore(10, [(b"old", b"1")])
    store.put(b"a", b"2")
    assert state_at(store, 10) == {b"old": b"1"}


def test_below_the_oldest_timestamp_the_snapshot_is_gone_and_above_the_newest_there_is_none_yet() -> None:
    store = VersionedStore(history=CommitHistory(retain_bytes=PLENTY))
    store.restore(10, [])
    with pytest.raises(SnapshotGoneError, match="oldest timestamp that can be read is 10") as gone:
        store.begin(TransactionOptions(at=9))
    assert gone.value.evidence == {"oldest_ts": 10} and not gone.value.retryable
    with pytest.raises(BadRequestError, match="nothing at 11 yet"):
        store.begin(TransactionOptions(at=11))
    assert store.stats()["active_transactions"] == 0


def test_without_retention_only_the_newest_state_can_be_asked_for() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    assert state_at(store, 2) == {b"a": b"2"}
    with pytest.raises(SnapshotGoneError):
        store.begin(TransactionOptions(at=1))


def test_the_byte_cap_wins() -> None:
    store = retaining(retain_us=10**12, retain_bytes=10 * A_COMMIT_BYTES)
    for n in range(100):
        store.put(b"a", b"%d" % (n % 10))
    stats = store.stats()
    assert stats["retained_bytes"] <= 10 * A_COMMIT_BYTES
    assert stats["oldest_ts"] == 100 - stats["retained_commits"] > 80
    store.check()


def test_what_is_too_old_goes_with_the_next_commit_or_when_the_loop_says_so() -> None:
    clock = Clock()
    store = retaining(clock, retain_us=1_000)
    store.put(b"a", b"1")
    clock.now_us += 900
    store.put(b"a", b"2")
    assert store.oldest_ts == 0
    clock.now_us += 200
    store.put(b"a", b"3")
    assert store.oldest_ts == 1
    clock.now_us += 2_000
    store.trim()
    assert store.oldest_ts == 3 and store.stats()["retained_bytes"] == 0
    store.check()


def test_a_clock_that_goes_back_does_not_upset_the_order_of_commits() -> None:
    clock = Clock()
    store = retaining(clock)
    store.put(b"a", b"1")
    clock.now_us -= 500
    store.put(b"a", b"2")
    times = [version.time_us for version in store.history(b"a", limit=10).versions]
    assert times == [1_000_000, 1_000_000]


def test_an_open_transaction_in_the_past_holds_nothing_and_is_told_when_its_time_is_gone() -> None:
    clock = Clock()
    store = retaining(clock, retain_us=1_000)
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    reader = store.begin(TransactionOptions(at=1))
    assert reader.get(b"a") == b"1"
    clock.now_us += 2_000
    store.trim()
    for read in (lambda: reader.get(b"a"), lambda: reader.scan(KeyRange(), limit=1)):
        with pytest.raises(SnapshotGoneError, match="oldest timestamp that can be read is 2"):
            read()


def test_a_tombstone_stays_as_long_as_somebody_can_read_behind_it() -> None:
    clock = Clock()
    store = retaining(clock, retain_us=1_000)
    store.put(b"a", b"1")
    store.delete(b"a")
    store.put(b"b", b"1")
    assert state_at(store, 1) == {b"a": b"1"}
    clock.now_us += 2_000
    store.trim()
    assert store.keys() == [b"b"]
    store.check()


def test_writing_in_the_past_is_an_ordinary_race_against_all_that_came_after() -> None:
    store = retaining()
    store.put(b"a", b"1")
    store.put(b"b", b"1")
    store.delete(b"a")
    free = store.begin(TransactionOptions(at=1))
    free.put(b"c", b"1")
    free.commit()
    for key in (b"a", b"b"):
        late = store.begin(TransactionOptions(at=1))
        late.put(key, b"9")
        with pytest.raises(ConflictError):
            late.commit()


def test_a_commit_that_was_begun_before_all_that_is_kept_is_refused() -> None:
    clock = Clock()
    store = retaining(clock, retain_us=1_000)
    store.put(b"a", b"1")
    store.put(b"b", b"1")
    late = store.begin(TransactionOptions(at=1))
    late.put(b"c", b"1")
    clock.now_us += 2_000
    store.trim()
    with pytest.raises(SnapshotGoneError):
        late.commit()
    assert store.get(b"c") is None


# HISTORY


def test_history_tells_versions_newest_first_with_time_and_label() -> None:
    clock = Clock()
    store = retaining(clock)
    store.put(b"a", b"1")
    tx = store.begin(TransactionOptions(label="nightly"))
    tx.put(b"a", b"2")
    clock.now_us += 5
    tx.commit()
    store.delete(b"a")
    page = store.history(b"a", limit=10)
    assert page.versions == [
        KeyVersion(3, None, 1_000_005, None),
        KeyVersion(2, b"2", 1_000_005, "nightly"),
        KeyVersion(1, b"1", 1_000_000, None),
    ]
    assert (page.next, page.oldest_ts) == (None, 0)


def test_history_comes_in_pages() -> None:
    store = retaining()
    for n in range(10):
        store.put(b"a", b"%d" % n)
    seen: list[int] = []
    before: int | None = None
    while True:
        page = store.history(b"a", limit=3, before_ts=before)
        seen += [version.commit_ts for version in page.versions]
        before = page.next
        if before is None:
            break
    assert seen == list(range(10, 0, -1))


def test_without_retention_history_knows_the_newest_and_what_snapshots_keep_alive() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    reader = store.begin()
    store.put(b"a", b"2")
    store.put(b"a", b"3")
    assert [version.commit_ts for version in store.history(b"a", limit=10).versions] == [3, 1]
    assert [version.commit_ts for version in reader.history(b"a", limit=10).versions] == [1]


def test_a_transaction_knows_the_history_up_to_its_snapshot() -> None:
    store = retaining()
    for n in range(5):
        store.put(b"a", b"%d" % n)
    reader = store.begin(TransactionOptions(at=3))
    assert [version.commit_ts for version in reader.history(b"a", limit=2).versions] == [3, 2]


# Following commits


def test_commits_are_followed_in_order_and_only_when_visible() -> None:
    store = retaining()
    store.put(b"a", b"1")
    tx = store.begin()
    tx.put(b"b", b"2")
    tx.delete(b"a")
    tx.commit()
    assert store.commits_after(0, 10) == [
        CommittedWrites(1, 1_000_000, None, ((b"a", b"1"),)),
        CommittedWrites(2, 1_000_000, None, ((b"b", b"2"), (b"a", None))),
    ]
    assert [commit.commit_ts for commit in store.commits_after(0, 1)] == [1]
    assert store.commits_after(2, 10) == []


def test_changes_are_kept_from_the_moment_that_somebody_asks() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    store.keep_changes(PLENTY)
    store.put(b"a", b"2")
    assert [commit.commit_ts for commit in store.commits_after(1, 10)] == [2]
    with pytest.raises(SnapshotGoneError):
        store.commits_after(0, 10)
    store.check()


def test_waiting_for_a_commit_that_is_there_returns_at_once_and_in_vain_when_time_is_up() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    assert store.wait_past(0)
    assert not store.wait_past(1, timeout_s=0)


# All of it against a list of states

WRITES = st.lists(
    st.dictionaries(st.sampled_from([b"a", b"b", b"c"]), st.none() | st.sampled_from([b"1", b"2"]), min_size=1),
    max_size=30,
)


@given(WRITES, st.integers(1, 5 * A_COMMIT_BYTES), st.booleans())
def test_every_state_that_is_kept_reads_as_it_was(
    commits: list[dict[bytes, bytes | None]], retain_bytes: int, holds_a_snapshot: bool
) -> None:
    store = retaining(retain_bytes=retain_bytes)
    holder = store.begin(TransactionOptions(read_only=True)) if holds_a_snapshot else None
    states: list[dict[bytes, bytes]] = [{}]
    for writes in commits:
        tx = store.begin()
        for key, value in writes.items():
            if value is None:
                tx.delete(key)
            else:
                tx.put(key, value)
        if tx.commit() == len(states):
            states.append({**states[-1]})
            states[-1].update({key: value for key, value in writes.items() if value is not None})
            for key in writes:
                if writes[key] is None:
                    states[-1].pop(key, None)
        store.check()
        for ts in range(store.oldest_ts, len(states)):
            assert state_at(store, ts) == states[ts]
            reader = store.begin(TransactionOptions(at=ts, read_only=True))
            assert {key: reader.get(key) for key in (b"a", b"b", b"c")} == {
                key: states[ts].get(key) for key in (b"a", b"b", b"c")
            }
            reader.rollback()
    assert store.stats()["retained_bytes"] <= retain_bytes or store.stats()["retained_commits"] == 1
    if holder is not None:
        holder.rollback()
        store.check()


def test_what_is_not_visible_yet_is_kept_however_much_it_is() -> None:
    store = VersionedStore(DeferringLog(), history=CommitHistory(retain_bytes=1))
    for n in range(10):
        store.put(b"a", b"%d" % n)
    assert (store.oldest_ts, store.stats()["retained_commits"]) == (0, 10)
    store.publish(9)
    assert (store.oldest_ts, store.stats()["retained_commits"]) == (9, 1)
    store.check()


def test_a_start_lets_go_of_what_has_become_too_old_meanwhile() -> None:
    clock = Clock()
    history = CommitHistory(retain_us=1_000, retain_bytes=PLENTY)
    history.begin(0)
    for ts in (1, 2):
        history.append(CommittedWrites(ts, clock.now_us, None, ((b"a", b"%d" % ts),)), {})
    clock.now_us += 5_000
    store = VersionedStore(time_us=clock, history=history)
    store.restore(2, [(b"a", b"2")])
    assert store.oldest_ts == 2 and store.get(b"a") == b"2"
    store.check()


def test_many_commits_that_become_visible_together_do_not_pass_the_byte_cap() -> None:
    store = VersionedStore(DeferringLog(), history=CommitHistory(retain_bytes=10 * A_COMMIT_BYTES))
    for flush in range(1, 6):
        for n in range(1_000):
            store.put(b"a", b"%d" % (n % 10))
        store.publish(1_000 * flush)
        assert store.stats()["retained_bytes"] <= 10 * A_COMMIT_BYTES
    store.check()


def test_what_is_too_old_is_garbage_until_all_of_it_is_gone() -> None:
    clock = Clock()
    store = retaining(clock, retain_us=1_000)
    for n in range(5_000):
        store.put(b"a", b"%d" % (n % 10))
    clock.now_us += 5_000
    store.trim()
    while store.has_garbage:
        store.collect()
    assert store.oldest_ts == 5_000
    store.check()


def test_the_newest_commit_is_kept_for_those_who_follow_however_large_it_is() -> None:
    store = retaining(retain_bytes=10)
    store.put(b"a", b"1" * 1_000)
    assert [commit.commit_ts for commit in store.commits_after(0, 10)] == [1]
    store.put(b"a", b"2" * 1_000)
    assert [commit.commit_ts for commit in store.commits_after(1, 10)] == [2]
    assert store.oldest_ts == 1
