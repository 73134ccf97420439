"""The client's half of the protocol: lines out, replies in, with no socket anywhere."""

from __future__ import annotations

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.api import KeyRange, KeyVersion, OpenTransaction, Page, TransactionOptions, VersionPage
from mvcc_kv.client.core import Conversation, GarbageError, Reply
from mvcc_kv.client.decoding import decode_member, decode_page, decode_transactions, decode_value_text, decode_versions
from mvcc_kv.client.encoding import (
    encode_add,
    encode_command,
    encode_get,
    encode_history,
    encode_put,
    encode_scan,
    encode_start,
)
from mvcc_kv.errors import BadRequestError, ConflictError, Error, LimitExceededError, Winner

OK = b'{"status": "Ok", "result": {"key": "a", "value": 1}}\n'


def conversation_about(commands: int, received: bytes = b"") -> Conversation:
    conversation = Conversation()
    conversation.ask([b"GET a\n"] * commands)
    conversation.sent(len(conversation.unsent))
    if received:
        conversation.receive(received)
    conversation.check()
    return conversation


def only_error(replies: list[Reply]) -> Error:
    (error,) = replies
    assert isinstance(error, Error)
    return error


def result(text: bytes) -> msgspec.Raw:
    return msgspec.Raw(text)


def test_replies_come_in_the_order_of_their_commands() -> None:
    conversation = conversation_about(2, b'{"status": "Ok", "result": 1}\n{"status": "Ok", "result": 2}\n')
    assert conversation.is_answered
    assert [bytes(reply) for reply in conversation.take_replies() if not isinstance(reply, Error)] == [b"1", b"2"]
    assert conversation.take_replies() == []
    assert conversation.is_idle


def test_a_reply_may_come_in_any_pieces() -> None:
    conversation = conversation_about(1)
    for byte in OK:
        assert not conversation.is_answered
        conversation.receive(bytes([byte]))
        conversation.check()
    assert conversation.is_answered


@given(st.lists(st.integers(0, 300), max_size=5))
def test_how_replies_are_cut_makes_no_difference(cuts: list[int]) -> None:
    data = OK * 5
    conversation = conversation_about(5)
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(bounds):
        conversation.receive(data[start:end])
        conversation.check()
    assert len(conversation.take_replies()) == 5


def test_what_the_socket_did_not_take_stays_unsent() -> None:
    conversation = Conversation()
    conversation.ask([b"PUT a 1\n", b"COMMIT {}\n"])
    conversation.sent(10)
    assert conversation.unsent == b"MMIT {}\n"
    assert not conversation.is_idle


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\n",
        b"[]\n",
        b'{"status": "Fine"}\n',
        b'{"result": 1}\n',
        b'{"status": "Error", "result": "no object"}\n',
        b'{"status": "Ok", "result": "\xff"}\n',
        b'{"status": "Ok", "result": }\n',
    ],
)
def test_what_is_no_reply_is_refused(garbage: bytes) -> None:
    with pytest.raises(GarbageError, match="no reply of this protocol"):
        conversation_about(1).receive(garbage)


def test_a_reply_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(GarbageError, match="nobody asked for"):
        conversation_about(1).receive(OK + OK)


def test_garbage_is_quoted_in_brief() -> None:
    with pytest.raises(GarbageError) as caught:
        conversation_about(1).receive(b"x" * 100_000 + b"\n")
    assert len(str(caught.value)) < 120


def test_an_error_reply_becomes_the_error_that_embedded_use_raises() -> None:
    sent = ConflictError.lost_to(3, {"a": Winner(5, "nightly"), "b": Winner(4)})
    line = json.dumps({"status": "Error", "result": sent.to_result(), "message": sent.message}).encode() + b"\n"
    error = only_error(conversation_about(1, line).take_replies())
    assert isinstance(error, ConflictError)
    assert error.winners == {"a": Winner(5, "nightly"), "b": Winner(4)}
    assert (error.keys, error.start_ts, error.retryable, str(error)) == (["a", "b"], 3, True, sent.message)


def test_a_code_of_a_newer_server_is_kept() -> None:
    line = b'{"status": "Error", "result": {"code": "TOO_HOT", "retryable": true, "limit": 3}, "message": "Ouch"}\n'
    error = only_error(conversation_about(1, line).take_replies())
    assert (type(error), error.code, error.retryable, error.evidence) == (Error, "TOO_HOT", True, {"limit": 3})


def test_the_evidence_of_a_limit_comes_over() -> None:
    evidence = b'"limit": 1024, "actual": 2000, "setting": "--max-transaction-bytes"'
    line = (
        b'{"status": "Error", "result": {"code": "LIMIT_EXCEEDED", "retryable": false, %b}, "message": "m"}\n'
        % evidence
    )
    error = only_error(conversation_about(1, line).take_replies())
    assert isinstance(error, LimitExceededError)
    assert error.evidence == {"limit": 1024, "actual": 2000, "setting": "--max-transaction-bytes"}


@pytest.mark.parametrize(
    "text", [b"1.0", b"1e400", b"123456789012345678901234567890", b'{"a" : [1.50]}', '"Zoë"'.encode()]
)
def test_a_value_is_the_text_that_came(text: bytes) -> None:
    assert decode_value_text(result(b'{"key": "k", "value": %b}' % text)) == text


