"""Scans: half-open ranges in the order of the keys' UTF-8, merged with what the transaction itself wrote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mvcc_kv.api import Database
from mvcc_kv.errors import BadRequestError

KEYS = ["", "a", "a:", "a:1", "a:2", "a:2:x", "a;", "b", "z", "ß", "日", "🎈"]


@pytest.fixture
def filled(db: Database) -> Database:
    with db.transaction() as tx:
        for key in reversed(KEYS):
            tx[key] = f"<{key}>"
    return db


RANGES: list[dict[str, Any]] = [
    {},
    {"prefix": "a"},
    {"prefix": "a:"},
    {"prefix": "nobody"},
    {"prefix": "日"},
    {"start": "a:1"},
    {"end": "a:2"},
    {"start": "a:1", "end": "a:2:x"},
    {"start": "b", "end": "a"},
    {"start": "b", "end": "b"},
    {"end": ""},
    {"prefix": "a:", "start": "a:2"},
    {"prefix": "a:", "end": "a:2"},
    {"prefix": "a", "start": "b"},
]


def expected(keys: list[str], prefix: str = "", start: str = "", end: str | None = None) -> list[str]:
    return [key for key in keys if key.startswith(prefix) and key >= start and (end is None or key < end)]


@pytest.mark.parametrize("limit", [None, 0, 1, 3, 100])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bounds", RANGES, ids=str)
def test_a_scan_yields_its_range(filled: Database, bounds: dict[str, Any], reverse: bool, limit: int | None) -> None:
    wanted = expected(KEYS, **bounds)
    if reverse:
        wanted.reverse()
    items = [(key, f"<{key}>") for key in wanted[:limit]]
    assert list(filled.scan(**bounds, reverse=reverse, limit=limit)) == items
    with filled.transaction(read_only=True) as tx:
        assert list(tx.scan(**bounds, reverse=reverse, limit=limit)) == items


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bounds", RANGES, ids=str)
def test_keys_are_those_of_the_scan(filled: Database, bounds: dict[str, Any], reverse: bool) -> None:
    with filled.transaction() as tx:
        tx["a:0"] = 1
        del tx["a:1"]
        for limit in (None, 0, 2):
            scanned = [key for key, _ in tx.scan(**bounds, reverse=reverse, limit=limit)]
            assert list(tx.keys(**bounds, reverse=reverse, limit=limit)) == scanned
        tx.rollback()
    assert list(filled.keys(**bounds, reverse=reverse)) == [key for key, _ in filled.scan(**bounds, reverse=reverse)]


def test_iterating_yields_the_keys_in_order(filled: Database) -> None:
    assert list(filled) == KEYS
    with filled.transaction() as tx:
        del tx["b"]
        tx["c"] = 1
        assert list(tx) == sorted({*KEYS, "c"} - {"b"}, key=str.encode)


def test_a_scan_is_merged_with_own_writes_and_deletions(filled: Database) -> None:
    with filled.transaction() as tx:
        tx["a:0"] = "new first"
        tx["a:2"] = "changed"
        tx["a:9"] = "new last"
        del tx["a:1"]
        merged = [("a:", "<a:>"), ("a:0", "new first"), ("a:2", "changed"), ("a:2:x", "<a:2:x>"), ("a:9", "new last")]
        assert list(tx.scan(prefix="a:")) == merged
        assert list(tx.scan(prefix="a:", reverse=True)) == merged[::-1]
        assert list(tx.scan(prefix="a:", limit=2)) == merged[:2]
        assert list(tx.scan(prefix="a:", limit=2, reverse=True)) == merged[:-3:-1]
        assert list(filled.scan(prefix="a:", limit=2)) == [("a:", "<a:>"), ("a:1", "<a:1>")]


def test_an_own_key_that_is_deleted_again_is_not_scanned(filled: Database) -> None:
    with filled.transaction() as tx:
        tx["a:0"] = 1
        assert tx.delete("a:0")
        assert tx.delete("a:1")
        tx["a:1"] = "back"
        assert [key for key, _ in tx.scan(prefix="a:", limit=2)] == ["a:", "a:1"]


def test_a_range_that_this_transaction_emptied_is_empty(filled: Database) -> None:
    with filled.transaction() as tx:
        for key in list(tx):
            del tx[key]
        assert list(tx.scan()) == []
        assert list(tx.scan(limit=1, reverse=True)) == []
    assert list(filled) == []


def test_a_scan_is_lazy(filled: Database) -> None:
    scan = filled.scan()
    assert next(scan) == ("", "<>")
    assert [key for key, _ in scan] == KEYS[1:]


def test_a_scan_of_many_pages_sees_one_snapshot(db: Database) -> None:
    with db.transaction() as tx:
        for i in range(2500):
            tx[f"{i:05}"] = i
    with db.transaction(read_only=True) as tx:
        scan = tx.scan()
        assert next(scan) == ("00000", 0)
        db["02400"] = "changed"
        del db["02401"]
        assert [value for _, value in scan] == list(range(1, 2500))


@pytest.mark.parametrize("limit", [-1, 1.0, "3", True])
def test_what_is_no_limit_is_refused_by_the_call(db: Database, limit: Any) -> None:
    with pytest.raises(BadRequestError, match="limit"):
        db.scan(limit=limit)
    with pytest.raises(BadRequestError, match="limit"):
        db.keys(limit=limit)
    with pytest.raises(BadRequestError, match="limit"), db.transaction() as tx:
        tx.scan(limit=limit)


@pytest.mark.parametrize("bounds", [{"prefix": b"a"}, {"start": 1}, {"end": 2.0}, {"prefix": "\ud800"}])
def test_what_is_no_key_is_no_bound(db: Database, bounds: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError, match="key"):
        db.scan(**bounds)


short_keys = st.text("ab", max_size=3)
steps = st.lists(st.tuples(st.sampled_from(["put", "delete"]), short_keys), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    committed=st.sets(short_keys),
    own=steps,
    prefix=short_keys,
    start=short_keys,
    end=st.none() | short_keys,
    limit=st.none() | st.integers(0, 5),
    reverse=st.booleans(),
)
def test_a_scan_agrees_with_a_sorted_dict(
    db: Database,
    committed: set[str],
    own: list[tuple[str, str]],
    prefix: str,
    start: str,
    end: str | None,
    limit: int | None,
    reverse: bool,
) -> None:
    with db.transaction() as tx:
        for key in list(tx):
            del tx[key]
        for key in committed:
            tx[key] = "committed"
    model = dict.fromkeys(committed, "committed")
    tx = db.transaction()
    for step, key in own:
        if step == "put":
            tx[key] = model[key] = "own"
        else:
            assert tx.delete(key) == (model.pop(key, None) is not None)
    wanted = [(key, model[key]) for key in expected(sorted(model), prefix, start, end)]
    if reverse:
        wanted.reverse()
    assert list(tx.scan(prefix=prefix, start=start, end=end, limit=limit, reverse=reverse)) == wanted[:limit]
    tx.rollback()
