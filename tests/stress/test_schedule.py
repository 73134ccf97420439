"""The scheduler finds the races that are there, none that aren't, and tells of each in the fewest steps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import comb
from typing import Any, cast

import pytest

import mvcc_kv
from mvcc_kv.api import Database, Isolation, Store, StoreTransaction, Transaction, TransactionOptions
from mvcc_kv.retry import RetryPolicy
from mvcc_kv.stress.schedule import Client, Explored, InterleavingError, Interleavings
from tests.contract.serving import serving

SEEDS = range(3)


@pytest.fixture
def stage() -> Interleavings:
    return Interleavings(mvcc_kv.open)


def visit_naively(db: Database) -> None:
    db["visits"] = db.get("visits", 0) + 1


def visit_in_one_attempt(db: Database) -> None:
    with db.transaction() as tx:
        tx["visits"] = tx.get("visits", 0) + 1


@mvcc_kv.transactional
def visit(tx: Transaction) -> None:
    tx["visits"] = tx.get("visits", 0) + 1


@mvcc_kv.transactional
def transfer(tx: Transaction, source: str, target: str, amount: int) -> None:
    tx[source] = tx[source] - amount
    tx[target] = tx[target] + amount


@mvcc_kv.transactional
def leave(tx: Transaction, doctor: str) -> None:
    """Go off call, if another doctor stays."""
    if sum(is_on for _, is_on in tx.scan(prefix="on call:")) > 1:
        tx[f"on call:{doctor}"] = False


def visits_must_be(stage: Interleavings, total: int) -> None:
    @stage.check
    def all_visits_count(db: Database) -> None:
        assert db["visits"] == total


def doctors(stage: Interleavings, isolation: Isolation | None) -> None:
    @stage.setup
    def both_on_call(db: Database) -> None:
        db["on call:ann"] = db["on call:bob"] = True

    @stage.check
    def somebody_is_on_call(db: Database) -> None:
        assert any(is_on for _, is_on in db.scan(prefix="on call:"))

    stage.client(leave, "ann", isolation=isolation)
    stage.client(leave, "bob", isolation=isolation)


def found(stage: Interleavings, **how: Any) -> InterleavingError:
    with pytest.raises(InterleavingError) as caught:
        stage.run(**how)
    return caught.value


# What it finds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lost_update_is_found_and_shrunk_to_four_steps(stage: Interleavings, seed: int) -> None:
    stage.client(visit_naively)
    stage.client(visit_naively)
    visits_must_be(stage, 2)
    error = found(stage, seed=seed)
    assert error.schedule in ("t1 t2*2 t1", "t2 t1*2 t2")
    assert isinstance(error.__cause__, AssertionError)
    assert f"(seed {seed})" in str(error)


def test_the_steps_are_told_with_their_answers(stage: Interleavings) -> None:
    stage.client(visit_naively)
    stage.client(visit_naively)
    visits_must_be(stage, 2)
    error = found(stage, replay="t1 t2*2 t1")
    assert error.lines == (
        "t1: GET visits        not there",
        "    t2: GET visits    not there",
        "    t2: PUT visits 1  Ok",
        "t1: PUT visits 1      Ok",
    )
    assert 'replay="t1 t2*2 t1"' in str(error)


@pytest.mark.parametrize("seed", SEEDS)
def test_write_skew_is_found_at_snapshot(stage: Interleavings, seed: int) -> None:
    doctors(stage, None)
    error = found(stage, seed=seed)
    assert len(error.schedule.split()) == 3
    assert len(error.lines) == 8


def test_write_skew_is_not_there_at_serializable(stage: Interleavings) -> None:
    doctors(stage, "serializable")
    assert stage.run(reduced=True).schedules > 1
    assert stage.run(seed=1).distinct > 20


@pytest.mark.parametrize("how", [{"seed": 1}, {"exhaustive": True}, {"preemptions": 2}, {"reduced": True}])
def test_transfers_that_retry_are_right_in_every_schedule(stage: Interleavings, how: dict[str, Any]) -> None:
    @stage.setup
    def accounts(db: Database) -> None:
        db["alice"], db["bob"] = 100, 0

    @stage.check
    def all_was_moved(db: Database) -> None:
        assert (db["alice"], db["bob"]) == (95, 5)

    stage.client(transfer, "alice", "bob", 10)
    stage.client(transfer, "bob", "alice", 5)
    explored = stage.run(**how)
    assert explored.distinct > 1
    assert explored.steps_max > 12, "a schedule in which one had to run again"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_read_only_anomaly_is_found_at_snapshot(stage: Interleavings, seed: int) -> None:
    report = checking_account(stage, "snapshot")
    error = found(stage, seed=seed)
    assert report.name in error.schedule
    assert len(error.schedule.split()) <= 5


def test_the_read_only_anomaly_is_not_there_at_serializable(stage: Interleavings) -> None:
    checking_account(stage, "serializable")
    assert stage.run(reduced=True).schedules > 6


def checking_account(stage: Interleavings, isolation: Isolation) -> Client:
    """Fekete, O'Neil and O'Neil, "A Read-Only Transaction Anomaly Under Snapshot Isolation" (2004)."""

    @stage.setup
    def two_empty_accounts(db: Database) -> None:
        db["checking"] = db["savings"] = 0

    def deposit(db: Database) -> None:
        db.run(lambda tx: tx.put("savings", tx["savings"] + 20))

    def withdraw(db: Database) -> None:
        """Ten, and one for the overdraft."""
        db.run(lambda tx: tx.put("checking", -11 if tx["checking"] + tx["savings"] < 10 else -10))

    stage.client(deposit, isolation=isolation)
    stage.client(withdraw, isolation=isolation)
    report = stage.client(lambda db: db.run(lambda tx: (tx["checking"], tx["savings"])), isolation=isolation)

    @stage.check
    def who_saw_the_deposit_alone_sees_no_overdraft_later(db: Database) -> None:
        assert not (report.result == (0, 20) and db["checking"] == -11)

    return report


def test_using_the_database_inside_its_transaction_stands_out(stage: Interleavings) -> None:
    def visit_beside(db: Database) -> None:
        with db.transaction() as tx:
            tx["last"] = "me"
            db["visits"] = db.get("visits", 0) + 1

    stage.client(visit_beside)
    stage.client(visit_naively)
    visits_must_be(stage, 2)
    assert "GET visits (outside its transaction)" in str(found(stage, seed=1))


def test_what_fails_without_any_interleaving_says_so(stage: Interleavings) -> None:
    stage.client(visit)
    stage.client(visit)
    visits_must_be(stage, 3)
    assert "It fails even when the clients run one after the other." in str(found(stage))


# Shrinking


@pytest.mark.parametrize("seed", SEEDS)
def test_clients_that_are_not_needed_are_left_out(stage: Interleavings, seed: int) -> None:
    doctors(stage, None)
    stage.client(lambda db: [visit(db) for _ in range(3)], name="bystander")
    stage.client(lambda db: db.get("on call:ann"), name="reader")
    error = found(stage, seed=seed)
    assert "bystander" not in error.schedule and "reader" not in error.schedule
    assert len(error.lines) == 8


def test_a_client_that_a_check_counts_on_is_not_left_out(stage: Interleavings) -> None:
    for _ in range(3):
        stage.client(visit_naively)
    visits_must_be(stage, 3)
    error = found(stage, seed=1)
    assert len(error.lines) == 6
    assert len(error.schedule.split()) <= 4


@pytest.mark.parametrize("seed", SEEDS)
def test_a_race_among_many_steps_is_shrunk_to_one_preemption(stage: Interleavings, seed: int) -> None:
    def busy(db: Database) -> None:
        for n in range(5):
            db[f"noise:{threading.current_thread().name}"] = n
        visit_naively(db)

    stage.client(busy)
    stage.client(busy)
    visits_must_be(stage, 2)
    assert len(found(stage, seed=seed).schedule.split()) == 3


@pytest.mark.parametrize("seed", SEEDS)
def test_what_needs_two_switches_into_a_long_client_keeps_no_others(stage: Interleavings, seed: int) -> None:
    def blinks(db: Database) -> None:
        look_around(db)
        db["light"] = "on"
        db["light"] = "off"
        look_around(db)

    def watches(db: Database) -> tuple[object, ...]:
        look_around(db)
        seen = db.get("light", "off"), db.get("light", "off"), db.get("light", "off")
        look_around(db)
        return seen

    def look_around(db: Database) -> None:
        for _ in range(8):
            db.get("elsewhere")

    stage.client(blinks)
    watcher = stage.client(watches)
    stage.check(lambda _: _assert(watcher.result != ("off", "on", "off")))
    assert len(found(stage, seed=seed, schedules=2000).schedule.split()) <= 5


@pytest.mark.parametrize("seed", range(12))
def test_joining_steps_is_not_all_that_shrinks(stage: Interleavings, seed: int) -> None:
    """A circle of three, each of whom reads what the next one writes: joined one by one they get stuck at five."""
    for source, target in ("ab", "bc", "ca"):
        stage.client(lambda db, *keys: db.run(copy_and_count, *keys), source, target)
    stage.check(lambda db: _assert(dict(db.scan()) != {"a": 1, "b": 1, "c": 1}))
    assert len(found(stage, seed=seed).schedule.split()) == 4


def copy_and_count(tx: Transaction, source: str, target: str) -> None:
    tx[target] = tx.get(source, 0) + 1


def test_the_shrunk_schedule_fails_when_it_is_replayed(stage: Interleavings) -> None:
    doctors(stage, None)
    error = found(stage, seed=2)
    again = found(stage, replay=error.schedule)
    assert again.lines == error.lines
    assert again.schedule == error.schedule


# Determinism


def test_the_same_seed_finds_the_same_schedule_with_the_same_answers() -> None:
    def once() -> InterleavingError:
        stage = Interleavings(mvcc_kv.open)
        doctors(stage, None)
        stage.client(transfer, "alice", "bob", 10, raises=mvcc_kv.KeyNotFoundError)
        return found(stage, seed=77)

    first, second = once(), once()
    assert str(first) == str(second)


def test_the_same_seed_tries_the_same_schedules() -> None:
    def tried(seed: int) -> list[list[int]]:
        orders: list[list[int]] = []
        stage = Interleavings(mvcc_kv.open)
        stage.setup(lambda _: orders.append([]))
        for number in range(3):
            stage.client(_visit_noting, orders, number)
        stage.run(seed=seed, schedules=40)
        return orders

    assert tried(5) == tried(5)
    assert tried(5) != tried(6)


def _visit_noting(db: Database, orders: list[list[int]], number: int) -> None:
    for _ in range(2):
        visit(db)
        orders[-1].append(number)


def test_code_that_depends_on_more_than_the_schedule_is_told_of(stage: Interleavings) -> None:
    calls: list[int] = []

    def moody(db: Database) -> None:
        calls.append(1)
        db["mood"] = len(calls)
        assert len(calls) != 3

    stage.client(moody)
    stage.client(lambda db: db.get("mood"))
    assert "Played again it did not fail" in str(found(stage))


def test_code_that_depends_on_more_than_the_schedule_cannot_be_searched_through(stage: Interleavings) -> None:
    calls: list[int] = []

    def moody(db: Database) -> None:
        calls.append(1)
        db["mood"] = len(calls)

    stage.client(moody)
    stage.client(moody)
    with pytest.raises(mvcc_kv.BadRequestError, match="depends on something besides the schedule"):
        stage.run(exhaustive=True)


# Exhaustive


@pytest.mark.parametrize("steps", [(1, 1), (3, 2), (4, 4), (2, 2, 2)])
def test_every_schedule_is_played_once(stage: Interleavings, steps: tuple[int, ...]) -> None:
    for count in steps:
        stage.client(lambda db, count: [db.put("key", n) for n in range(count)], count)
    multinomial = 1
    for n, count in enumerate(steps):
        multinomial *= comb(sum(steps[: n + 1]), count)
    assert stage.run(exhaustive=True) == Explored(multinomial, multinomial, sum(steps))


def test_with_no_preemption_there_are_the_orders_only(stage: Interleavings) -> None:
    for _ in range(3):
        stage.client(lambda db: [db.put("key", n) for n in range(4)])
    assert stage.run(preemptions=0).schedules == 6


@pytest.mark.parametrize(("preemptions", "schedules"), [(1, 8), (2, 26), (3, 44), (4, 62), (5, 68), (6, 70)])
def test_preemptions_are_bounded(stage: Interleavings, preemptions: int, schedules: int) -> None:
    for _ in range(2):
        stage.client(lambda db: [db.put("key", n) for n in range(4)])
    assert stage.run(preemptions=preemptions).schedules == _with_preemptions(4, 4, preemptions) == schedules


def _with_preemptions(a: int, b: int, most: int) -> int:
    def count(left: tuple[int, int], last: int | None, preempted: int) -> int:
        if preempted > most:
            return 0
        if left == (0, 0):
            return 1
        total = 0
        for client in (0, 1):
            if left[client]:
                is_preemption = last is not None and last != client and left[last] > 0
                after = (left[0] - (client == 0), left[1] - (client == 1))
                total += count(after, client, preempted + is_preemption)
        return total

    return count((a, b), None, 0)


@pytest.mark.parametrize("isolation", ["snapshot", "serializable"])
def test_one_schedule_of_each_class_reaches_every_outcome(isolation: Isolation) -> None:
    def outcomes(**how: Any) -> tuple[set[str], int]:
        stage = Interleavings(mvcc_kv.open)
        ends: set[str] = set()
        for mine, other in (("a", "b"), ("b", "a")):
            stage.client(_copy_and_count, mine, other, isolation=isolation, raises=mvcc_kv.ConflictError)
        stage.check(lambda db: ends.add(repr((list(db.scan()), [type(it.error) for it in stage.clients]))))
        return ends, stage.run(**how).schedules

    every, all_schedules = outcomes(exhaustive=True)
    reduced, schedules = outcomes(reduced=True)
    assert reduced == every
    assert schedules * 10 < all_schedules


def _copy_and_count(db: Database, mine: str, other: str) -> None:
    with db.transaction() as tx:
        tx[mine] = [tx.get(other) is None, tx.get("total")]
    db.add("total")


def test_too_many_schedules_are_refused_not_left_half_done(stage: Interleavings) -> None:
    stage.client(lambda db: [db.get("key") for _ in range(10)])
    stage.client(lambda db: [db.get("key") for _ in range(10)])
    with pytest.raises(mvcc_kv.BadRequestError, match="more than 50 schedules, and those tried were right"):
        stage.run(preemptions=5, schedules=50)


def test_too_many_schedules_are_refused_after_the_first(stage: Interleavings) -> None:
    played: list[int] = []
    stage.setup(lambda _: played.append(1))
    for _ in range(2):
        stage.client(lambda db: [db.get("key") for _ in range(10)])
    with pytest.raises(mvcc_kv.BadRequestError, match="more than 20000 schedules, about 184,756;"):
        stage.run(exhaustive=True)
    assert len(played) == 1


def test_as_many_schedules_as_are_allowed_are_played(stage: Interleavings) -> None:
    for _ in range(2):
        stage.client(lambda db: [db.get("key") for _ in range(3)])
    assert stage.run(exhaustive=True, schedules=20).schedules == 20


def test_classes_and_preemptions_exclude_each_other(stage: Interleavings) -> None:
    stage.client(visit)
    with pytest.raises(mvcc_kv.BadRequestError, match="exclude each other"):
        stage.run(reduced=True, preemptions=2)


# Retries


def test_a_pause_is_a_step_and_takes_no_time(stage: Interleavings) -> None:
    patient = RetryPolicy(turns=False, backoff_base_s=3600.0, backoff_cap_s=3600.0, deadline_s=1e6)
    count = mvcc_kv.transactional(policy=patient)(lambda tx: tx.put("visits", tx.get("visits", 0) + 1))
    stage.client(count)
    stage.client(count)
    visits_must_be(stage, 2)
    stage.run(seed=1, schedules=50)

    @stage.check
    def fails(_: Database) -> None:
        raise ValueError

    lines = found(stage, replay="t1*2 t2*4 t1*9").lines
    assert lines[-5].strip().startswith("t1: (pauses 1800.000 s)")
    assert lines[-6].split("COMMIT")[1].strip() == "Error CONFLICT visits (start_ts 0, won by commit_ts 1)"


def test_a_deadline_is_kept_on_the_clock_of_the_pauses(stage: Interleavings) -> None:
    hasty = RetryPolicy(turns=False, backoff_base_s=8.0, backoff_cap_s=8.0, deadline_s=1.0)
    count = mvcc_kv.transactional(policy=hasty)(lambda tx: tx.put("visits", tx.get("visits", 0) + 1))
    stage.client(count)
    stage.client(count)
    error = found(stage, seed=1)
    assert isinstance(error.__cause__, mvcc_kv.ConflictError)
    assert "gave up after 1 attempt" in error.__cause__.__notes__[0]


def test_blocks_of_attempts_are_stepped_too(stage: Interleavings) -> None:
    def visit_in_attempts(db: Database) -> None:
        for attempt in db.attempts():
            with attempt as tx:
                tx["visits"] = tx.get("visits", 0) + 1

    stage.client(visit_in_attempts)
    stage.client(lambda db: db.run(lambda tx: tx.put("visits", tx.get("visits", 0) + 1)))
    stage.client(visit)
    visits_must_be(stage, 3)
    assert stage.run(seed=1).distinct > 100


def test_many_on_one_key_wait_for_no_turn(stage: Interleavings) -> None:
    for _ in range(5):
        stage.client(lambda db: [visit(db) for _ in range(3)])
    visits_must_be(stage, 15)
    stage.run(seed=1, schedules=30)


def test_no_attempt_asks_for_a_turn_and_so_nobody_waits() -> None:
    asked: list[TransactionOptions] = []
    stage = Interleavings(lambda: mvcc_kv.open().through(lambda store: cast(Store, _Watched(store, asked))))
    for _ in range(5):
        stage.client(lambda db: [visit(db) for _ in range(3)])
    stage.run(seed=1, schedules=5)
    assert len(asked) > 5 * 15
    assert all(options.turn is None for options in asked)


class _Watched:
    """A store that notes how transactions are begun."""

    def __init__(self, store: Store, asked: list[TransactionOptions]) -> None:
        self._store = store
        self._asked = asked

    def begin(self, options: TransactionOptions) -> StoreTransaction:
        self._asked.append(options)
        return self._store.begin(options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_server_can_be_stepped_as_well() -> None:
    with serving() as address:
        stage = Interleavings(lambda: mvcc_kv.connect(address))
        stage.setup(lambda db: db.put("visits", 0))
        stage.client(visit)
        stage.client(visit_naively)
        visits_must_be(stage, 2)
        assert len(found(stage, seed=1).lines) == 6


# Errors


def test_a_client_that_raises_fails_the_schedule(stage: Interleavings) -> None:
    stage.client(visit_in_one_attempt)
    stage.client(visit_in_one_attempt)
    error = found(stage, seed=1)
    assert isinstance(error.__cause__, mvcc_kv.ConflictError)
    assert str(error).startswith("client t")
    assert "Error CONFLICT visits" in error.lines[-1]


def test_an_error_that_is_expected_fails_nothing_and_can_be_checked(stage: Interleavings) -> None:
    for _ in range(2):
        stage.client(visit_in_one_attempt, raises=mvcc_kv.ConflictError)
    counted: list[int] = []

    @stage.check
    def those_that_committed_count(db: Database) -> None:
        committed = sum(client.error is None for client in stage.clients)
        counted.append(committed)
        assert db["visits"] == committed

    stage.run(exhaustive=True)
    assert set(counted) == {1, 2}


def test_a_check_sees_what_its_schedules_clients_returned(stage: Interleavings) -> None:
    first, second = stage.client(lambda db: db.add("next")), stage.client(lambda db: db.add("next"))
    stage.check(lambda _: _assert({first.result, second.result} == {1, 2}))
    stage.run(exhaustive=True)


def test_an_error_of_the_setup_is_raised_as_it_is(stage: Interleavings) -> None:
    stage.setup(lambda _: 1 / 0)
    stage.client(visit)
    with pytest.raises(ZeroDivisionError):
        stage.run()


def test_what_is_no_failure_ends_the_search(stage: Interleavings) -> None:
    def interrupted(db: Database) -> None:
        visit(db)
        raise KeyboardInterrupt

    stage.client(interrupted)
    stage.client(visit)
    with pytest.raises(KeyboardInterrupt):
        stage.run()


@pytest.mark.parametrize("client", [visit_in_one_attempt, visit_naively])
def test_no_thread_is_left_behind(stage: Interleavings, client: Callable[[Database], None]) -> None:
    before = threading.active_count()
    for _ in range(3):
        stage.client(client)
    visits_must_be(stage, 3)
    found(stage, seed=1)
    assert threading.active_count() == before


def test_those_that_are_cut_off_run_their_cleanup(stage: Interleavings) -> None:
    cleaned: list[str] = []

    def tidy(db: Database) -> None:
        try:
            visit(db)
            visit(db)
        finally:
            cleaned.append("tidy")

    def fails(db: Database) -> None:
        db.get("key")
        raise ValueError("on purpose")

    stage.client(tidy)
    stage.client(fails)
    found(stage, replay="t1 t2")
    assert cleaned == ["tidy"]


# What blocks


def test_a_client_that_does_not_come_back_is_told_of_with_its_place(stage: Interleavings) -> None:
    lock = threading.Lock()

    def locked(db: Database) -> None:
        with lock:
            db["key"] = 1
            db["key"] = 2

    stage.client(locked)
    stage.client(locked)
    message = str(found(stage, stuck_s=0.5))
    assert "t2 did not come back to the database within 0.5 s" in message
    assert "with lock:" in message
    lock.acquire(timeout=5)  # the thread that was left behind has come, found it over, and gone


def test_clients_that_never_end_are_told_of(stage: Interleavings) -> None:
    def polls(db: Database) -> None:
        while "never" not in db:
            pass

    stage.client(polls)
    error = found(stage, steps_max=50)
    assert "the clients took 50 steps and did not end" in str(error)


def test_a_client_that_polls_lets_others_go_on(stage: Interleavings) -> None:
    def polls(db: Database) -> None:
        while "ready" not in db:
            pass

    stage.client(polls)
    stage.client(lambda db: db.put("ready", True))
    stage.run(seed=1, schedules=50, steps_max=1000)


def test_a_thread_of_a_clients_own_is_refused(stage: Interleavings) -> None:
    refusals: list[BaseException] = []

    def spawns(db: Database) -> None:
        def work() -> None:
            try:
                db["key"] = 1
            except mvcc_kv.BadRequestError as error:
                refusals.append(error)

        db["key"] = 0
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    stage.client(spawns)
    stage.run(schedules=1)
    assert "make what it does a client of its own" in str(refusals[0])


def test_following_the_feed_is_refused_in_a_client(stage: Interleavings) -> None:
    stage.client(lambda db: (visit(db), db.changes()))
    error = found(stage)
    assert isinstance(error.__cause__, mvcc_kv.BadRequestError)
    assert "open the feed in the setup" in str(error)


def test_a_feed_opened_in_the_setup_is_read_in_a_check(stage: Interleavings) -> None:
    feeds: list[mvcc_kv.ChangeFeed] = []
    stage.setup(lambda db: feeds.append(db.changes(timeout_s=0)))
    stage.check(lambda _: _assert([it.puts for it in feeds[-1]] == [{"visits": 1}, {"visits": 2}]))
    stage.client(visit)
    stage.client(visit)
    stage.run(schedules=20)


# What is refused


def test_a_search_in_which_a_client_does_nothing_is_refused(stage: Interleavings) -> None:
    stage.client(lambda _: None)
    stage.client(visit)
    with pytest.raises(mvcc_kv.BadRequestError, match="t1 never used the database"):
        stage.run()


def test_a_search_without_clients_is_refused(stage: Interleavings) -> None:
    with pytest.raises(mvcc_kv.BadRequestError, match="no clients"):
        stage.run()


@pytest.mark.parametrize("name", ["t1", "two words", "", "a*2"])
def test_a_name_is_one_word_and_its_own(stage: Interleavings, name: str) -> None:
    stage.client(visit)
    with pytest.raises(mvcc_kv.BadRequestError, match="one word"):
        stage.client(visit, name=name)


@pytest.mark.parametrize("schedule", ["t3", "t1*0", "t1*x"])
def test_a_schedule_that_cannot_be_read_is_refused(stage: Interleavings, schedule: str) -> None:
    stage.client(visit)
    with pytest.raises(mvcc_kv.BadRequestError, match="names no client"):
        stage.run(replay=schedule)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"schedules": 0}, "schedules is a whole number from 1 on, not 0"),
        ({"schedules": -1}, "schedules is a whole number"),
        ({"schedules": 1.5}, "schedules is a whole number"),
        ({"preemptions": -1}, "preemptions is a whole number from 0 on, not -1"),
        ({"steps_max": 0}, "steps_max is a whole number"),
        ({"stuck_s": 0}, "stuck_s is above nought"),
        ({"exhaustive": True, "reduced": True}, "exhaustive and reduced exclude each other"),
        ({"exhaustive": True, "preemptions": 1}, "exhaustive and preemptions exclude each other"),
        ({"exhaustive": True, "seed": 1}, "exhaustive and seed exclude each other"),
        ({"replay": "t1", "seed": 1}, "replay and seed exclude each other"),
        ({"replay": "t1", "schedules": 5}, "replay and schedules exclude each other"),
        ({"replay": "t1", "exhaustive": True}, "exhaustive and replay exclude each other"),
        ({"replay": 5}, "a schedule is replayed by its name"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(stage: Interleavings, asked: dict[str, Any], complaint: str) -> None:
    stage.client(visit)
    with pytest.raises(mvcc_kv.BadRequestError, match=complaint):
        stage.run(**asked)


def test_a_level_that_is_none_is_refused_at_once(stage: Interleavings) -> None:
    with pytest.raises(mvcc_kv.BadRequestError, match="snapshot or serializable, not 'nope'"):
        stage.client(visit, isolation="nope")  # type: ignore[arg-type]


def test_what_fails_before_the_first_operation_is_no_race(stage: Interleavings) -> None:
    stage.client(visit)
    stage.client(lambda _: 1 / 0)
    assert str(found(stage, seed=1)) == (
        "client t2: ZeroDivisionError: division by zero\n\n"
        "Schedule 1 of 200 (seed 1). It fails before any client's first operation: there is no race."
    )


# Nested


def test_transactional_functions_that_join_are_one_transaction(stage: Interleavings) -> None:
    @mvcc_kv.transactional
    def twice(tx: Transaction) -> None:
        visit(tx)
        visit(tx)

    stage.client(twice)
    stage.client(twice)
    visits_must_be(stage, 4)
    stage.run(seed=1)


def test_two_transactions_of_one_client_are_told_apart(stage: Interleavings) -> None:
    def both(db: Database) -> None:
        with db.transaction(label="outer") as outer, db.transaction(read_only=True) as inner:
            outer["key"] = inner.get("key", 0) + 1

    stage.client(both)
    stage.check(lambda _: 1 / 0)
    assert found(stage).lines == (
        't1: START {"label": "outer"}   at 0',
        't1: START {"read_only": true}  at 0',
        "t1: GET key (transaction 2)    not there",
        "t1: PUT key 1 (transaction 1)  Ok",
        "t1: COMMIT (transaction 2)     at 0",
        "t1: COMMIT                     at 1",
    )


def test_a_search_may_run_inside_a_client_of_another(stage: Interleavings) -> None:
    def searches(db: Database) -> None:
        inner = Interleavings(mvcc_kv.open)
        inner.client(visit)
        inner.client(visit)
        visits_must_be(inner, 2)
        db["tried"] = inner.run(seed=1, schedules=10).schedules

    stage.client(searches)
    stage.client(visit)
    stage.run(schedules=3)


def test_every_kind_of_request_is_a_step(stage: Interleavings) -> None:
    def everything(db: Database) -> None:
        db.add("n", 2)
        db.delete("gone")
        list(db.scan(prefix="n", limit=5, reverse=True))
        list(db.keys(start="a", end="z"))
        list(db.history("n"))
        db.transactions()
        db.kill(99)
        db.stats()
        tx = db.transaction(isolation="serializable")
        tx.add("n")
        tx.delete("n")
        list(tx.snapshot.scan())
        list(tx.history("n"))
        _assert(not tx.is_doomed)
        tx.rollback()

    stage.client(everything)
    stage.check(lambda _: 1 / 0)
    said = [line.removeprefix("t1: ").split("  ")[0] for line in found(stage).lines]
    assert said == [
        "ADD n 2",
        "DEL gone",
        'SCAN {"prefix": "n", "limit": 5, "reverse": true}',
        'SCAN {"start": "a", "end": "z"}',
        "HISTORY n",
        "TRANSACTIONS",
        "KILL 99",
        "STATS",
        'START {"isolation": "serializable"}',
        "ADD n 1",
        "DEL n",
        "SCAN",
        "HISTORY n",
        "(has it lost?)",
        "ROLLBACK",
    ]


def _assert(is_so: bool) -> None:
    assert is_so
