"""Commits with an id: what is remembered, what is fenced, and what is known to be forgotten."""

from __future__ import annotations

import pytest

from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.outcomes import FORGOTTEN, CommitOutcomes
from mvcc_kv.errors import NoTransactionError, UnavailableError
from tests.engine.logs import DeferringLog


def test_a_remembered_commit_is_answered_again() -> None:
    store = VersionedStore()
    store.put(b"a", b"1", "x")
    assert store.outcome("x") == 1
    store.put(b"a", b"2")
    store.put(b"a", b"1", "x")
    assert store.get(b"a") == b"2", "sent again, it is not applied again"
    assert store.commit_ts == 2


def test_who_asks_for_an_unknown_commit_fences_it() -> None:
    store = VersionedStore()
    late = store.begin()
    late.put(b"a", b"1")
    assert store.outcome("x") is None
    with pytest.raises(NoTransactionError, match="taken for lost"):
        late.commit("x")
    with pytest.raises(NoTransactionError):
        store.put(b"a", b"1", "x")
    assert store.get(b"a") is None


def test_commits_do_not_push_fences_out_of_memory() -> None:
    outcomes = CommitOutcomes(kept_max=2, fences_max=2)
    assert outcomes.find("x") is None
    for ts in range(1, 10):
        outcomes.keep(f"t{ts}", ts)
    with pytest.raises(NoTransactionError):
        outcomes.applied("x")


def test_a_forgotten_commit_is_not_taken_for_one_that_never_was() -> None:
    """Else its client would run it again, and it would be applied twice."""
    outcomes = CommitOutcomes(kept_max=2)
    for ts in (5, 6, 7):
        outcomes.keep(f"t{ts}", ts)
    assert outcomes.forgotten_ts == 5
    with pytest.raises(UnavailableError, match="outcomes of commits up to 5 are forgotten") as caught:
        outcomes.find("t5", after_ts=4)
    assert caught.value.evidence == {"forgotten_ts": 5}
    assert outcomes.find("t6", after_ts=5) == 6
    assert outcomes.find("never", after_ts=5) is None


def test_an_answer_that_memory_cannot_give_fences_nothing() -> None:
    outcomes = CommitOutcomes(kept_max=1)
    outcomes.keep("t1", 1)
    outcomes.keep("t2", 2)
    with pytest.raises(UnavailableError):
        outcomes.find("x", after_ts=0)
    assert outcomes.applied("x") is None


def test_what_is_forgotten_is_written_down_with_what_is_kept() -> None:
    outcomes = CommitOutcomes(kept_max=2)
    for ts in (5, 6, 7):
        outcomes.keep(f"t{ts}", ts)
    assert list(outcomes) == [(FORGOTTEN, 5), ("t6", 6), ("t7", 7)]
    again = CommitOutcomes(kept_max=2)
    again.restore(dict(outcomes))
    assert (again.forgotten_ts, list(again)) == (5, list(outcomes))


def test_a_log_with_more_than_is_kept_is_forgotten_in_order() -> None:
    outcomes = CommitOutcomes(kept_max=2)
    outcomes.restore({"t9": 9, "t7": 7, FORGOTTEN: 3, "t8": 8})
    assert list(outcomes) == [(FORGOTTEN, 7), ("t8", 8), ("t9", 9)]


def test_what_was_on_its_way_when_the_log_failed_is_not_confirmed() -> None:
    store, log = VersionedStore(), DeferringLog()
    store.attach(log)
    store.put(b"a", b"1", "x")
    log.failure = UnavailableError("the log can't be written")
    with pytest.raises(UnavailableError, match="the log can't be written"):
        store.outcome("x")
    assert store.outcome("y") is None, "of what never came it is certain"
