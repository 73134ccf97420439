"""Hazards that bit other stores, each with its test: here, or where `ELSEWHERE` says."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import ConflictError, Winner
from tests.engine.logs import DeferringLog

TESTS = Path(__file__).parents[1]

ELSEWHERE = {
    "tracking only the keys that a scan yielded": (
        "engine/test_hazards_of_reading.py::test_hazard_tracking_only_the_keys_that_a_scan_yielded",
        "engine/test_hazards_of_reading.py::test_hazard_a_page_is_tracked_as_far_as_it_went_and_no_further",
    ),
    "untracked empty ranges and absent keys": (
        "engine/test_hazards_of_reading.py::test_hazard_untracked_empty_ranges",
        "engine/test_hazards_of_reading.py::test_hazard_untracked_absent_keys",
        "engine/test_hazards_of_reading.py::test_hazard_an_absent_key_that_came_and_went",
    ),
    "count or exists not tracked": ("engine/test_hazards_of_reading.py::test_hazard_count_and_exists_not_tracked",),
    "a tombstone resurrected inside a scanned range": (
        "engine/test_hazards_of_reading.py::test_hazard_a_tombstone_resurrected_inside_a_scanned_range",
        "engine/test_hazards_of_reading.py::test_hazard_a_deletion_inside_a_scanned_range_whose_key_was_collected",
    ),
    "write skew by a predicate": ("engine/test_hazards_of_reading.py::test_hazard_write_skew_by_a_predicate",),
    "the read-only anomaly": ("engine/test_hazards_of_reading.py::test_hazard_the_read_only_anomaly",),
    "an ack before fsync": (
        "server/test_commits.py::test_a_commit_is_published_when_it_is_durable_and_not_before",
        "faults/test_every_operation.py::test_a_crash_at_any_operation_loses_nothing_acknowledged",
    ),
    "an fsync error ignored and a later one trusted": (
        "server/test_commits.py::test_a_failed_flush_tells_everybody_once_and_is_final",
        "faults/test_log.py::test_after_a_failure_every_commit_gets_an_error_of_its_own",
        "e2e/test_failing_disk.py::test_a_failed_write_or_sync_ends_commits_and_nothing_else",
    ),
    "a torn or garbage tail that stops the start": (
        "faults/test_damage.py::test_a_log_cut_at_any_byte_is_a_prefix_of_its_commits",
        "faults/test_damage.py::test_garbage_behind_the_last_commit_is_cut",
    ),
    "a damaged middle silently skipped": (
        "faults/test_damage.py::test_a_flipped_bit_is_refused_or_cuts_the_last_commit",
        "faults/test_damage.py::test_a_hole_in_the_last_flush_is_cut_and_one_before_it_is_refused",
    ),
    "a retried commit applied twice": (
        "engine/test_outcomes.py::test_a_remembered_commit_is_answered_again",
        "client/test_exactly_once.py::test_every_transfer_is_applied_once_however_often_the_server_is_killed",
    ),
    "one failed checkpoint blocking all later ones": (
        "server/test_checkpoints.py::test_a_failing_checkpoint_is_answered_and_the_next_one_works",
        "e2e/test_failing_disk.py::test_a_failed_checkpoint_leaves_the_old_one_and_the_next_succeeds",
    ),
    "a slow consumer holding up writers": (
        "server/test_loop.py::test_a_client_that_does_not_read_is_held_back_and_the_others_are_served",
        "server/test_loop.py::test_a_client_that_leaves_too_much_unread_is_closed_and_logged",
        "server/test_feed_over_tcp.py::test_a_stuck_consumer_costs_a_bounded_amount_and_holds_nobody_up",
    ),
}


@pytest.mark.parametrize("hazard", ELSEWHERE)
def test_the_tests_of_other_hazards_are_where_they_are_said_to_be(hazard: str) -> None:
    for place in ELSEWHERE[hazard]:
        path, name = place.split("::")
        assert f"\ndef {name}(" in TESTS.joinpath(path).read_text(), place


def test_hazard_merging_a_scan_with_the_transactions_own_writes_and_deletes() -> None:
    # A page full of keys that the transaction deleted must not end the scan, and a written key must appear once.
    store = VersionedStore()
    store.restore(1, [(b"%02d" % n, b"old") for n in range(10)])
    tx = store.begin()
    for n in range(5):
        tx.delete(b"%02d" % n)
    tx.put(b"07", b"new")
    tx.put(b"075", b"new")
    page = tx.scan(KeyRange(), limit=5)
    assert (page.items, page.next) == ([], b"05")
    rest = tx.scan(KeyRange(start=b"05"), limit=9).items
    assert [key for key, _ in rest] == [b"05", b"06", b"07", b"075", b"08", b"09"]
    assert dict(rest)[b"07"] == b"new"


def test_hazard_a_false_conflict_after_ones_own_delete() -> None:
    store = VersionedStore()
    store.put(b"a", b"1")
    tx = store.begin()
    tx.delete(b"a")
    tx.put(b"a", b"2")
    tx.delete(b"a")
    tx.commit()
    again = store.begin()
    again.put(b"a", b"3")
    assert again.commit() == 3

    made_and_dropped = store.begin()
    made_and_dropped.put(b"b", b"1")
    made_and_dropped.delete(b"b")
    store.put(b"b", b"2")  # it left the write set, so this is nobody's conflict
    made_and_dropped.commit()
    assert store.get(b"b") == b"2"


def test_hazard_collection_dropping_a_version_a_live_snapshot_sees() -> None:
    # Three snapshots, ended in every order: whoever is left still reads what it read at first.
    for order in permutations(range(3)):
        store = VersionedStore()
        readers = []
        for n in range(3):
            store.put(b"hot", b"%d" % n)
            if n == 0:
                store.put(b"cold", b"0")
            readers.append(store.begin(TransactionOptions(read_only=True)))
        store.put(b"hot", b"3")
        store.delete(b"cold")
        left = set(range(3))
        for at in order:
            readers[at].rollback()
            left.remove(at)
            store.check()
            assert all(readers[n].get(b"hot") == b"%d" % n and readers[n].get(b"cold") == b"0" for n in left)


def test_hazard_keeping_versions_forever() -> None:
    # Readers and losers come and go; when nobody is there, one version of each key is.
    store = VersionedStore()
    for n in range(300):
        reader, loser = store.begin(), store.begin()
        loser.put(b"%d" % (n % 7), b"x")
        store.put(b"%d" % (n % 7), b"y")
        store.put(b"gone %d" % n, b"y")
        store.delete(b"gone %d" % n)
        with pytest.raises(ConflictError):
            loser.commit()
        if n % 3:
            reader.rollback()
        del reader, loser  # every third one is abandoned
    stats = store.stats()
    assert (stats["versions"], stats["keys"], stats["active_transactions"]) == (7, 7, 0)
    store.check()


def test_hazard_a_conflict_report_naming_the_wrong_key() -> None:
    # Only what was written clashes: not what was read, and not what the winner wrote besides.
    store = VersionedStore()
    store.restore(1, [(key, b"1") for key in (b"read", b"safe", b"lost", b"beside")])
    loser = store.begin()
    loser.get(b"read")
    loser.put(b"safe", b"2")
    loser.put(b"lost", b"2")
    winner = store.begin(TransactionOptions(label="winner"))
    for key in (b"read", b"beside", b"lost"):
        winner.put(key, b"3")
    winner.commit()
    with pytest.raises(ConflictError) as caught:
        loser.commit()
    assert caught.value.winners == {"lost": Winner(2, "winner")}


def test_hazard_blind_writers_of_one_key_both_commit() -> None:
    store = VersionedStore()
    first, second = store.begin(), store.begin()
    first.put(b"new", b"1")
    second.put(b"new", b"2")
    first.commit()
    with pytest.raises(ConflictError):
        second.commit()
    assert store.get(b"new") == b"1"


def test_hazard_a_blind_write_over_a_key_that_was_made_and_deleted_meanwhile() -> None:
    # The key is as absent as it was at the start, but it was committed twice since: first committer wins.
    store = VersionedStore()
    blind = store.begin()
    blind.put(b"a", b"1")
    store.put(b"a", b"2")
    store.delete(b"a")
    store.collect()
    with pytest.raises(ConflictError) as caught:
        blind.commit()
    assert caught.value.winners == {"a": Winner(2)}


def test_hazard_an_unpublished_delete_that_lets_an_old_snapshot_lose_the_key() -> None:
    store = VersionedStore(DeferringLog())
    store.put(b"a", b"1")
    store.publish(1)
    reader = store.begin(TransactionOptions(read_only=True))
    store.delete(b"a")
    store.put(b"a", b"3")
    store.publish(3)
    assert reader.get(b"a") == b"1"
    store.check()
    reader.rollback()
    assert store.chain(b"a") == [(3, b"3")]
