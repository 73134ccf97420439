"""Identities: what looks alike is not the same, and what is the same is found again."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker import check, pair
from mvcc_kv.stress.checker.edn import decode_edn, edn_events
from mvcc_kv.stress.checker.histories import Transaction
from mvcc_kv.stress.checker.identities import Keyword, Symbol, identity

APART: list[Any] = [
    *(0, 1, -1, True, False, 0.0, -0.0, 1.0, "", "1", "True", "x", Keyword("x"), Symbol("x"), None, "None"),
    *([], {}, "[]", "{}", [1], [True], [1.0], ["1"], "[1]", [[1]], {"a": 1}, {"a": True}, "{'a': 1}", [None], ["a", 1]),
]


def test_what_looks_alike_is_told_apart() -> None:
    for one, other in combinations(APART, 2):
        assert identity(one) != identity(other), (one, other)
    assert len({identity(it) for it in APART}) == len(APART)


def test_the_same_is_the_same_however_it_is_put() -> None:
    pairs: list[tuple[Any, Any]] = [([1, [2]], (1, (2,))), ({"a": 1, "b": [2]}, {"b": [2], "a": 1}), (1.5, 1.5)]
    assert all(identity(one) == identity(other) for one, other in pairs)


def transaction(at: int, *micros: Any) -> Transaction:
    return Transaction(f"T{at}", at, "ok", 2 * at, 2 * at + 1, list(micros))


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, 1.0), ([1], "[1]"), (Keyword("x"), "x"), ({"a": 1}, "{'a': 1}")]
)
def test_keys_that_look_alike_raise_no_alarm(one: Any, other: Any) -> None:
    for write, seen in (("append", [5]), ("w", 5)):
        history = [transaction(0, (write, one, 5)), transaction(1, ("r", other, None), ("r", one, seen))]
        assert not check([*history, transaction(2, (write, other, 5))]).anomalies


def test_values_that_look_alike_are_no_value_written_twice() -> None:
    values: list[Any] = [0, False, 0.0, "0", {"a": 1}, "{'a': 1}", [1], "[1]"]
    for write in ("w", "append"):
        history = [transaction(at, (write, "x", value)) for at, value in enumerate(values)]
        assert not check(history).anomalies


@pytest.mark.parametrize("read", [True, 1.0, "1", [1]])
def test_a_value_that_only_looks_like_what_was_written_is_garbage(read: Any) -> None:
    assert "garbage-read" in check([transaction(0, ("append", "x", 1)), transaction(1, ("r", "x", [read]))]).anomalies
    assert "garbage-read" in check([transaction(0, ("w", "x", 1)), transaction(1, ("r", "x", read))]).anomalies


@pytest.mark.parametrize("read", [0, False, "", {}, 5, "abc"])
def test_a_list_read_as_something_else_is_refused(read: Any) -> None:
    with pytest.raises(BadRequestError, match="a read of such a key is a list, or null"):
        check([transaction(0, ("append", "x", 1)), transaction(1, ("r", "x", read))])


def test_keywords_and_strings_of_edn_are_keys_of_their_own() -> None:
    text = """
    {:process 0 :type :invoke :value [[:append :x 1] [:append "x" 2]]}
    {:process 0 :type :ok :value [[:append :x 1] [:append "x" 2]]}
    {:process 1 :type :invoke :value [[:r :x nil] [:r "x" nil]]}
    {:process 1 :type :ok :value [[:r :x [1]] [:r "x" [2]]]}
    """
    verdict = check(pair(edn_events(text)))
    assert (verdict.counts.keys, dict(verdict.anomalies)) == (2, {})


def test_keywords_symbols_and_characters_are_shown_as_they_were_written() -> None:
    [(_, forms)] = decode_edn(r"[:x foo/bar \a \u0041 \newline 1/2]")
    assert list(map(repr, forms)) == [":x", "foo/bar", r"\a", r"\u0041", r"\newline", "1/2"]


def test_a_value_nested_beyond_measure_is_refused() -> None:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(BadRequestError, match="nested too deeply"):
        check([transaction(0, ("append", "x", value))])
