"""EDN: what Jepsen and Elle write is read, and what we write is read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker import check, pair
from mvcc_kv.stress.checker.edn import decode_edn, edn_events, encode_edn, encode_edn_value
from mvcc_kv.stress.checker.formats import read_histories
from mvcc_kv.stress.history import Event
from tests.stress.checker.simulated import simulate

ELLE = """\
; a history as Elle has them
{:process 0, :type :invoke, :f :txn, :value [[:append 1 2] [:r "k" nil]], :time 10, :index 0}
{:process :nemesis, :type :info, :f :start, :value :kill}
#jepsen.history.Op{:process 0 :type :ok :f :txn :value ((:append 1 2) [:r "k" [3 -4N]]) :time 11 :index 1}
#_ {:process 9 :type :ok}
"""


def test_a_history_of_elle_is_read() -> None:
    invoke, ok = edn_events(ELLE)
    assert invoke == Event(index=0, time=10, process=0, type="invoke", value=[("append", 1, 2), ("r", "k", None)])
    assert ok == Event(index=1, time=11, process=0, type="ok", value=[("append", 1, 2), ("r", "k", [3, -4])])


def test_a_vector_of_events_is_a_history_too() -> None:
    text = "[{:process 0 :type :invoke :value [[:r 1 nil]]}\n {:process 0 :type :info :value nil :error :timeout}]"
    assert [(it.type, it.value, it.error) for it in edn_events(text)] == [
        ("invoke", [("r", 1, None)], None),
        ("info", [], "timeout"),
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_is_read_back(value: object) -> None:
    [(_, read)] = decode_edn(encode_edn_value(value))
    assert read == value


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000))
def test_a_history_goes_round_trip(seed: int) -> None:
    events = list(simulate(seed, "snapshot", "list-append", transactions=20))
    text = encode_edn(events)
    assert list(edn_events(text)) == events
    [written] = read_histories(text.encode().splitlines(keepends=True))
    assert check(written.transactions).to_json() == check(pair(events)).to_json()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{:type :ok", "line 1: '{' is never closed; is the file cut short?"),
        ("{:process 0 :type :ok :value []}\n{:a 1]", "line 2: ']' closes the '{' of line 2"),
        ("}", "line 1: '}' closes nothing"),
        ("{:a}", "line 1: a map has a key without a value"),
        ("{:process 0\n :type :done}", "line 1: type is invoke, ok, fail or info, not :done"),
        ("\n\n:hello", "line 3: an event is a map, not :hello"),
        ("{:process 0 :type :ok :value [[:r 1]]}", "line 1: a micro-operation is such as"),
        ('"open', "line 1: something here is no EDN"),
        ("[" * 200, "it is nested too deeply"),
    ],
)
def test_what_is_no_history_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        list(edn_events(text))
    assert told in caught.value.message


def test_a_history_of_elle_as_edn_has_the_same_verdict() -> None:
    path = Path(__file__).parent.parent.parent / "data" / "histories" / "list-append-si-0.json"
    events = [Event(**event) for event in json.loads(path.read_text())["history"]]
    verdict = check(pair(edn_events(encode_edn(events))))
    assert "G2-item" in verdict.anomalies


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r'"a\u0062"', "ab"),
        (r'"\101\60"', "A0"),
        (r'"\b\f\n"', "\b\f\n"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"\\u"', r"\u"),
    ],
)
def test_escapes_in_strings_are_what_they_stand_for(written: str, read: str) -> None:
    assert list(decode_edn(written)) == [(1, read)]


def test_a_character_by_its_number_is_one_form() -> None:
    assert list(decode_edn(r"{:c \u0041 :d \a :o \o101 :e 1}")) == [
        (1, {"c": r"\u0041", "d": r"\a", "o": r"\o101", "e": 1})
    ]
