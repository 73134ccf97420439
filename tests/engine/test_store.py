"""The store: autocommit, conflicts and their evidence, the commit log, and what it counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest

from mvcc_kv.api import Isolation, KeyRange, Page, TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.home import LABEL_CHARACTERS_MAX
from mvcc_kv.engine.index import ScanBounds
from mvcc_kv.engine.snapshots import VERSION_BYTES
from mvcc_kv.errors import BadRequestError, ConflictError, UnavailableError, Winner
from tests.engine.logs import DeferringLog


class RecordingLog(DeferringLog):
    """Takes every record; commits wait to be published, or are refused, as it is told."""

    def __init__(self, *, visible_at_once: bool = False) -> None:
        self.visible_at_once = visible_at_once
        self.is_broken = False
        self.records: list[tuple[int, dict[bytes, bytes | None], str | None]] = []

    def append(
        self,
        commit_ts: int,
        writes: Mapping[bytes, bytes | None],
        label: str | None,
        token: str | None,
        time_us: int,
        superseded: object,
    ) -> bool:
        if self.is_broken:
            raise UnavailableError("the disk is full")
        self.records.append((commit_ts, dict(writes), label))
        return self.visible_at_once


# Outside transactions


def test_each_write_outside_a_transaction_is_a_commit() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    assert store.delete(b"a")
    assert (store.commit_ts, store.visible_ts, store.get(b"a")) == (3, 3, None)


def test_deleting_what_is_not_there_is_no_commit() -> None:
    store = VersionedStore()
    assert not store.delete(b"a")
    store.put(b"a", b"1")
    assert store.delete(b"a")
    assert not store.delete(b"a")
    assert store.commit_ts == 2


def test_a_write_outside_a_transaction_never_conflicts_and_wins_against_open_ones() -> None:
    store = VersionedStore()
    tx = store.begin()
    tx.put(b"a", b"1")
    store.put(b"a", b"2")
    with pytest.raises(ConflictError):
        tx.commit()
    store.put(b"a", b"3")
    assert store.get(b"a") == b"3"


# Scans


def store_of(keys: str) -> VersionedStore:
    store = VersionedStore()
    for key in keys.split():
        store.put(key.encode(), b"1")
    return store


def keys_of(page: Page) -> str:
    return b" ".join(key for key, _ in page.items).decode()


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (KeyRange(), "a b ba bb c é"),
        (KeyRange(prefix=b"b"), "b ba bb"),
        (KeyRange(start=b"b", end=b"bb"), "b ba"),
        (KeyRange(prefix=b"b", start=b"ba"), "ba bb"),
        (KeyRange(prefix=b"b", end=b"ba"), "b"),
        (KeyRange(start=b"bz"), "c é"),
        (KeyRange(start="é".encode()), "é"),
        (KeyRange(start=b"c", end=b"c"), ""),
        (KeyRange(start=b"c", end=b"a"), ""),
        (KeyRange(prefix=b"x"), ""),
    ],
)
def test_a_range_is_half_open_and_in_byte_order(keys: KeyRange, found: str) -> None:
    store = store_of("c bb é a b ba")
    assert keys_of(store.scan(keys, limit=9)) == found
    assert keys_of(store.scan(keys, limit=9, reverse=True)) == " ".join(found.split()[::-1])


def test_a_page_says_where_the_rest_begins() -> None:
    store = store_of("a b c d")
    assert store.scan(KeyRange(), limit=2).next == b"c"
    assert store.scan(KeyRange(), limit=4).next is None
    page = store.scan(KeyRange(), limit=3, reverse=True)
    assert (keys_of(page), page.next) == ("d c b", b"b")
    assert keys_of(store.scan(KeyRange().resumed(b"b", reverse=True), limit=3, reverse=True)) == "a"


def test_a_page_may_be_empty_and_still_not_the_last() -> None:
    store = store_of("a b c d")
    writer = store.begin()  # keeps the tombstones
    for key in (b"a", b"b"):
        store.delete(key)
    assert store.scan(KeyRange(), limit=2, bounds=ScanBounds(2)) == Page([], b"c")
    assert keys_of(store.scan(KeyRange(start=b"c"), limit=2)) == "c d"
    assert keys_of(writer.scan(KeyRange(), limit=4)) == "a b c d"
    writer.rollback()


@pytest.mark.parametrize("reverse", [False, True])
def test_one_item_is_found_behind_any_number_of_tombstones_as_far_as_its_bounds_go(reverse: bool) -> None:
    store = store_of("m")
    writer = store.begin()
    for key in [f"{letter}{n}".encode() for letter in "az" for n in range(500)]:
        store.put(key, b"1")
        store.delete(key)
    bounds = ScanBounds()
    assert keys_of(store.scan(KeyRange(), limit=1, reverse=reverse, bounds=bounds)) == "m"
    assert bounds.looked_at == 501
    writer.rollback()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_page_ends_where_its_bytes_do_and_the_rest_begins_there(reverse: bool) -> None:
    store = store_of("a b c d e")
    bounds = ScanBounds(bytes_max=len(b"a1" + b"b"))
    page = store.scan(KeyRange(), limit=5, reverse=reverse, bounds=bounds)
    assert keys_of(page) == ("e d" if reverse else "a b")
    assert not bounds.has_room and page.next is not None
    rest = store.scan(KeyRange().resumed(page.next, reverse=reverse), limit=5, reverse=reverse)
    assert keys_of(rest) == ("c b a" if reverse else "c d e")


# Options


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (TransactionOptions(isolation=cast("Isolation", "chaos")), "chaos"),
        (TransactionOptions(at=1), "nothing at 1 yet"),
        (TransactionOptions(label="x" * (LABEL_CHARACTERS_MAX + 1)), str(LABEL_CHARACTERS_MAX)),
    ],
)
def test_what_a_transaction_cannot_be_is_refused_and_opens_nothing(options: TransactionOptions, named: str) -> None:
    store = VersionedStore()
    with pytest.raises(BadRequestError, match=named):
        store.begin(options)
    assert store.stats()["active_transactions"] == 0


# Conflicts


def test_the_evidence_names_every_clashing_key_in_the_order_of_writing_and_its_own_winner() -> None:
    store = store_of("a b c d")
    loser = store.begin()
    for key in (b"d", b"c", b"b", b"a"):
        loser.put(key, b"2")
    nightly = store.begin(TransactionOptions(label="nightly"))
    nightly.put(b"a", b"3")
    nightly.put(b"d", b"3")
    nightly.commit()
    store.put(b"b", b"4")
    with pytest.raises(ConflictError) as caught:
        loser.commit()
    error = caught.value
    assert error.keys == ["d", "b", "a"]
    assert error.start_ts == 4
    assert error.winners == {"d": Winner(5, "nightly"), "b": Winner(6), "a": Winner(5, "nightly")}
    assert error.retryable
    assert "'d' (and 2 more)" in error.message


def test_the_winner_named_is_the_newest_one() -> None:
    store = store_of("a")
    loser = store.begin()
    loser.put(b"a", b"2")
    for label in ("first", "second"):
        tx = store.begin(TransactionOptions(label=label))
        tx.put(b"a", b"3")
        tx.commit()
    with pytest.raises(ConflictError) as caught:
        loser.commit()
    assert caught.value.winners == {"a": Winner(3, "second")}


def test_a_deletion_can_win_and_can_lose() -> None:
    store = store_of("a b")
    writer, deleter = store.begin(), store.begin()
    writer.put(b"a", b"2")
    writer.delete(b"b")
    deleter.delete(b"a")
    deleter.commit()
    store.put(b"b", b"2")
    with pytest.raises(ConflictError) as caught:
        writer.commit()
    assert caught.value.winners == {"a": Winner(3), "b": Winner(4)}


def test_a_conflict_applies_nothing_and_counts_once() -> None:
    store = store_of("a")
    loser = store.begin()
    loser.put(b"fresh", b"2")
    loser.put(b"a", b"2")
    store.put(b"a", b"3")
    with pytest.raises(ConflictError):
        loser.commit()
    assert store.keys() == [b"a"] and store.commit_ts == 2
    stats = store.stats()
    assert (stats["conflicts_total"], stats["commits_total"], stats["active_transactions"]) == (1, 2, 0)
    assert loser.commit_ts is None
    store.check()


# The commit log


def test_a_record_is_handed_over_before_anybody_sees_the_commit() -> None:
    log = RecordingLog(visible_at_once=True)
    store = VersionedStore(log)
    store.put(b"a", b"1")
    tx = store.begin(TransactionOptions(label="nightly"))
    tx.delete(b"a")
    tx.put(b"b", b"2")
    tx.commit()
    assert log.records == [(1, {b"a": b"1"}, None), (2, {b"a": None, b"b": b"2"}, "nightly")]


def test_unpublished_commits_are_not_seen_but_count_for_validation() -> None:
    store = VersionedStore(RecordingLog())
    store.put(b"a", b"1")
    store.publish(1)
    store.put(b"a", b"2")
    assert (store.commit_ts, store.visible_ts) == (2, 1)
    assert store.get(b"a") == b"1"
    assert store.scan(KeyRange(), limit=9).items == [(b"a", b"1")]
    tx = store.begin()
    assert (tx.start_ts, tx.get(b"a")) == (1, b"1")
    tx.put(b"a", b"3")
    with pytest.raises(ConflictError) as caught:
        tx.commit()
    assert caught.value.winners == {"a": Winner(2)}
    store.publish(2)
    assert store.get(b"a") == b"2"
    store.check()


def test_publishing_what_was_passed_already_changes_nothing() -> None:
    log = RecordingLog()
    store = VersionedStore(log)
    store.put(b"a", b"1")
    log.visible_at_once = True
    store.put(b"a", b"2")
    store.publish(1)
    assert (store.visible_ts, store.get(b"a")) == (2, b"2")
    store.check()


def test_versions_wait_for_their_successors_to_be_published() -> None:
    store = VersionedStore(RecordingLog())
    for n in range(5):
        store.put(b"a", b"%d" % n)
    reader = store.begin(TransactionOptions(read_only=True))
    assert [ts for ts, _ in store.chain(b"a")] == [5, 4, 3, 2, 1]
    store.publish(3)
    assert [ts for ts, _ in store.chain(b"a")] == [5, 4, 3]
    assert reader.get(b"a") is None
    store.publish(5)
    assert [ts for ts, _ in store.chain(b"a")] == [5]
    store.check()


def test_a_tombstone_stays_until_it_is_published() -> None:
    store = VersionedStore(RecordingLog())
    store.put(b"a", b"1")
    store.publish(1)
    assert store.delete(b"a")
    assert store.get(b"a") == b"1"
    store.collect()
    assert store.chain(b"a") == [(2, None), (1, b"1")]
    store.publish(2)
    assert store.chain(b"a") == [] and store.get(b"a") is None
    store.check()


def test_a_log_that_refuses_refuses_the_commit_and_nothing_of_it_is_applied() -> None:
    log = RecordingLog(visible_at_once=True)
    store = VersionedStore(log)
    store.put(b"a", b"1")
    tx = store.begin()
    tx.put(b"a", b"2")
    tx.put(b"b", b"2")
    log.is_broken = True
    for write in (tx.commit, lambda: store.delete(b"a"), lambda: store.put(b"a", b"3")):
        with pytest.raises(UnavailableError):
            write()
    assert (store.commit_ts, store.visible_ts, store.keys()) == (1, 1, [b"a"])
    assert store.chain(b"a") == [(1, b"1")]
    assert store.stats()["active_transactions"] == 0
    store.check()


def test_reads_go_on_when_the_log_is_broken() -> None:
    log = RecordingLog(visible_at_once=True)
    store = VersionedStore(log)
    store.put(b"a", b"1")
    log.is_broken = True
    tx = store.begin()
    assert (store.get(b"a"), tx.get(b"a"), tx.commit()) == (b"1", b"1", 1)


# Restoring and looking in


def test_a_restored_store_goes_on_from_its_timestamp() -> None:
    store = VersionedStore()
    store.restore(41, [(b"b", b"2"), (b"a", b"1")])
    assert store.keys() == [b"a", b"b"]
    assert store.chain(b"a") == [(41, b"1")]
    tx = store.begin()
    tx.put(b"a", b"3")
    assert (tx.start_ts, tx.commit()) == (41, 42)
    store.check()


def test_a_store_in_use_is_not_restored() -> None:
    with pytest.raises(AssertionError):
        store_of("a").restore(41, [])


def test_stats_count_what_there_is() -> None:
    store = store_of("a b")
    reader = store.begin(TransactionOptions(read_only=True))
    store.put(b"a", b"2")
    store.delete(b"b")
    store.begin().commit()
    store.begin().rollback()
    assert store.stats() == {
        "commit_ts": 4,
        "visible_ts": 4,
        "keys": 1,
        "versions": 4,
        "active_transactions": 1,
        "oldest_start_ts": 2,
        "oldest_ts": 4,
        "retained_commits": 0,
        "retained_bytes": 0,
        "pinned_bytes": 2 * (VERSION_BYTES + len(b"a1")),
        "unpinned_total": 0,
        "read_set_bytes": 0,
        "commits_total": 5,
        "conflicts_total": 0,
        "rollbacks_total": 1,
        "expiring_keys": 0,
        "expired_total": 0,
        "hot_keys": [],
    }
    reader.rollback()
    assert store.stats()["versions"] == 1


def test_check_finds_a_store_that_contradicts_itself() -> None:
    store = store_of("a b")
    store._versions.index.versions += 1
    with pytest.raises(AssertionError):
        store.check()
