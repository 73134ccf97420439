"""Retries, over a real database that really conflicts; time and chance are the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import mvcc_kv
from mvcc_kv.api import Database, Transaction, TransactionOptions
from mvcc_kv.errors import (
    BadRequestError,
    CommitUnknownError,
    ConflictError,
    ReadOnlyError,
    UnavailableError,
)
from mvcc_kv.hunch import hunch_of
from mvcc_kv.retry import RetryPolicy, Timing, attempts, run, transactional


@dataclass
class StoppedClock:
    """Time that passes only while somebody sleeps, and a chance that always falls the same."""

    jitter: float = 1.0
    now_s: float = 100.0
    slept_s: list[float] = field(default_factory=list)

    def sleep(self, duration_s: float) -> None:
        self.slept_s.append(duration_s)
        self.now_s += duration_s

    @property
    def timing(self) -> Timing:
        return Timing(now=lambda: self.now_s, sleep=self.sleep, random=lambda: self.jitter)


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def db() -> Iterator[Database]:
    with mvcc_kv.open(":memory:") as db:
        db["n"] = 0
        yield db


class Rival:
    """Takes the key first, so many times."""

    def __init__(self, db: Database, times: int) -> None:
        self._db = db
        self._left = times

    def strikes(self) -> None:
        if self._left > 0:
            self._left -= 1
            self._db["n"] = self._db["n"] + 100


def increment(tx: Transaction, rival: Rival) -> int:
    n: int = tx["n"] + 1
    tx["n"] = n
    rival.strikes()
    return n


# What is retried


def test_run_returns_what_the_committed_attempt_returned(db: Database) -> None:
    assert run(db, increment, Rival(db, times=3)) == 301
    assert db["n"] == 301


def test_every_attempt_has_a_new_snapshot(db: Database, clock: StoppedClock) -> None:
    rival, seen = Rival(db, times=2), []
    for attempt in attempts(db, timing=clock.timing):
        with attempt as tx:
            seen.append(tx["n"])
            increment(tx, rival)
    assert seen == [0, 100, 200]


def test_a_conflict_raised_inside_the_block_is_retried_like_one_of_its_commit(db: Database) -> None:
    rival, tries = Rival(db, times=2), 0
    for attempt in attempts(db):
        with attempt as tx:
            tries += 1
            increment(tx, rival)
            tx.commit()
    assert (tries, db["n"]) == (3, 201)


def test_an_error_that_is_not_retryable_is_raised_at_once(db: Database, clock: StoppedClock) -> None:
    tries = 0

    def read_what_is_missing(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        tx["n"] = 1
        tx["missing"]

    with pytest.raises(KeyError):
        transactional(timing=clock.timing)(read_what_is_missing)(db)
    assert (tries, clock.slept_s, db["n"]) == (1, [], 0)


def test_an_unknown_commit_is_never_retried(db: Database, clock: StoppedClock) -> None:
    tries = 0

    def lose_the_answer(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        raise CommitUnknownError("lost")

    with pytest.raises(CommitUnknownError) as caught:
        transactional(timing=clock.timing)(lose_the_answer)(db)
    assert tries == 1
    assert not hasattr(caught.value, "__notes__")


def test_retryable_is_asked_of_the_error_and_not_of_its_class(db: Database, clock: StoppedClock) -> None:
    outcomes = [UnavailableError("busy", retryable=True), UnavailableError("gone", retryable=False)]
    left = list(outcomes)

    def fail(tx: Transaction) -> None:
        raise left.pop(0)

    with pytest.raises(UnavailableError, match="gone"):
        transactional(timing=clock.timing)(fail)(db)
    assert left == []


def test_what_the_block_has_committed_is_not_run_again(db: Database) -> None:
    def commit_and_then_lose(tx: Transaction) -> None:
        tx["n"] = tx["n"] + 1
        tx.commit()
        other, rival = db.transaction(), Rival(db, times=1)
        increment(other, rival)
        other.commit()

    with pytest.raises(ConflictError):
        run(db, commit_and_then_lose)
    assert db["n"] == 101


def test_a_beginning_that_fails_is_retried_too(db: Database, clock: StoppedClock) -> None:
    failing = BrieflyAway(db, times=2)
    assert run_with(failing, clock) == 1
    assert len(clock.slept_s) == 2


def test_a_beginning_that_keeps_failing_gives_up(db: Database, clock: StoppedClock) -> None:
    with pytest.raises(UnavailableError) as caught:
        run_with(BrieflyAway(db, times=1000), clock)
    assert "gave up after 20 attempts" in caught.value.__notes__[0]


class BrieflyAway:
    """A database that can't begin a transaction for the first so many times."""

    def __init__(self, db: Database, times: int) -> None:
        self._db = db
        self._left = times

    def __getattr__(self, name: str) -> object:
        if name == "begin" and self._left > 0:
            self._left -= 1
            raise UnavailableError("no connection", retryable=True)
        return getattr(self._db, name)


