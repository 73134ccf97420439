"""What an embedded database bounds when it is asked to; `serve` has options of the same names."""

from __future__ import annotations

from pathlib import Path

import pytest

import mvcc_kv


def test_a_serializable_transaction_may_read_as_much_as_the_database_was_opened_for(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path, max_read_set_bytes=300) as db:
        tx = db.transaction(isolation="serializable")
        tx.get("a")
        tx.get("b")
        with pytest.raises(mvcc_kv.LimitExceededError, match="--max-read-set-bytes"):
            tx.get("c")
        with pytest.raises(mvcc_kv.TransactionDoomedError):
            tx.commit()


def test_the_oldest_snapshot_is_ended_when_it_keeps_too_much_alive() -> None:
    db = mvcc_kv.open(max_pinned_bytes=1_000)
    db["a"] = "x" * 600
    reader = db.transaction(read_only=True)
    db["a"] = "y"
    assert reader["a"] == "x" * 600
    db["b"] = "y" * 600
    late = db.transaction(read_only=True)
    db["b"] = "z"
    with pytest.raises(mvcc_kv.SnapshotGoneError) as gone:
        reader.get("a")
    assert gone.value.retryable
    assert late["b"] == "y" * 600


def test_limits_are_not_negative() -> None:
    with pytest.raises(mvcc_kv.BadRequestError):
        mvcc_kv.open(max_pinned_bytes=-1)
