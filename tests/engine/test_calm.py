"""A calm commit against its slow twin: the same calls on two stores, of which one goes the long way always."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine import direct as direct_module
from mvcc_kv.engine import home as home_module
from mvcc_kv.engine.calm import commit_calmly
from mvcc_kv.errors import ConflictError, Error, TransactionDoomedError
from tests.engine.logs import DeferringLog

KEYS = st.sampled_from([b"a", b"b", b"c"])
WHO = st.sampled_from([0, 0, 0, 0, 1])
OPTIONS = st.sampled_from(
    [
        TransactionOptions(read_only=True),
        TransactionOptions(label="nightly"),
        TransactionOptions(isolation="serializable"),
    ]
)
COMMON = [
    st.tuples(st.just("begin"), WHO, st.just(TransactionOptions())),
    st.tuples(st.just("get"), WHO, KEYS),
    st.tuples(st.just("put"), WHO, KEYS, st.sampled_from([b"1", b"2"])),
    st.tuples(st.just("commit"), WHO),
    st.tuples(st.just("whole"), KEYS),
    st.tuples(st.just("store put"), KEYS),
    st.tuples(st.just("look")),  # which enters who is open in the books
]
RARE = [
    st.tuples(st.just("begin"), WHO, OPTIONS),
    st.tuples(st.just("put for a time"), WHO, KEYS),
    st.tuples(st.just("delete"), WHO, KEYS),
    st.tuples(st.just("add"), WHO, KEYS),
    st.tuples(st.just("rollback"), WHO),
    st.tuples(st.just("abandon"), WHO),
    st.tuples(st.just("store delete"), KEYS),
]
CALLS = st.sampled_from(COMMON * 20 + RARE).flatmap(lambda kind: kind)
CROWD = st.integers(0, 3)
AMONG_OTHERS = [
    st.tuples(st.just("begin"), CROWD, st.just(TransactionOptions())),
    st.tuples(st.just("begin"), CROWD, st.just(TransactionOptions(read_only=True))),
    st.tuples(st.just("get"), CROWD, KEYS),
    *[st.tuples(st.just("put"), CROWD, KEYS, st.sampled_from([b"1", b"2"]))] * 2,
    *[st.tuples(st.just("commit"), CROWD)] * 2,
    st.tuples(st.just("rollback"), CROWD),
    st.tuples(st.just("whole"), KEYS),
]
CALLS_IN_COMPANY = st.sampled_from(AMONG_OTHERS * 10 + COMMON + RARE).flatmap(lambda kind: kind)


def commit(store: VersionedStore, key: bytes = b"a") -> int:
    tx = store.begin()
    tx.put(key, b"1")
    return tx.commit()


class Driven:
    """A store, and some who have a transaction in it, or none."""

    def __init__(self, collect_steps: int = 1000, pinned_bytes_max: int = 0) -> None:
        self.store = VersionedStore(collect_steps=collect_steps, pinned_bytes_max=pinned_bytes_max)
        self.txs: list[Any] = [None] * 4

    def call(self, name: str, *arguments: Any) -> object:
        if name.startswith("store "):
            return getattr(self.store, name.removeprefix("store "))(*arguments, *[b"0"] * (name == "store put"))
        if name == "look":
            return self.look()
        if name == "whole":
            return commit(self.store, *arguments)
        who, *rest = arguments
        if name == "begin":
            self.call("rollback", who)
            self.txs[who] = self.store.begin(*rest)
            return self.txs[who].start_ts
        if self.txs[who] is None:
            self.txs[who] = self.store.begin()
        if name == "abandon":
            self.txs[who] = None
            return None
        if name == "put for a time":
            return self.txs[who].put(*rest, b"9", ttl_s=60)
        return getattr(self.txs[who], name)(*rest, *[b"1"] * (name == "add"))

    def answer(self, call: tuple[Any, ...]) -> object:
        """What the call answers, an error in words."""
        try:
            return self.call(*call)
        except Error as error:
            return error.code, error.evidence, str(error)

    def chains(self) -> list[tuple[bytes, list[tuple[int, bytes | None]]]]:
        return [(key, self.store.chain(key)) for key in list(self.store.keys())]

    def look(self) -> dict[str, Any]:
        self.store.check()
        return {**self.store.stats(), "visible_ts": self.store.visible_ts}


@settings(max_examples=200, deadline=None)
@given(st.lists(CALLS, min_size=30, max_size=40))
def test_a_calm_commit_leaves_and_answers_what_the_long_way_does(calls: list[tuple[Any, ...]]) -> None:
    hold_against_the_long_way(calls, Driven(), Driven())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(CALLS_IN_COMPANY, min_size=30, max_size=60),
    st.fixed_dictionaries(
        {"collect_steps": st.sampled_from([1, 2, 1000]), "pinned_bytes_max": st.sampled_from([0, 0, 300, 900])}
    ),
)
def test_a_calm_commit_in_company_leaves_and_answers_what_the_long_way_does(
    calls: list[tuple[Any, ...]], options: dict[str, int]
) -> None:
    hold_against_the_long_way(calls, Driven(**options), Driven(**options))


def hold_against_the_long_way(calls: list[tuple[Any, ...]], calm: Driven, long: Driven) -> None:
    """Both answer alike, and hold the same versions, after each of the calls."""
    for call in [*calls, ("look",)]:
        answer = calm.answer(call)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(home_module, "commit_calmly", lambda section, transaction: None)
            patch.setattr(direct_module, "put_calmly", lambda section, key, value: None)
            assert long.answer(call) == answer, call
        assert long.chains() == calm.chains(), call


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each commit whether it was calm."""
    ways: list[bool] = []

    def noted(*arguments: Any) -> int | None:
        commit_ts = commit_calmly(*arguments)
        ways.append(commit_ts is not None)
        return commit_ts

    monkeypatch.setattr(home_module, "commit_calmly", noted)
    return ways


