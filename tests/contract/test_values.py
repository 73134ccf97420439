"""What keys and values may be, and that they come back as they were given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mvcc_kv.api import Database
from mvcc_kv.errors import BadRequestError, KeyNotFoundError

VALUES = [
    None,
    True,
    0,
    -(2**63) - 1,
    10**300,
    1.0,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    "",
    "hello",
    'quotes " and \\ and \n and \r\n and \t and \x00 and \x7f and \u2028',
    "Zoë 東京 🎈",
    [],
    [1, [2, [3]]],
    {},
    {"a": {"b": [None, False]}, "": "empty", "🎈": 1.5},
    "x" * 300_000,
]

KEYS = ["", "a", " ", "with space", "a\nb", "a\r", "\x00", '{"key": "a"}', "Zoë", "🎈", "a" * 5000, "\ufeffmark"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_a_value_comes_back_as_it_was_given(db: Database, value: Any) -> None:
    db["k"] = value
    with db.transaction() as tx:
        assert same(tx["k"], value)
        tx["again"] = value
        assert same(tx["again"], value)
    assert same(db["again"], value)
    assert [same(item, value) for _, item in db.scan()] == [True, True]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(key=st.text(), value=json_values)
def test_any_text_is_a_key_and_any_json_a_value(db: Database, key: str, value: Any) -> None:
    db[key] = value
    assert same(db[key], value)
    assert key in set(db)
    del db[key]
    assert key not in db


@pytest.mark.parametrize("key", KEYS, ids=lambda key: repr(key)[:30])
def test_any_string_is_a_key(db: Database, key: str) -> None:
    assert key not in db
    db[key] = 1
    with db.transaction() as tx:
        assert tx[key] == 1
        tx[key] = 2
        assert list(tx.scan(start=key, limit=1)) == [(key, 2)]
    assert list(db) == [key]
    assert db.delete(key)
    assert list(db) == []


def test_a_float_stays_a_float_and_an_integer_an_integer(db: Database) -> None:
    db["float"], db["integer"] = 1.0, 1
    assert type(db["float"]) is float
    assert type(db["integer"]) is int


def test_what_a_read_returns_is_the_callers_own(db: Database) -> None:
    given = {"tags": ["a"]}
    db["k"] = given
    given["tags"].append("b")
    db["k"]["tags"].append("c")
    with db.transaction() as tx:
        tx["k"]["tags"].append("d")
        tx["own"] = given
        given["tags"].append("e")
        tx["own"]["tags"].append("f")
        assert tx["own"] == {"tags": ["a", "b"]}
    assert db["k"] == {"tags": ["a"]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), b"bytes", [float("-inf")], "\ud800"])
def test_what_json_can_not_hold_is_refused_and_changes_nothing(db: Database, value: Any) -> None:
    db["k"] = 1
    with pytest.raises(BadRequestError, match="anything JSON can hold"):
        db["k"] = value
    with db.transaction() as tx:
        with pytest.raises(BadRequestError):
            tx["k"] = value
        tx["other"] = 2
    assert dict(db.scan()) == {"k": 1, "other": 2}


@pytest.mark.parametrize("key", [1, None, b"k", ("k",), True, "\ud800"])
def test_what_is_no_text_is_no_key(db: Database, key: Any) -> None:
    with pytest.raises(BadRequestError, match="key"):
        db[key] = 1
    with pytest.raises(BadRequestError):
        db[key]
    with pytest.raises(BadRequestError):
        db.get(key)
    with pytest.raises(BadRequestError):
        _ = key in db
    with pytest.raises(BadRequestError):
        del db[key]
    with pytest.raises(ValueError, match="key"), db.transaction() as tx:
        tx[key] = 1
    assert list(db) == []


def test_a_missing_key_is_a_key_error_that_names_it(db: Database) -> None:
    with pytest.raises(KeyError) as caught:
        db["nobody"]
    assert isinstance(caught.value, KeyNotFoundError)
    assert (caught.value.code, caught.value.retryable) == ("KEY_NOT_FOUND", False)
    assert caught.value.evidence == {"key": "nobody"}
    assert str(caught.value) == "Key not found: 'nobody'"
    with pytest.raises(KeyNotFoundError):
        del db["nobody"]
    assert not db.delete("nobody")
    assert db.get("nobody") is None
    assert db.get("nobody", 0) == 0
    assert "nobody" not in db


def test_null_is_a_value_and_not_a_missing_key(db: Database) -> None:
    db["k"] = None
    assert "k" in db
    assert db["k"] is None
    assert db.get("k", "default") is None


def test_a_deleted_key_is_gone_until_it_is_set_again(db: Database) -> None:
    db["k"] = 1
    del db["k"]
    assert "k" not in db
    db["k"] = 2
    assert db["k"] == 2


def test_the_empty_string_is_a_key_like_any_other(db: Database) -> None:
    db[""] = "nameless"
    assert list(db.scan()) == [("", "nameless")]
    assert db.delete("")


def same(found: Any, given: Any) -> bool:
    """Equal, and of the same types all the way down; `1 == 1.0 == True` is not enough."""
    return repr(found) == repr(given)
