"""The feed's consumer: what it finds wrong, and that it is content with a database that is right."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

import mvcc_kv
from mvcc_kv.api import Database
from mvcc_kv.database import StoreDatabase
from mvcc_kv.errors import UnavailableError
from mvcc_kv.stress.client import Note
from mvcc_kv.stress.feed import FeedFollower
from mvcc_kv.stress.history import EventType


@pytest.fixture
def db() -> Iterator[StoreDatabase]:
    with mvcc_kv.open(":memory:", retain_bytes=1 << 20) as db:
        yield db


def following(db: StoreDatabase) -> FeedFollower:
    follower = FeedFollower(lambda _: nullcontext(db), prefix="", seed=1, is_kept=True)
    follower.start()
    return follower


def committed(db: StoreDatabase, ticket: int) -> Note:
    """A step that was acknowledged, as its client noted it."""
    with db.transaction(label=str(ticket)) as tx:
        tx["k"] = ticket
    return noted(ticket, "ok", tx.commit_ts)


def noted(ticket: int, event_type: EventType, commit_ts: int | None = None) -> Note:
    return Note(0, 0, event_type, "txn", [("w", "k", ticket)], ticket, None, commit_ts)


def kinds(follower: FeedFollower, notes: list[Note]) -> list[str]:
    return [violation.partition(":")[0] for violation in follower.check(notes).violations]


def test_what_was_committed_came_once_and_in_order(db: StoreDatabase) -> None:
    db["before"] = 1
    follower = following(db)
    notes = [committed(db, ticket) for ticket in range(50)]
    db["k"] = "by itself"
    del db["before"]
    follower.finish()
    assert kinds(follower, notes) == []
    assert [label for _, label in follower.commits] == [*map(str, range(50)), None, None]


def test_an_acknowledged_commit_that_never_came_is_a_gap(db: StoreDatabase) -> None:
    follower = following(db)
    notes = [committed(db, ticket) for ticket in range(3)]
    follower.finish()
    del follower.commits[1]
    assert kinds(follower, notes) == ["feed gap"]


def test_a_commit_that_came_twice_or_under_another_label_is_found(db: StoreDatabase) -> None:
    follower = following(db)
    notes = [committed(db, ticket) for ticket in range(3)]
    follower.finish()
    follower.commits.append(follower.commits[-1])
    assert kinds(follower, notes) == ["feed order"]
    follower.commits[1:] = [(follower.commits[1][0], "99"), follower.commits[2]]
    assert kinds(follower, notes) == ["feed label"]


def test_the_commit_of_a_step_that_failed_is_found_and_of_an_unknown_one_is_not(db: StoreDatabase) -> None:
    follower = following(db)
    committed(db, 1)
    follower.finish()
    assert kinds(follower, [noted(1, "info")]) == []
    assert kinds(follower, [noted(1, "fail")]) == ["aborted write"]


def test_changes_that_do_not_lead_to_the_final_state_are_found(db: StoreDatabase) -> None:
    follower = following(db)
    committed(db, 1)
    follower.finish()
    follower._state["k"] = 7
    assert kinds(follower, []) == ["feed state"]


def test_what_is_not_kept_is_a_gap_only_where_it_was_promised(db: StoreDatabase) -> None:
    follower = following(db)
    follower.finish()
    follower.resyncs.append((1, 5))
    assert kinds(follower, [noted(1, "ok", 3)]) == ["feed gap"]
    follower._is_kept = False
    assert kinds(follower, [noted(1, "ok", 3)]) == []


class Front:
    """A database in a directory that is closed and opened again, and may refuse whoever comes, as a server would."""

    def __init__(self, path: Path, retain_bytes: int) -> None:
        self._path = path
        self._retain_bytes = retain_bytes
        self.db = self._opened()
        self.refuses = False
        self.has_refused = threading.Event()

    def connect(self, _: int) -> AbstractContextManager[Database]:
        if self.refuses:
            self.has_refused.set()
            raise UnavailableError("come back later", retryable=True)
        return nullcontext(self.db)

    def restart(self) -> None:
        self.db.close()
        self.db = self._opened()

    def _opened(self) -> StoreDatabase:
        return mvcc_kv.open(self._path, fsync="never", retain_bytes=self._retain_bytes)


def slept_over_a_checkpoint_and_a_restart(path: Path, retain_bytes: int) -> tuple[FeedFollower, list[Note]]:
    front = Front(path, retain_bytes)
    follower = FeedFollower(front.connect, prefix="", seed=1, is_kept=True)
    follower.start()
    notes = [committed(front.db, ticket) for ticket in range(10)]
    front.refuses = True
    assert front.has_refused.wait(30)
    for ticket in range(10, 20):
        notes.append(committed(front.db, ticket))
        front.db.checkpoint()
    front.restart()
    front.refuses = False
    follower.finish()
    front.db.close()
    return follower, notes


def test_what_was_missed_over_a_checkpoint_and_a_restart_comes_once_and_in_order(tmp_path: Path) -> None:
    follower, notes = slept_over_a_checkpoint_and_a_restart(tmp_path, retain_bytes=1 << 20)
    assert kinds(follower, notes) == []
    assert [label for _, label in follower.commits] == [*map(str, range(20))]


def test_a_promise_that_is_not_kept_over_a_restart_is_a_gap(tmp_path: Path) -> None:
    follower, notes = slept_over_a_checkpoint_and_a_restart(tmp_path, retain_bytes=0)
    assert kinds(follower, notes) == ["feed gap"]
    follower._is_kept = False
    assert kinds(follower, notes) == [], "the feed said that it was lost"