@pytest.mark.parametrize("text", [b"1.0", b"[1, 2.50]", '"Zoë"'.encode()])
def test_a_value_goes_out_as_the_text_it_is(text: bytes) -> None:
    assert encode_put(b"k", text) == b'PUT {"key":"k","value":%b}\n' % text


@given(st.text(), st.text())
def test_no_key_and_no_value_can_end_its_command(key: str, value: str) -> None:
    line = encode_put(key.encode(errors="replace"), json.dumps(value, indent=1).encode())
    assert line.count(b"\n") == 1
    sent = json.loads(line.removeprefix(b"PUT "))
    assert sent == {"key": key.encode(errors="replace").decode(), "value": value}


def test_line_breaks_between_a_values_tokens_become_spaces() -> None:
    assert encode_put(b"k", b"[1,\n2]") == b'PUT {"key":"k","value":[1, 2]}\n'


def test_only_what_is_not_the_default_is_sent() -> None:
    assert encode_start(TransactionOptions()) == b"START {}\n"
    options = TransactionOptions("serializable", read_only=True, at=0, label="x")
    assert encode_start(options) == b'START {"isolation":"serializable","read_only":true,"at":0,"label":"x"}\n'
    assert encode_start(TransactionOptions(turn="é".encode(), lost=2)) == 'START {"lost":2,"turn":"é"}\n'.encode()
    assert encode_scan(KeyRange(), limit=5, reverse=False) == b'SCAN {"limit":5}\n'
    assert (
        encode_scan(KeyRange(b"u:", b"u:1", "u:ß".encode()), limit=5, reverse=True)
        == 'SCAN {"prefix":"u:","start":"u:1","end":"u:ß","limit":5,"reverse":true}\n'.encode()
    )


def test_a_read_without_a_trace_is_asked_for() -> None:
    assert encode_get(b"k", tracked=False) == b'GET {"key":"k","snapshot":true}\n'
    assert encode_scan(KeyRange(), limit=5, reverse=False, keys_only=True, tracked=False) == (
        b'SCAN {"limit":5,"keys_only":true,"snapshot":true}\n'
    )
    assert encode_history(b"k", limit=5, before_ts=0, tracked=False) == (
        b'HISTORY {"key":"k","limit":5,"before":0,"snapshot":true}\n'
    )


def test_an_addition_goes_out_as_the_text_it_is() -> None:
    assert encode_add("ä".encode(), b"1.50", "x") == 'ADD {"key":"ä","by":1.50,"id":"x"}\n'.encode()


def test_a_history_comes_over_with_what_is_known() -> None:
    page = decode_versions(
        result(
            b'{"key": "a", "versions": [{"commit_ts": 3, "time": "2026-11-23T09:22:37.123456Z", "label": "x", '
            b'"value": 1.50}, {"commit_ts": 2, "deleted": true}, {"commit_ts": 1, "value": null}], '
            b'"next": 1, "oldest_ts": 0}'
        )
    )
    assert page == VersionPage(
        [KeyVersion(3, b"1.50", 1_795_425_757_123_456, "x"), KeyVersion(2, None), KeyVersion(1, b"null")], 1, 0
    )


def test_open_transactions_come_over_and_what_a_newer_server_tells_of_them_is_left_out() -> None:
    listed = decode_transactions(
        result(
            b'{"transactions": [{"transaction": 7, "age_s": 1.5, "start_ts": 41, "isolation": "snapshot", '
            b'"read_only": false, "label": null, "client": "c", "keys_written": 1, "read_set_bytes": 2, '
            b'"pinned_bytes": 3, "mood": "good"}], "total": 1}'
        )
    )
    assert listed == [OpenTransaction(7, 1.5, 41, "snapshot", False, None, "c", 1, 2, 3)]


def test_what_an_ok_says_beside_its_result_is_kept_until_the_next_reply() -> None:
    conversation = conversation_about(3, b'{"status": "Ok", "result": "PONG", "message": "lost"}\n')
    assert conversation.notice == "lost"
    conversation.receive(b'{"status": "Error", "result": {"code": "X"}, "message": "an error"}\n')
    assert conversation.notice == ""
    conversation.receive(OK)
    assert conversation.notice == ""


def test_an_end_before_every_key_is_sent() -> None:
    assert encode_scan(KeyRange(end=b""), limit=5, reverse=False) == b'SCAN {"end":"","limit":5}\n'


def test_options_that_json_can_not_hold_are_refused() -> None:
    with pytest.raises(BadRequestError):
        encode_command("START", label=object())
    with pytest.raises(BadRequestError):
        encode_command("START", label="\ud800")


def test_a_page_keeps_its_values_texts_and_where_it_goes_on() -> None:
    page = decode_page(
        result('{"items": [{"key": "ä", "value": 1.0}, {"key": "b", "value": []}], "next": "c"}'.encode())
    )
    assert page == Page([("ä".encode(), b"1.0"), (b"b", b"[]")], b"c")
    assert decode_page(result(b'{"items": [], "next": null}')) == Page([], None)


@pytest.mark.parametrize("text", [b"{}", b'"Transaction commited"', b'{"commit_ts": "8"}', b"null"])
def test_a_result_of_another_form_is_refused(text: bytes) -> None:
    with pytest.raises(GarbageError, match="result"):
        decode_member(result(text), "commit_ts")
