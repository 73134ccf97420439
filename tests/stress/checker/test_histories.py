"""Events to transactions: how they pair, and what can't be judged."""

from __future__ import annotations

import json
import re

import msgspec
import pytest

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker import check, pair
from mvcc_kv.stress.checker.edn import encode_edn_event
from mvcc_kv.stress.checker.formats import read_histories
from mvcc_kv.stress.checker.histories import NEVER
from mvcc_kv.stress.history import encode_event
from tests.stress.checker.told import events, judged


def test_an_invocation_and_its_completion_are_a_transaction() -> None:
    one, other = pair(events("0< ax1\n1< rx\n1: rx1\n0: ax1"))
    assert (one.process, one.outcome, one.invoked_at, one.completed_at, one.micros) == (
        1,
        "ok",
        1,
        2,
        [("r", "x", [1])],
    )
    assert (other.process, other.outcome, other.invoked_at, other.completed_at) == (0, "ok", 0, 3)


def test_what_was_never_answered_is_unknown_and_never_done() -> None:
    [it] = pair(events("0< ax1"))
    assert (it.outcome, it.completed_at, it.micros) == ("info", NEVER, [("append", "x", 1)])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0: ax1", "process 0 completes a transaction that it never invoked"),
        ("0< ax1\n0< ax2", "process 0 invokes a transaction while one of its own is open"),
        ("0= ax1\n1= ax1", "T3 writes 1 to 'x', as T1 does"),
        ("0= wx1\n1= ax2", "in a register history"),
    ],
)
def test_what_can_t_be_judged_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        judged(text)
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "there is nothing in it"),
        (b"\n \n", "there is nothing in it"),
        (b'{"index": 0}\n', "line 1 is no event"),
        (b'{"index":0,"time":0,"process":0,"type":"invoke","value":[]}\nnonsense\n', "line 2 is no event"),
        (b'{"ops": "w,0,1,0"}\n', "line 1 is no register history"),
        (b"{\n nonsense", "neither a JSON document nor events a line each"),
        (b'{"history": [{"index": 1}]}', "event 1 of the document is none"),
        (b'{"history": 5}', "the document holds no list of events"),
    ],
)
def test_what_is_no_history_is_refused(text: bytes, told: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        [check(written.transactions) for written in read_histories(text.splitlines(keepends=True))]
    assert told in caught.value.message


def test_a_nemesis_is_passed_over() -> None:
    text = (
        b'{"index":0,"time":0,"process":"nemesis","type":"info","f":"kill","value":null}\n'
        b'{"index":1,"time":1,"process":0,"type":"invoke","f":"txn","value":[["r","x",null]]}\n'
        b'{"index":2,"time":2,"process":0,"type":"ok","f":"txn","value":[["r","x",null]]}\n'
    )
    [written] = read_histories(text.splitlines(keepends=True))
    assert check(written.transactions).counts.committed == 1


ABORTED_READ = "0< ax1\n0! ax1\n1< rx\n1: rx1"


def test_transactions_are_called_by_the_file_s_indexes_whatever_is_passed_over() -> None:
    lines: list[bytes] = []
    for at, event in enumerate(events(ABORTED_READ)):
        nemesis = {"index": 3 * at, "time": 0, "process": "nemesis", "type": "info", "f": "kill", "value": None}
        audit = msgspec.structs.replace(event, index=3 * at + 1, process=7, f="audit")
        lines += [json.dumps(nemesis).encode() + b"\n", b"\n", encode_event(audit)]
        lines.append(encode_event(msgspec.structs.replace(event, index=3 * at + 2)))
    [written] = read_histories(lines)
    [found] = check(written.transactions).anomalies["G1a"]
    assert found.words == "T11 saw 1 at x, which T5 had written, and T5 failed"


@pytest.mark.parametrize("is_vector", [False, True])
def test_events_in_edn_without_an_index_are_called_by_their_places(is_vector: bool) -> None:
    told = [re.sub(r":index \d+, ", "", encode_edn_event(event)) for event in events(ABORTED_READ)]
    text = "".join(["{:process :nemesis, :type :info}\n", *told])
    [written] = read_histories((f"[{text}]" if is_vector else text).encode().splitlines(keepends=True), "edn")
    [found] = check(written.transactions).anomalies["G1a"]
    assert found.words == "T4 saw 1 at x, which T2 had written, and T2 failed"


def test_a_process_that_does_two_things_at_a_time_is_told_by_its_index() -> None:
    wrong = [msgspec.structs.replace(event, index=40 + event.index) for event in events("0< ax1\n0< ax2")]
    with pytest.raises(BadRequestError, match="the event of index 41: process 0 invokes a transaction while"):
        list(pair(wrong))


def test_keys_and_values_of_any_json_are_judged() -> None:
    lines = [
        b'{"index":0,"time":0,"process":0,"type":"invoke","value":[["w",["a"],{"b":1}]]}\n',
        b'{"index":1,"time":0,"process":0,"type":"ok","value":[["w",["a"],{"b":1}]]}\n',
        b'{"index":2,"time":0,"process":0,"type":"invoke","value":[["r",["a"],null]]}\n',
        b'{"index":3,"time":0,"process":0,"type":"ok","value":[["r",["a"],{"b":1}]]}\n',
    ]
    [written] = read_histories(lines)
    assert not check(written.transactions).anomalies


def test_lists_of_objects_are_judged() -> None:
    done = '"process":0,"type":"ok","value":[["append","x",{"a":1}],["r","x",[{"a":1}]]]'
    lines = [
        b'{"index":0,"time":0,"process":0,"type":"invoke","value":[["append","x",{"a":1}],["r","x",null]]}\n',
        f'{{"index":1,"time":0,{done}}}\n'.encode(),
        b'{"index":2,"time":0,"process":1,"type":"invoke","value":[["r","x",null]]}\n',
        b'{"index":3,"time":0,"process":1,"type":"ok","value":[["r","x",[{"a":1},{"a":1}]]]}\n',
    ]
    [written] = read_histories(lines)
    assert set(check(written.transactions).anomalies) == {"duplicate-elements"}


def test_a_history_of_nothing_but_nothing_holds_everything() -> None:
    assert judged("0= rx").strongest[0].name == "strict-serializable"
