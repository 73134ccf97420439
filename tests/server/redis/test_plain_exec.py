"""EXEC that writes straight away answers and leaves what it would in a transaction; a watch sees what one would."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import ConflictError
from mvcc_kv.server.redis import transactions
from mvcc_kv.server.redis.watching import Watch
from tests.engine.logs import DeferringLog
from tests.server.redis.clients import Place

KEYS = st.sampled_from([b"a", b"b", b"c", b"\xff"])
TEXTS = st.sampled_from([b"1", b"", b"x", b'"', b"\xfe", b"-7"])
NAMED = st.one_of(
    st.tuples(st.sampled_from([b"GET", b"INCR", b"DEL", b"GETDEL", b"STRLEN", b"EXISTS", b"TTL", b"PERSIST"]), KEYS),
    st.tuples(st.sampled_from([b"SET", b"SETNX", b"APPEND", b"GETSET", b"INCRBY"]), KEYS, TEXTS),
    st.tuples(st.just(b"MSET"), KEYS, TEXTS, KEYS, TEXTS),
    st.tuples(st.just(b"DEL"), KEYS, KEYS),
    st.tuples(st.sampled_from([b"RENAME", b"COPY"]), KEYS, KEYS),
    st.tuples(st.just(b"SET"), KEYS, TEXTS, st.sampled_from([b"EX", b"PXAT"]), st.sampled_from([b"1", b"100"])),
)
OTHERS = st.sampled_from([(b"PING",), (b"KEYS", b"*"), (b"DBSIZE",), (b"FLUSHALL",), (b"PUBLISH", b"c", b"m")])


def left(place: Place) -> dict[str, Any]:
    """What is in a place, and what became of its commands."""
    store = place.store
    store.check()
    stats = {name: count for name, count in store.stats().items() if name not in ("commits_total", "rollbacks_total")}
    tallies = {name: (it.calls, it.failed, it.rejected) for name, it in place.services.redis.tallies.items()}
    chains = {key: store.chain(key) for key in list(store.keys())}
    return {"stats": stats, "tallies": tallies, "chains": chains, "errors": place.services.redis.errors}


@settings(max_examples=300)
@given(before=st.lists(NAMED, max_size=3), batches=st.lists(st.lists(st.one_of(NAMED, NAMED, OTHERS), max_size=6)))
def test_exec_answers_and_leaves_what_it_would_in_a_transaction(
    before: list[tuple[bytes, ...]], batches: list[list[tuple[bytes, ...]]]
) -> None:
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        for is_plain in (True, False):
            if not is_plain:
                patch.setattr(transactions, "_run_plainly", transactions._run_within)
            place = Place()
            client = place.client()
            replies = [client.raw(*command) for command in before]
            for batch in batches:
                replies += [client.raw(*command) for command in [(b"MULTI",), *batch, (b"EXEC",)]]
                replies.append(b"%d" % client.session.seen_ts)
            seen.append((replies, left(place)))
    assert seen[0] == seen[1]


def test_a_commit_of_exec_is_called_so_by_who_loses_to_it() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("START")
    client("SET", "a", 1)
    for words in (("MULTI",), ("SET", "a", 2), ("EXEC",)):
        other(*words)
    client.fails("COMMIT")
    winner = client("CONFLICT", "LAST")[-1]
    assert winner == [b"a", [b"commit_ts", 1, b"label", b"EXEC"]]


WRITES = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "clear", "publish", "collect"]), st.sampled_from([b"a", b"b", b"c"])),
    max_size=6,
)


def happen(store: VersionedStore, writes: list[tuple[str, bytes]]) -> None:
    for what, key in writes:
        if what == "put":
            store.put(key, b"1")
        elif what == "delete":
            store.delete(key)
        elif what == "clear":
            store.clear()
        elif what == "publish":
            store.publish(store.commit_ts)
        else:
            store.collect()


def is_taken(transaction: Any) -> bool:
    """Whether a commit would be refused because somebody else's came first."""
    try:
        transaction.commit()
    except ConflictError:
        return True
    return False


@settings(max_examples=500)
@given(
    before=WRITES,
    meanwhile=WRITES,
    watched=st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1),
    logs=st.booleans(),
)
def test_a_watch_is_lost_when_a_transaction_that_blindly_writes_its_keys_would_be(
    before: list[tuple[str, bytes]], meanwhile: list[tuple[str, bytes]], watched: list[bytes], logs: bool
) -> None:
    stores = [VersionedStore(DeferringLog() if logs else None) for _ in range(2)]
    for store in stores:
        happen(store, before)
    watch = Watch(stores[0], None)
    watch.add([(key, stores[0].newest_ts(key)) for key in watched], seen_ts=stores[0].commit_ts)
    rival = stores[1].begin(TransactionOptions(), seen_ts=stores[1].commit_ts)
    for key in watched:
        rival.put(key, b"2")
    for store in stores:
        happen(store, meanwhile)
    assert watch.is_lost == is_taken(rival)
    watch.end()
    stores[0].check()


def test_to_watch_keys_that_are_there_opens_no_transaction() -> None:
    place = Place()
    client = place.client()
    client("MSET", "a", 1, "b", 2)
    client("WATCH", "a", "b")
    assert not place.store.transactions()
    client("WATCH", "c")
    assert [it.label for it in place.store.transactions()] == ["WATCH"]
    client("UNWATCH")
    assert not place.store.transactions()


class SlowDisk(Place):
    """Commits are visible when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.store.attach(DeferringLog())

    def publish(self) -> None:
        self.store.publish(self.store.commit_ts)


def test_who_watches_a_key_on_its_way_to_the_disk_waits_for_it_and_does_not_lose_to_it() -> None:
    place = SlowDisk()
    client, other = place.client(), place.client()
    other("SET", "a", 1)
    client("WATCH", "b")
    assert client.session.hold_ts == 0
    client("WATCH", "a")
    assert client.session.hold_ts == place.store.commit_ts == 1, "its answer waits for the disk"
    assert client("GET", "a") == b"1"
    client("MULTI")
    client("SET", "a", 2)
    assert client("EXEC") == [b"OK"]


def test_who_lost_begins_again_after_the_winner_and_hears_of_it_when_that_is_on_disk() -> None:
    place = SlowDisk()
    client, other = place.client(), place.client()
    client("START")
    client("SET", "a", 1)
    other("SET", "a", 2)
    client.fails("COMMIT")
    assert client.session.hold_ts == 0
    assert client("GET", "a") is None, "who only reads does not wait"
    assert client("START") == client.session.hold_ts == 1
    client("INCR", "a")
    assert client("COMMIT") == 2
    place.publish()
    assert client("GET", "a") == b"3"


def test_who_lost_to_what_will_never_be_on_disk_begins_at_what_is() -> None:
    place = SlowDisk()
    client, other = place.client(), place.client()
    client("START")
    client("SET", "a", 1)
    other("SET", "a", 2)
    client.fails("COMMIT")
    client.session.lose(place.store.begin(TransactionOptions()).ended or ConflictError("never"))
    assert client("START") == client.session.hold_ts == 0
