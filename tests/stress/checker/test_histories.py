"""Events to transactions: how they pair, and what can't be judged."""

from __future__ import annotations

import json
import re

import msgspec
import pytest

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker import check, pair
from mvcc_kv.stress.checker.edn import encode_edn_event
from mvcc_kv.stress.checker.formats import Format, read_histories
from mvcc_kv.stress.checker.histories import NEVER
from mvcc_kv.stress.checker.verdict import Counts
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


def read_of(text: bytes, written_as: Format = "auto") -> Counts:
    """What the one history in the file counts."""
    [written] = read_histories(text.splitlines(keepends=True), written_as)
    return check(written.transactions).counts


BOTH = (
    b'{"type":"invoke","process":0,"value":[["append","a",1]]}\n{"type":"ok","process":0,"value":[["append","a",1]]}\n'
)
IN_EDN = b"{:type :invoke, :process 0, :value [[:append :a 1]]}\n{:type :ok, :process 0, :value [[:append :a 1]]}\n"
DONE = {
    "no index and no time": BOTH,
    "a fractional time": BOTH.replace(b'"process"', b'"time":0.5,"process"'),
    "an object as error": BOTH.replace(b'"process"', b'"error":{"code":5},"process"'),
    "null for what isn't there": BOTH.replace(b'"process"', b'"index":null,"time":null,"f":null,"process"'),
    "a value of another kind of event": BOTH + b'{"type":"invoke","process":1,"f":"look","value":{"at":5}}\n',
    "a process that is null": b'{"type":"info","process":null,"value":[]}\n' + BOTH,
    "a byte order mark": b"\xef\xbb\xbf" + BOTH,
    "a byte order mark in EDN": b"\xef\xbb\xbf" + IN_EDN,
    "a vector of EDN that opens on its own line": b"[\n" + IN_EDN + b"]\n",
    "one whose events are set in": b"[\n\n  " + IN_EDN + b"]\n",
    "a map of EDN that opens on its own line": b"{\n" + IN_EDN[1:],
    "a map of EDN with a namespace": IN_EDN.replace(b"{:type", b"#:op{:type"),
    "a document over several lines": b'{\n"history":\n[\n' + BOTH.replace(b"}\n{", b"},\n{") + b"]\n}\n",
    "a document that opens with its history": b'{"history": [' + BOTH.replace(b"}\n{", b"},\n{") + b"]}",
    "a list over several lines": b"[" + BOTH.replace(b"}\n{", b"},\n{") + b"]",
    "a document without indexes": b"[" + BOTH.replace(b"}\n{", b"},{") + b"]",
}


@pytest.mark.parametrize("what", DONE)
def test_what_does_not_matter_is_read_as_it_comes(what: str) -> None:
    assert read_of(DONE[what]).committed == 1


def test_an_event_without_a_value_is_one_of_nothing() -> None:
    text = b'{"index":0,"time":0,"type":"invoke","process":0,"value":null}\n'
    assert read_of(text + text.replace(b"invoke", b"ok")).committed == 1


def test_events_of_a_vector_on_one_line_are_called_by_their_places() -> None:
    text = "".join(re.sub(r":index \d+, ", "", encode_edn_event(it)).strip() for it in events(ABORTED_READ))
    [written] = read_histories([f"[{text}]".encode()])
    assert check(written.transactions).anomalies["G1a"][0].words == "T3 saw 1 at x, which T1 had written, and T1 failed"


HUGE = b"9" * 30
REFUSED: dict[str, tuple[bytes, str]] = {
    "null": (b"null", "the document holds no list of events"),
    "a number": (b"5", "the document holds no list of events"),
    "true": (b"true", "the document holds no list of events"),
    "arrays to no end": (b"[" * 100_000, "nested too deeply"),
    "a value of arrays to no end": (BOTH.replace(b'"a",1', b'"a",' + b"[" * 50_000), "nested too deeply"),
    "tags to no end": (b"#a " * 50_000, "line 1: it is nested too deeply"),
    "comments to no end": (b"#_ " * 50_000, "line 1: it is nested too deeply"),
    "vectors to no end": (b"[:a " * 50_000, "line 1: it is nested too deeply"),
    "a number of 5,000 digits in EDN": (IN_EDN.replace(b" 1]", b" " + b"9" * 5000 + b"]"), "more than 1000 digits"),
    "a number of 5,000 digits": (BOTH.replace(b",1]", b"," + b"9" * 5000 + b"]"), "line 1 is no event"),
    "a process of 100 bits": (BOTH.replace(b":0", b":" + HUGE), "processes are numbers of 64 bits"),
    "a process of 100 bits in EDN": (IN_EDN.replace(b" 0", b" " + HUGE), "processes are numbers of 64 bits"),
    "a session of 100 bits": (b'{"ops": "w,x,1,' + HUGE + b',0"}', "processes are numbers of 64 bits"),
    "half of a surrogate pair": (IN_EDN.replace(b":a", b'"\\ud800"'), "half of a surrogate pair"),
    "completions only": (IN_EDN.splitlines()[1], "Keep the invocations in the history"),
    "nothing to judge": (
        BOTH.replace(b'"process"', b'"f":"bank","process"'),
        "it holds no reads or writes that can be judged, only bank; judged are events whose f is txn",
    ),
    "lists and registers": (
        BOTH + BOTH.replace(b"append", b"w"),
        "beside history.jsonl there are history-list-append.jsonl and history-register.jsonl",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_can_t_be_taken_in_is_refused_in_a_line(what: str) -> None:
    text, told = REFUSED[what]
    with pytest.raises(BadRequestError) as caught:
        read_of(text)
    assert told in caught.value.message and "\n" not in caught.value.message


@pytest.mark.parametrize("text", [BOTH, b'{"index":0,"time":0,"process":0}\n'])
def test_json_read_as_edn_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequestError, match="if it is JSON, read it with --format jsonl"):
        read_of(text, "edn")
