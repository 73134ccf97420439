"""Keys that go by themselves: expiry is a commit, made by whoever comes first when it is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.engine import CommitHistory, VersionedStore
from mvcc_kv.engine.expiry import Expiries
from mvcc_kv.errors import BadRequestError, ConflictError, UnavailableError
from mvcc_kv.values import Expiring
from tests.engine.logs import DeferringLog

SERIALIZABLE = TransactionOptions(isolation="serializable")


class Clock:
    """A wall clock that stands still until it is moved; it begins at second 100."""

    def __init__(self) -> None:
        self.us = 100_000_000

    def __call__(self) -> int:
        return self.us

    def pass_s(self, seconds: float) -> None:
        self.us += round(seconds * 1_000_000)


class FailingLog(DeferringLog):
    """Takes commits, to be seen at once, unless it is told to refuse one, or has failed for good."""

    refusal: UnavailableError | None = None

    def append(
        self,
        commit_ts: int,
        writes: Mapping[bytes, bytes | None],
        label: str | None,
        token: str | None,
        time_us: int,
        superseded: object,
    ) -> bool:
        if (refusal := self.failure or self.refusal) is not None:
            raise refusal
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> VersionedStore:
    return VersionedStore(time_us=clock, history=CommitHistory(retain_bytes=1_000_000))


def keys_of(store: VersionedStore) -> list[bytes]:
    return [key for key, _ in store.scan(KeyRange(), limit=10_000).items]


def puts(store: VersionedStore) -> bool:
    store.put(b"b", b"1")
    return store.get(b"b") == b"1"


def test_a_key_is_there_until_its_time_and_not_at_it(store: VersionedStore, clock: Clock) -> None:
    store.put(b"a", b"1", ttl_s=2.5)
    clock.pass_s(2.499999)
    assert store.get_with_ttl(b"a") == (b"1", 0.000001)
    clock.pass_s(0.000001)
    assert store.get(b"a") is None
    assert store.get_with_ttl(b"a") is None
    store.check()


def test_whoever_comes_first_finds_the_key_gone(clock: Clock) -> None:
    comes: dict[str, Callable[[VersionedStore], bool]] = {
        "get": lambda store: store.get(b"a") is None,
        "scan": lambda store: store.scan(KeyRange(), limit=9).items == [],
        "begin": lambda store: store.begin().get(b"a") is None,
        "put": puts,
        "delete": lambda store: store.delete(b"a") is False,
        "add": lambda store: store.add(b"a", b"7") == b"7",
        "history": lambda store: store.history(b"a", limit=1).versions[0].value is None,
    }
    for name, come in comes.items():
        store = VersionedStore(time_us=clock, history=CommitHistory(retain_bytes=1_000_000))
        store.put(b"a", b"1", ttl_s=1)
        clock.pass_s(1)
        assert come(store), name
        assert store.commits_after(1, 1)[0].writes == ((b"a", None),), name
        store.check()


def test_an_expiry_is_a_commit_like_any_other(store: VersionedStore, clock: Clock) -> None:
    changes = store.changes()
    store.put(b"a", b"1", ttl_s=1)
    store.put(b"b", b"1", ttl_s=1)
    store.put(b"c", b"1", ttl_s=9)
    clock.pass_s(1)
    assert not store.expire_due()
    assert [change.writes for _ in range(4) if (change := changes.next(0))][-1] == ((b"a", None), (b"b", None))
    assert [version.value for version in store.history(b"a", limit=9).versions] == [None, b"1"]
    assert store.begin(TransactionOptions(at=3)).get(b"a") == b"1"  # commits say what was when
    assert (store.stats()["expiring_keys"], store.stats()["expired_total"]) == (1, 2)
    store.check()


def test_a_snapshots_view_does_not_change_when_the_time_comes(store: VersionedStore, clock: Clock) -> None:
    store.put(b"a", b"1", ttl_s=1)
    reader = store.begin()
    clock.pass_s(5)
    assert store.get(b"a") is None
    assert reader.get_with_ttl(b"a") == (b"1", 0.0)
    assert reader.scan(KeyRange(), limit=9).items == [(b"a", b"1")]
    reader.rollback()
    store.check()


@pytest.mark.parametrize("options", [TransactionOptions(), SERIALIZABLE])
def test_who_wrote_a_key_that_expires_meanwhile_has_lost_to_that(
    store: VersionedStore, clock: Clock, options: TransactionOptions
) -> None:
    store.put(b"a", b"1", ttl_s=1)
    writer = store.begin(options)
    writer.put(b"a", b"2")
    clock.pass_s(1)
    with pytest.raises(ConflictError, match="committed at 2") as lost:
        writer.commit()
    assert lost.value.keys == ["a"]
    assert store.get(b"a") is None


def test_who_only_read_it_has_lost_if_serializable(store: VersionedStore, clock: Clock) -> None:
    store.put(b"a", b"1", ttl_s=1)
    readers = store.begin(), store.begin(SERIALIZABLE)
    for number, reader in enumerate(readers):
        assert reader.get(b"a") == b"1"
        reader.put(b"saw%d" % number, b"1")
    clock.pass_s(1)
    readers[0].commit()
    with pytest.raises(ConflictError):
        readers[1].commit()


def test_a_put_without_a_time_makes_the_key_stay(store: VersionedStore, clock: Clock) -> None:
    store.put(b"a", b"1", ttl_s=1)
    store.put(b"a", b"2")
    clock.pass_s(9)
    assert store.get_with_ttl(b"a") == (b"2", None)
    assert store.next_expiry_us is None
    store.check()


def test_a_put_with_another_time_moves_it(store: VersionedStore, clock: Clock) -> None:
    store.put(b"a", b"1", ttl_s=1)
    store.put(b"a", b"1", ttl_s=5)
    clock.pass_s(4)
    assert store.get_with_ttl(b"a") == (b"1", 1.0)
    store.put(b"a", b"1", ttl_s=0.5)
    clock.pass_s(0.5)
    assert store.get(b"a") is None
    store.check()


def test_adding_keeps_the_time(store: VersionedStore, clock: Clock) -> None:
    store.put(b"a", b"1", ttl_s=2)
    assert store.add(b"a", b"1") == b"2"
    one, other = store.begin(), store.begin()
    one.add(b"a", b"10")
    other.add(b"a", b"100")
    assert other.get_with_ttl(b"a", tracked=False) == (b"102", 2.0)
    clock.pass_s(0.5)
    one.commit()
    other.commit()
    assert store.get_with_ttl(b"a") == (b"112", 1.5)
    clock.pass_s(1.5)
    assert store.add(b"a", b"5") == b"5"
    assert store.get_with_ttl(b"a") == (b"5", None)
    store.check()


def test_a_transaction_writes_with_a_time_and_without(store: VersionedStore, clock: Clock) -> None:
    with_time = store.begin()
    with_time.put(b"a", b"1", ttl_s=1)
    with_time.add(b"a", b"1")
    assert with_time.get_with_ttl(b"a") == (b"2", 1.0)
    clock.pass_s(2)
    assert with_time.get(b"a") == b"2"  # its own view
    with_time.commit()
    assert store.chain(b"a")[0][1] == b"2"
    assert store.get(b"a") is None  # its time was up when it came
    store.check()


def test_a_value_that_is_due_already_goes_at_the_next_call(store: VersionedStore, clock: Clock) -> None:
    store.put(b"a", Expiring(b"1", clock.us - 1))
    assert store.commit_ts == 1
    assert store.get(b"a") is None
    assert store.commit_ts == 2
    store.check()


def test_many_at_once_go_in_parts_and_nobody_sees_the_rest(store: VersionedStore, clock: Clock) -> None:
    for number in range(10):
        store.put(b"k%d" % number, b"1", ttl_s=1)
    store.put(b"stays", b"1")
    clock.pass_s(1)
    assert store.expire_due(limit=4)
    assert store.stats()["expired_total"] == 4
    store.check()
    assert store.expire_due(limit=4)
    assert not store.expire_due(limit=4)
    assert keys_of(store) == [b"stays"]
    store.check()


def test_what_one_commit_takes_away_is_bounded_in_bytes(store: VersionedStore, clock: Clock) -> None:
    large = b'"' + b"x" * 9_000_000 + b'"'
    for number in range(3):
        store.put(b"k%d" % number, large, ttl_s=1)
    clock.pass_s(1)
    assert store.expire_due()
    assert store.stats()["expired_total"] == 2


def overdue(clock: Clock) -> tuple[VersionedStore, DeferringLog]:
    """A store where `a` is overdue: the commit that takes it away is on its way to the disk."""
    store = VersionedStore(log := DeferringLog(), time_us=clock)
    store.put(b"a", b"1", ttl_s=1)
    store.put(b"b", b"1")
    store.publish(2)
    clock.pass_s(1)
    store.expire_due()
    assert (store.visible_ts, store.commit_ts) == (2, 3)
    return store, log


def test_while_its_end_is_on_its_way_to_the_disk_an_overdue_key_is_gone(clock: Clock) -> None:
    store, _ = overdue(clock)
    assert store.get(b"a") is None
    assert keys_of(store) == [b"b"]
    assert store.add(b"a", b"1") == b"1"
    reader = store.begin()
    assert reader.get(b"a") is None
    assert reader.scan(KeyRange(), limit=9).items == [(b"b", b"1")]
    store.publish(4)
    assert reader.get(b"a") is None
    assert store.get(b"a") == b"1"
    store.check()


@pytest.mark.parametrize("options", [TransactionOptions(), SERIALIZABLE])
def test_who_began_when_it_was_overdue_has_not_lost_to_its_end(clock: Clock, options: TransactionOptions) -> None:
    store, _ = overdue(clock)
    writer, adder, scanner = (store.begin(options) for _ in range(3))
    adder.add(b"a", b"1")
    assert writer.get(b"a") is None
    assert not writer.delete(b"a")
    writer.put(b"a", b"5")
    assert scanner.scan(KeyRange(), limit=9).items == [(b"b", b"1")]
    scanner.put(b"c", b"1")
    store.publish(3)
    assert scanner.commit() == 4
    assert writer.commit() == 5
    with pytest.raises(ConflictError):
        adder.commit()  # to the PUT
    store.publish(5)
    assert store.get(b"a") == b"5"
    store.check()


def test_a_checkpoint_holds_what_is_overdue_since_its_end_is_a_later_commit(clock: Clock) -> None:
    store, _ = overdue(clock)
    snapshot = store.begin(TransactionOptions(read_only=True), is_ours=True)
    page = snapshot.scan(KeyRange(), limit=9)
    assert [type(value) for _, value in page.items] == [Expiring, bytes]
    snapshot.rollback()


def test_a_log_that_has_failed_lets_nobody_see_what_is_overdue(clock: Clock) -> None:
    log = FailingLog()
    store = VersionedStore(log, time_us=clock)
    store.put(b"a", b"1", ttl_s=1)
    store.put(b"b", b"1")
    older = store.begin()
    clock.pass_s(1)
    log.failure = UnavailableError("the disk is gone")
    assert store.get(b"a") is None
    assert keys_of(store) == [b"b"]
    assert not store.expire_due()
    assert store.begin().get(b"a") is None
    assert older.get(b"a") == b"1"
    assert not store.changes().next(0.001)
    store.check()


def test_a_commit_that_the_log_refuses_is_tried_again(clock: Clock) -> None:
    log = FailingLog()
    store = VersionedStore(log, time_us=clock)
    store.put(b"a", b"1", ttl_s=1)
    clock.pass_s(1)
    log.refusal = UnavailableError("no room")
    assert store.get(b"a") is None
    store.check()
    log.refusal = None
    assert store.get(b"a") is None
    assert store.stats()["expired_total"] == 1
    store.check()


def test_what_expires_is_known_again_after_a_start(clock: Clock) -> None:
    store = VersionedStore(time_us=clock)
    store.restore(7, [(b"a", Expiring(b"1", clock.us + 5)), (b"b", b"1"), (b"late", Expiring(b"1", clock.us - 5))])
    store.check()
    assert keys_of(store) == [b"a", b"b"]
    assert store.commit_ts == 8
    assert store.next_expiry_us == clock.us + 5


def test_an_expiry_ends_a_followers_wait() -> None:
    store = VersionedStore(time_us=iter(range(0, 10**9, 1000)).__next__)  # a millisecond a look
    changes = store.changes()
    store.put(b"a", b"1", ttl_s=0.05)
    told: list[object] = []
    while len(told) < 2:
        change = changes.next(60)
        told += [] if change is None else [change.writes]
    assert told == [((b"a", b"1"),), ((b"a", None),)]


@pytest.mark.parametrize("ttl_s", [0, -1, 0.0001, 1e12, float("nan"), float("inf"), True, "1"])
def test_a_time_that_cant_be_meant_is_refused(store: VersionedStore, ttl_s: object) -> None:
    with pytest.raises(BadRequestError, match="ttl_s"):
        store.put(b"a", b"1", ttl_s=ttl_s)  # type: ignore[arg-type]
    assert store.commit_ts == 0


def test_stale_entries_do_not_pile_up() -> None:
    expiries = Expiries()
    for ts in range(1, 10_000):
        expiries.note(ts, {b"a": Expiring(b"1", 10**9 - ts), b"b": Expiring(b"1", 10**6 + ts)})
        assert len(expiries._heap) <= 100
    assert list(expiries.due(10**9)) == [b"b", b"a"]


def test_a_store_where_nothing_expires_any_more_looks_no_more(store: VersionedStore, clock: Clock) -> None:
    looks = []
    store.put(b"a", b"1", ttl_s=1)
    looks.append(store._section.may_expire)
    clock.pass_s(1)
    store.get(b"a")
    looks.append(store._section.may_expire)
    assert looks == [True, False]
    store.check()


def test_what_expires_while_its_deletion_is_prepared_is_deleted_once() -> None:
    clock = Clock()
    store = VersionedStore(time_us=clock)
    store.put(b"a", Expiring(b"1", 101_000_000))
    store.put(b"b", b"2")
    clock.pass_s(1)
    assert store.newest(b"a") is None
    assert store.write({b"a": None}) == store.commit_ts == 3
    store.write({b"a": None, b"b": None})
    store.check()


def test_keys_are_counted_without_those_whose_time_is_up() -> None:
    clock = Clock()
    store = VersionedStore(time_us=clock)
    store.put(b"a", Expiring(b"1", 101_000_000))
    clock.pass_s(1)
    assert store.keys_total == 0