def run_with(db: object, clock: StoppedClock) -> int:
    for attempt in attempts(db, timing=clock.timing):  # type: ignore[arg-type]  # all of it, by __getattr__
        with attempt as tx:
            n: int = tx["n"] + 1
            tx["n"] = n
    return n


# The bounds


def test_the_attempts_are_bounded_and_the_last_error_says_so(db: Database, clock: StoppedClock) -> None:
    policy = RetryPolicy(attempts_max=3, backoff_base_s=0.5, backoff_cap_s=8.0, turns=False)
    with pytest.raises(ConflictError) as caught:
        transactional(policy=policy, timing=clock.timing)(increment)(db, Rival(db, times=1000))
    assert caught.value.keys == ["n"]
    assert caught.value.__notes__ == ["gave up after 3 attempts over 1.500 s (attempts_max=3, deadline_s=10)"]
    assert db["n"] == 300


def test_no_pause_is_begun_that_would_end_after_the_deadline(db: Database, clock: StoppedClock) -> None:
    policy = RetryPolicy(attempts_max=1000, deadline_s=10.0, backoff_base_s=1.0, backoff_cap_s=100.0, turns=False)
    with pytest.raises(ConflictError) as caught:
        transactional(policy=policy, timing=clock.timing)(increment)(db, Rival(db, times=1000))
    assert clock.slept_s == [1.0, 2.0, 4.0]
    assert caught.value.__notes__ == ["gave up after 4 attempts over 7.000 s (attempts_max=1000, deadline_s=10)"]


def test_one_attempt_is_no_retry(db: Database, clock: StoppedClock) -> None:
    policy = RetryPolicy(attempts_max=1)
    with pytest.raises(ConflictError) as caught:
        transactional(policy=policy, timing=clock.timing)(increment)(db, Rival(db, times=1))
    assert "gave up after 1 attempt over" in caught.value.__notes__[0]
    assert clock.slept_s == []


def test_pauses_double_up_to_the_cap(db: Database, clock: StoppedClock) -> None:
    policy = RetryPolicy(backoff_base_s=0.1, backoff_cap_s=0.5, turns=False)
    transactional(policy=policy, timing=clock.timing)(increment)(db, Rival(db, times=5))
    assert clock.slept_s == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_a_pause_is_drawn_from_nought_up_to_its_ceiling(db: Database) -> None:
    clock = StoppedClock(jitter=0.25)
    policy = RetryPolicy(backoff_base_s=0.4, backoff_cap_s=10.0, turns=False)
    transactional(policy=policy, timing=clock.timing)(increment)(db, Rival(db, times=2))
    assert clock.slept_s == [0.1, 0.2]


def test_a_pause_stays_at_the_cap_however_often_it_failed() -> None:
    assert RetryPolicy(backoff_cap_s=0.25).pause_s(10**9, jitter=1.0) == 0.25


@pytest.mark.parametrize("knobs", [{"attempts_max": 0}, {"deadline_s": -1.0}, {"backoff_base_s": -0.1}])
def test_a_policy_that_makes_no_sense_is_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(BadRequestError):
        RetryPolicy(**knobs)  # type: ignore[arg-type]


# Turns