def test_who_is_alone_and_puts_plain_values_commits_calmly(ways: list[bool]) -> None:
    store = VersionedStore()
    for _ in range(3):
        commit(store)
    assert ways == [True] * 3
    assert store.chain(b"a") == [(3, b"1")]


def test_who_is_not_alone_commits_calmly_too_and_what_others_see_stays_as_long_as_they_do(ways: list[bool]) -> None:
    store = VersionedStore()
    commit(store)
    reader = store.begin()
    commit(store)
    commit(store)
    assert ways == [True] * 3
    assert store.chain(b"a") == [(3, b"1"), (1, b"1")]
    assert reader.get(b"a") == b"1"
    reader.rollback()
    assert store.chain(b"a") == [(3, b"1")]


@pytest.mark.parametrize(
    "company",
    [TransactionOptions(isolation="serializable"), TransactionOptions(label="nightly")],
    ids=["who reads what others write", "who is to be named to losers"],
)
def test_in_company_that_must_be_told_of_commits_or_of_whom_others_must_be_told_it_is_the_long_way(
    ways: list[bool], company: TransactionOptions
) -> None:
    store = VersionedStore()
    reader, tx = store.begin(), store.begin(company)
    tx.put(b"a", b"1")
    tx.commit()
    assert ways == [False]
    assert reader.get(b"a") is None


def test_who_is_alone_and_only_reads_commits_calmly(ways: list[bool]) -> None:
    store = VersionedStore()
    commit(store)
    tx = store.begin(TransactionOptions(read_only=True))
    assert tx.get(b"a") == b"1"
    assert tx.commit() == 1
    assert ways == [True, True]
    assert store.commit_ts == 1
    assert store.stats()["commits_total"] == 2
    assert store.transactions() == []
    store.check()


@pytest.mark.parametrize("others", [0, 1])
def test_who_is_killed_on_the_way_into_its_commit_applies_nothing(others: int) -> None:
    store = VersionedStore()
    company = [store.begin() for _ in range(others)]
    tx = store.begin()
    tx.put(b"a", b"1")
    assert store.kill(tx.id)
    with pytest.raises(TransactionDoomedError, match="KILL"):
        store._home.commit(tx)  # as it is called after `tx` has looked whether it was ended
    assert store.get(b"a") is None
    assert len(store.transactions()) == len(company)
    store.check()


def test_a_calm_commit_in_company_ends_the_oldest_snapshots_if_too_much_is_pinned(ways: list[bool]) -> None:
    store = VersionedStore(pinned_bytes_max=1)
    commit(store)
    reader = store.begin()
    commit(store)
    assert ways == [True, True]
    assert reader.ended is not None
    assert store.chain(b"a") == [(2, b"1")]


@pytest.mark.parametrize(
    "unrest",
    [
        lambda store: store.put(b"t", b"1", ttl_s=60),
        lambda store: store.keep_changes(1000),
        lambda store: store.attach(DeferringLog()),
    ],
    ids=["expiry", "history", "a log"],
)
def test_a_store_that_must_tell_somebody_of_commits_takes_the_long_way(
    ways: list[bool], unrest: Callable[[VersionedStore], None]
) -> None:
    store = VersionedStore()
    unrest(store)
    commit(store)
    assert ways == [False]


def test_a_calm_commit_loses_to_whoever_came_first_and_has_gone_again() -> None:
    store = VersionedStore()
    late = store.begin()
    late.put(b"a", b"late")
    commit(store)
    with pytest.raises(ConflictError, match="a"):
        late.commit()
    assert store.get(b"a") == b"1"


@pytest.mark.parametrize("company", [0, 1, 2], ids=["alone", "beside a reader", "beside one who is behind"])
def test_gets_without_a_lock_see_a_calm_commit_whole_or_not_at_all_at_every_line_of_it(
    ways: list[bool], company: int
) -> None:
    store, before = VersionedStore(), sys.gettrace()
    others = [store.begin()] * (company == 2)
    store.write({b"a": b"old", b"b": b"old"})
    others += [store.begin()] * (company == 1)
    tx = store.begin()
    tx.put(b"a", b"new")
    tx.put(b"b", b"new")
    seen = []

    def look(*_: object) -> Any:
        seen.append((store.get(b"a"), store.get(b"b")))
        return look

    sys.settrace(look)
    try:
        tx.commit()
    finally:
        sys.settrace(before)
    assert ways == [True]
    assert set(seen) == {(b"old", b"old"), (b"new", b"new")}
