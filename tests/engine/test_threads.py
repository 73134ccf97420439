"""Threads on one store: nothing is torn, nothing goes back in time, and nothing is left behind.

The interpreter is told to switch threads as often as it can. Each thread does a fixed amount of work.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from threading import Barrier, Event, Thread

import pytest

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.engine import Transaction, VersionedStore
from mvcc_kv.errors import ConflictError
from tests.engine.logs import DeferringLog

READ_ONLY = TransactionOptions(read_only=True)


@pytest.fixture(autouse=True)
def _hasty_switching() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def run_together(*works: Callable[[], None]) -> None:
    """Run all of them at once, each in its thread; the first failure is raised."""
    barrier = Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (handed to the test's own thread)
            failures.append(error)

    threads = [Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


def nothing_is_left_behind(store: VersionedStore) -> None:
    stats = store.stats()
    while store.has_garbage:
        store.collect()
    store.check()
    stats = store.stats()
    assert stats["active_transactions"] == 0
    assert stats["versions"] == stats["keys"]


def keys_lost_by(tx: Transaction) -> set[str]:
    """Commit; the keys that clashed, none if it went well."""
    try:
        tx.commit()
    except ConflictError as error:
        return set(error.keys)
    return set()


def number(value: bytes | None) -> int:
    return 0 if value is None else int(value)


@pytest.mark.parametrize("collect_steps", [1, 1000])
def test_money_is_conserved_in_every_snapshot(collect_steps: int) -> None:
    accounts = [b"account %d" % n for n in range(5)]
    store = VersionedStore(collect_steps=collect_steps)
    store.restore(1, [(account, b"100") for account in accounts])

    def teller(seed: int) -> Callable[[], None]:
        choose = random.Random(seed)

        def work() -> None:
            for _ in range(1500):
                source, target = choose.sample(accounts, 2)
                tx = store.begin()
                balances = number(tx.get(source)), number(tx.get(target))
                for account, balance in ((source, balances[0] - 1), (target, balances[1] + 1)):
                    if balance:
                        tx.put(account, b"%d" % balance)
                    else:
                        tx.delete(account)  # an empty account is closed, and opened again
                fate = choose.random()
                if fate < 0.1:
                    tx.rollback()
                elif fate < 0.8:
                    lost = keys_lost_by(tx)
                    assert lost <= {source.decode(), target.decode()}
                del tx  # what is neither is abandoned

        return work

    def auditor() -> None:
        for n in range(1500):
            tx = store.begin(READ_ONLY if n % 2 else TransactionOptions())
            by_scan = sum(number(value) for _, value in tx.scan(KeyRange(prefix=b"account"), limit=100).items)
            by_get = sum(number(tx.get(account)) for account in accounts)
            tx.commit()
            assert by_scan == by_get == 500
            assert sum(number(value) for _, value in store.scan(KeyRange(), limit=100).items) == 500

    run_together(*map(teller, range(4)), auditor, auditor)
    nothing_is_left_behind(store)


def test_no_increment_is_lost() -> None:
    store = VersionedStore()
    conflicts = []

    def count() -> None:
        for n in range(1000):
            key = b"counter %d" % (n % 2)
            while True:
                tx = store.begin()
                tx.put(key, b"%d" % (number(tx.get(key)) + 1))
                try:
                    tx.commit()
                    break
                except ConflictError as error:
                    conflicts.append(error)

    run_together(*[count] * 4)
    assert [store.get(b"counter %d" % n) for n in range(2)] == [b"2000", b"2000"]
    assert store.stats()["commit_ts"] == 4000
    assert store.stats()["conflicts_total"] == len(conflicts)
    nothing_is_left_behind(store)


def test_no_transaction_sees_half_a_commit() -> None:
    store = VersionedStore(collect_steps=2)

    def write_pairs(seed: int) -> Callable[[], None]:
        choose = random.Random(seed)

        def work() -> None:
            for n in range(1500):
                tx = store.begin()
                for key in choose.sample([b"left", b"right"], 2):
                    if n % 5:
                        tx.put(key, b"%d" % (1000 * seed + n))
                    else:
                        tx.delete(key)
                assert keys_lost_by(tx) <= {"left", "right"}

        return work

    def read_pairs() -> None:
        for _ in range(2000):
            tx = store.begin(READ_ONLY)
            first = tx.get(b"left"), tx.get(b"right")
            again = tx.get(b"right"), tx.get(b"left")
            scanned = dict(tx.scan(KeyRange(), limit=9).items)
            tx.rollback()
            assert first[0] == first[1] == again[0] == again[1] == scanned.get(b"left") == scanned.get(b"right")

    run_together(write_pairs(1), write_pairs(2), read_pairs, read_pairs)
    nothing_is_left_behind(store)


class PublishedLater(DeferringLog):
    """A log whose commits a thread of its own publishes."""

    def __init__(self) -> None:
        self.appended_ts = 0

    def append(
        self,
        commit_ts: int,
        writes: Mapping[bytes, bytes | None],
        label: str | None,
        token: str | None,
        time_us: int,
        superseded: object,
    ) -> bool:
        self.appended_ts = commit_ts
        return False


@pytest.mark.parametrize("deferred", [False, True], ids=["published at once", "published later"])
def test_a_read_outside_transactions_never_goes_back_in_time(deferred: bool) -> None:
    # The key's states are numbered like the commits; in every twentieth it is absent. A reader may get any
    # state that was the visible one at some moment of its call: none older, and none that is not visible yet.
    log = PublishedLater()
    store = VersionedStore(log if deferred else None)
    rounds, over = 10_000, Event()
    done = 0

    def write() -> None:
        nonlocal done
        for n in range(1, rounds):
            if n % 20 == 0:
                assert store.delete(b"k")
            else:
                store.put(b"k", b"%d" % n)
            if not deferred:
                done = n
            if n % 50 == 0:
                store.begin(READ_ONLY).rollback()
        over.set()

    def publish() -> None:
        nonlocal done
        while True:
            ts, last = log.appended_ts, over.is_set()
            store.publish(ts)
            done = ts
            if last and ts == rounds - 1:
                return

    def read() -> None:
        newest = 0
        while not over.is_set():
            low = done
            value = store.get(b"k")
            high = store.visible_ts
            if value is None:
                assert any(n % 20 == 0 for n in range(low, high + 1))
            else:
                assert low <= int(value) <= high
                assert int(value) >= newest
                newest = int(value)

    run_together(write, read, read, *([publish] if deferred else []))
    store.publish(store.commit_ts)
    nothing_is_left_behind(store)


def test_keys_come_and_go_under_readers_and_scans() -> None:
    store = VersionedStore(collect_steps=3)
    keys = [b"%02d" % n for n in range(12)]

    def churn(seed: int) -> Callable[[], None]:
        choose = random.Random(seed)

        def work() -> None:
            for n in range(4000):
                key = choose.choice(keys)
                if choose.random() < 0.5:
                    store.delete(key)
                else:
                    store.put(key, b"%s:%d" % (key, n))

        return work

    def read() -> None:
        for n in range(1500):
            tx = store.begin(READ_ONLY if n % 2 else TransactionOptions())
            once = {key: value for key in keys if (value := tx.get(key)) is not None}
            page = tx.scan(KeyRange(), limit=100)
            backwards = tx.scan(KeyRange(), limit=100, reverse=True)
            assert dict(page.items) == once and backwards.items == page.items[::-1]
            assert all(value.startswith(key + b":") for key, value in once.items())
            if n % 3:
                tx.rollback()
            del tx

    run_together(churn(1), churn(2), read, read)
    nothing_is_left_behind(store)


def test_looking_in_is_safe_while_others_work() -> None:
    store = VersionedStore(collect_steps=1)

    def work() -> None:
        for n in range(1500):
            tx = store.begin(TransactionOptions(label=f"job {n}"))
            tx.put(b"%d" % (n % 20), b"x")
            tx.delete(b"%d" % ((n + 7) % 20))
            try:
                tx.commit()
            except ConflictError:
                store.collect(1)

    def look() -> None:
        for n in range(1500):
            assert store.stats()["versions"] >= 0
            assert store.has_garbage in (True, False)
            keys = store.keys()
            assert keys == sorted(keys)
            timestamps = [ts for ts, _ in store.chain(b"%d" % (n % 20))]
            assert timestamps == sorted(timestamps, reverse=True)
            if n % 100 == 0:
                store.check()

    run_together(work, work, look, look)
    nothing_is_left_behind(store)