class Observed:
    """A database that notes how each transaction was begun: with its turn on which key, having lost how often."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.begun: list[tuple[bytes | None, int]] = []

    def begin(self, options: TransactionOptions) -> Transaction:
        self.begun.append((options.turn, options.lost))
        return self._db.begin(options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def __getitem__(self, key: str) -> Any:
        return self._db[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._db[key] = value


@pytest.fixture
def observed(db: Database) -> Any:
    return Observed(db)


def test_after_a_loss_the_next_attempt_asks_for_its_turn_and_does_not_pause(observed: Any, clock: StoppedClock) -> None:
    assert transactional(timing=clock.timing)(increment)(observed, Rival(observed, times=1)) == 101
    assert (observed.begun, clock.slept_s) == ([(None, 0), (b"n", 1)], [])


def test_who_loses_in_turn_too_pauses_before_asking_again(observed: Any, clock: StoppedClock) -> None:
    policy = RetryPolicy(backoff_base_s=0.1, backoff_cap_s=10.0)
    transactional(policy=policy, timing=clock.timing)(increment)(observed, Rival(observed, times=3))
    assert observed.begun == [(None, 0), (b"n", 1), (b"n", 2), (b"n", 3)]
    assert clock.slept_s == [0.1, 0.2]


def test_attempts_in_turn_are_bounded_too(observed: Any, clock: StoppedClock) -> None:
    policy = RetryPolicy(attempts_max=3, backoff_base_s=0.5)
    with pytest.raises(ConflictError) as caught:
        transactional(policy=policy, timing=clock.timing)(increment)(observed, Rival(observed, times=1000))
    assert caught.value.__notes__ == ["gave up after 3 attempts over 0.250 s (attempts_max=3, deadline_s=10)"]


def test_of_several_keys_the_turn_is_the_smallest_ones(observed: Any) -> None:
    def lose(tx: Transaction, rival: Rival) -> None:
        for key in ("z", "é", "n"):
            tx[key] = 0
            if observed.begun[-1] == (None, 0):
                observed[key] = 1

    run(observed, lose, Rival(observed, times=0))
    assert observed.begun == [(None, 0), (b"n", 1)]


def test_other_errors_pause_and_do_not_forget_the_turn(observed: Any, clock: StoppedClock) -> None:
    policy = RetryPolicy(backoff_base_s=0.1)
    rival, refusals = Rival(observed, times=1), [UnavailableError("busy", retryable=True)]

    def fail_once(tx: Transaction) -> None:
        if len(observed.begun) == 2:
            raise refusals.pop()
        increment(tx, rival)

    transactional(policy=policy, timing=clock.timing)(fail_once)(observed)
    assert (observed.begun, clock.slept_s) == ([(None, 0), (b"n", 1), (b"n", 1)], [0.1])


def test_a_conflict_without_keys_only_pauses(observed: Any, clock: StoppedClock) -> None:
    losses = [ConflictError("lost")]

    def lose_once(tx: Transaction) -> None:
        if losses:
            raise losses.pop()

    transactional(timing=clock.timing)(lose_once)(observed)
    assert observed.begun == [(None, 0), (None, 0)]
    assert len(clock.slept_s) == 1


def test_without_turns_nobody_asks(observed: Any, clock: StoppedClock) -> None:
    policy = RetryPolicy(turns=False)
    transactional(policy=policy, timing=clock.timing)(increment)(observed, Rival(observed, times=3))
    assert observed.begun == [(None, 0)] * 4


def test_a_function_that_keeps_losing_asks_with_its_first_attempt(observed: Any, clock: StoppedClock) -> None:
    counted = transactional(timing=clock.timing)(increment)
    for _ in range(2):
        counted(observed, Rival(observed, times=1))
    observed.begun.clear()
    counted(observed, Rival(observed, times=0))
    assert observed.begun == [(b"n", 0)]


def test_other_functions_and_databases_have_no_such_hunch(observed: Any, db: Database, clock: StoppedClock) -> None:
    for _ in range(3):
        transactional(timing=clock.timing)(increment)(observed, Rival(observed, times=1))
    observed.begun.clear()
    run(observed, lambda tx: tx.put("n", 1))
    for attempt in attempts(observed):
        with attempt as tx:
            tx["n"] = 1
    assert observed.begun == [(None, 0), (None, 0)]
    another: Any = Observed(db)
    run(another, increment, Rival(another, times=0))
    assert another.begun == [(None, 0)]


def test_blocks_have_a_hunch_by_their_label(observed: Any) -> None:
    def count(label: str | None, times: int) -> None:
        rival = Rival(observed, times)
        for attempt in attempts(observed, options=TransactionOptions(label=label)):
            with attempt as tx:
                increment(tx, rival)

    for _ in range(2):
        count("nightly", times=1)
    observed.begun.clear()
    count("nightly", times=0)
    count(None, times=0)
    assert observed.begun == [(b"n", 0), (None, 0)]


def test_a_hunch_that_nobody_shares_is_dropped(observed: Any) -> None:
    for _ in range(3):
        run(observed, increment, Rival(observed, times=1))
    for _ in range(100):
        run(observed, increment, Rival(observed, times=0))
    assert observed.begun[-1] == (None, 0)


@pytest.mark.parametrize("error", [KeyError("its own"), UnavailableError("gone", retryable=False)])
def test_a_retry_that_fails_is_over_for_the_others_too(observed: Any, error: Exception) -> None:
    def fail(tx: Transaction, rival: Rival) -> None:
        if len(observed.begun) == 2:
            raise error
        increment(tx, rival)

    with pytest.raises(type(error)):
        run(observed, fail, Rival(observed, times=1))
    assert hunch_of(observed, fail).turn is None


@pytest.mark.parametrize("leave", ["rollback", "return"])
def test_a_retry_that_is_left_is_over_for_the_others_too(observed: Any, leave: str) -> None:
    def leave_early() -> None:
        rival = Rival(observed, times=1)
        for attempt in attempts(observed):
            with attempt as tx:
                increment(tx, rival)
                if len(observed.begun) == 2:
                    assert hunch_of(observed, None).turn == b"n"
                    tx.rollback()
                    if leave == "return":
                        return

    leave_early()
    assert hunch_of(observed, None).turn is None


# The block


def test_leaving_the_block_after_a_commit_is_fine(db: Database) -> None:
    def first_value() -> int:
        for attempt in attempts(db):
            with attempt as tx:
                tx["n"] = tx["n"] + 1
                n: int = tx["n"]
                return n
        raise AssertionError

    assert first_value() == 1
    for attempt in attempts(db):
        with attempt as tx:
            tx["n"] = 5
            break
    assert db["n"] == 5


def test_committing_before_leaving_the_block_is_retried(db: Database) -> None:
    rival = Rival(db, times=2)

    def committed_value() -> int:
        for attempt in attempts(db):
            with attempt as tx:
                n = increment(tx, rival)
                tx.commit()
                return n
        raise AssertionError

    assert committed_value() == 201


def test_a_loss_that_leaving_the_block_hides_is_warned_of(db: Database) -> None:
    rival = Rival(db, times=1)

    def left_too_early() -> int:
        for attempt in attempts(db):
            with attempt as tx:
                return increment(tx, rival)
        raise AssertionError

    with pytest.warns(RuntimeWarning, match="lost and not retried"):
        left_too_early()
    assert db["n"] == 100


def test_a_loop_that_does_not_enter_its_attempts_is_stopped(db: Database) -> None:
    with pytest.raises(BadRequestError, match="with attempt as tx"):
        for _ in attempts(db):
            pass
    assert db.stats()["active_transactions"] == 0


def test_an_attempt_is_entered_once(db: Database) -> None:
    attempt = next(attempts(db))
    with attempt:
        pass
    with pytest.raises(BadRequestError, match="once only"), attempt:
        pass


def test_a_transaction_rolled_back_in_the_block_is_not_run_again(db: Database) -> None:
    tries = 0
    for attempt in attempts(db):
        with attempt as tx:
            tries += 1
            tx["n"] = 1
            tx.rollback()
    assert (tries, db["n"]) == (1, 0)


# The decorator


@transactional
def add(tx: Transaction, key: str, amount: int = 1) -> int:
    """Add."""
    tx[key] = tx.get(key, 0) + amount
    total: int = tx[key]
    return total


@transactional(label="nightly", policy=RetryPolicy(attempts_max=2))
def add_nightly(tx: Transaction, key: str) -> None:
    add(tx, key)


@transactional(read_only=True)
def total(tx: Transaction, prefix: str) -> int:
    return sum(value for _, value in tx.scan(prefix=prefix))


def test_called_with_a_database_it_opens_and_commits(db: Database) -> None:
    assert add(db, "n", amount=5) == 5
    assert db["n"] == 5


def test_called_with_a_transaction_it_joins(db: Database) -> None:
    tx = db.transaction()
    assert add(tx, "n") == 1
    assert add(tx, "n") == 2
    assert db["n"] == 0
    tx.commit()
    assert db["n"] == 2


def test_joined_it_does_not_retry_by_itself(db: Database) -> None:
    tries = 0

    @transactional
    def fail(tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        raise ConflictError("lost", keys=["n"], start_ts=0, winners={})

    with pytest.raises(ConflictError), db.transaction() as tx:
        fail(tx)
    assert tries == 1


def test_its_options_are_those_of_the_transaction(db: Database) -> None:
    db["m"] = 4
    assert total(db, "m") == 4
    with pytest.raises(ReadOnlyError):
        transactional(read_only=True)(lambda tx: tx.put("n", 1))(db)
    loser = db.transaction()
    loser["n"] = 1
    add_nightly(db, "n")
    with pytest.raises(ConflictError) as caught:
        loser.commit()
    assert caught.value.winners["n"].label == "nightly"


def test_it_keeps_the_functions_name_and_docstring() -> None:
    assert (add.__name__, add.__doc__) == ("add", "Add.")


def test_what_is_neither_database_nor_transaction_is_refused() -> None:
    with pytest.raises(TypeError, match="add takes a Database or a Transaction first, not dict"):
        add({}, "n")  # type: ignore[arg-type]


def test_functions_that_would_run_after_the_commit_are_refused() -> None:
    def generator(tx: Transaction) -> Iterator[int]:
        yield 1

    async def coroutine(tx: Transaction) -> int:
        return 1

    async def asynchronous_generator(tx: Transaction) -> AsyncIterator[int]:
        yield 1

    for fn in (generator, coroutine, asynchronous_generator):
        with pytest.raises(TypeError, match="can't be transactional"):
            transactional(fn)
