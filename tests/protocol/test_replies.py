"""Replies, byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.api import KeyVersion, OpenTransaction, Page, VersionPage
from mvcc_kv.errors import (
    AuthRequiredError,
    BadRequestError,
    ConflictError,
    Error,
    KeyNotFoundError,
    LimitExceededError,
    NoTransactionError,
    ReadOnlyError,
    SnapshotGoneError,
    TransactionDoomedError,
    TransactionOpenError,
    TransactionTimeoutError,
    UnavailableError,
    UnknownCommandError,
    Winner,
    error_from_result,
)
from mvcc_kv.protocol import replies


def test_the_replies_that_are_frozen() -> None:
    assert replies.pair_reply(b"key1", b'"value1"') == (
        b'{"status": "Ok", "result": {"key": "key1", "value": "value1"}}\n'
    )
    assert replies.key_reply(b"key1") == b'{"status": "Ok", "result": {"key": "key1"}}\n'
    assert replies.STARTED == b'{"status": "Ok", "result": "Transaction started"}\n'
    assert replies.COMMITTED == b'{"status": "Ok", "result": "Transaction commited"}\n'
    assert replies.ROLLED_BACK == b'{"status": "Ok", "result": "Transaction rolled back"}\n'


def test_keys_and_values_keep_their_characters_and_their_text() -> None:
    assert replies.pair_reply('é"\\\x00🐍'.encode(), b'[1.0,  "\\u00e9"]') == (
        '{"status": "Ok", "result": {"key": "é\\"\\\\\\u0000🐍", "value": [1.0,  "\\u00e9"]}}\n'.encode()
    )


def test_a_page_has_its_items_in_order_and_where_to_go_on() -> None:
    page = Page([(b"a", b"1"), ("é".encode(), b'{"x":  null}')], b"f")
    assert (
        replies.page_reply(page, keys_only=False)
        == (
            '{"status": "Ok", "result": {"items": [{"key": "a", "value": 1}, {"key": "é", "value": {"x":  null}}], '
            '"next": "f"}}\n'
        ).encode()
    )
    assert replies.page_reply(page, keys_only=True) == (
        '{"status": "Ok", "result": {"items": [{"key": "a"}, {"key": "é"}], "next": "f"}}\n'.encode()
    )
    assert replies.page_reply(Page([], None), keys_only=False) == (
        b'{"status": "Ok", "result": {"items": [], "next": null}}\n'
    )


def test_a_history_tells_time_and_label_where_they_are_known_and_values_to_the_letter() -> None:
    page = VersionPage(
        [
            KeyVersion(9, b"1.50", 1_795_425_757_123_456, 'say "hi"'),
            KeyVersion(8, None, 1_795_425_757_000_000),
            KeyVersion(3, b'{"x":  null}'),
        ],
        3,
        2,
    )
    assert (
        replies.history_reply("é".encode(), page)
        == (
            '{"status": "Ok", "result": {"key": "é", "versions": ['
            '{"commit_ts": 9, "time": "2026-11-23T09:22:37.123456Z", "label": "say \\"hi\\"", "value": 1.50}, '
            '{"commit_ts": 8, "time": "2026-11-23T09:22:37.000000Z", "deleted": true}, '
            '{"commit_ts": 3, "value": {"x":  null}}], "next": 3, "oldest_ts": 2}}\n'
        ).encode()
    )
    assert replies.history_reply(b"a", VersionPage([], None, 0)) == (
        b'{"status": "Ok", "result": {"key": "a", "versions": [], "next": null, "oldest_ts": 0}}\n'
    )


def test_an_addition_is_answered_with_its_number_to_the_letter() -> None:
    assert replies.addend_reply(b"hits", b"1.50") == b'{"status": "Ok", "result": {"key": "hits", "by": 1.50}}\n'


def test_open_transactions_are_told_with_all_that_is_known_of_them() -> None:
    opened = OpenTransaction(7, 1.23456, 41, "serializable", True, "nightly", "127.0.0.1:5000", 2, 300, 4000)
    assert replies.transactions_reply([opened]) == (
        b'{"status": "Ok", "result": {"transactions": [{"transaction": 7, "age_s": 1.235, "start_ts": 41, '
        b'"isolation": "serializable", "read_only": true, "label": "nightly", "client": "127.0.0.1:5000", '
        b'"keys_written": 2, "read_set_bytes": 300, "pinned_bytes": 4000}], "total": 1}}\n'
    )


def test_a_notice_stands_behind_the_result() -> None:
    assert replies.noticed(replies.PONG, 'lost "é"') == (
        '{"status": "Ok", "result": "PONG", "message": "lost \\"é\\""}\n'.encode()
    )


CONFLICT = ConflictError.lost_to(41, {"a": Winner(42, "nightly"), "b": Winner(43)})


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (KeyNotFoundError(key="a"), '{"code": "KEY_NOT_FOUND", "retryable": false, "key": "a"}'),
        (
            CONFLICT,
            '{"code": "CONFLICT", "retryable": true, "keys": ["a", "b"], "start_ts": 41, '
            '"winners": {"a": {"commit_ts": 42, "label": "nightly"}, "b": {"commit_ts": 43}}}',
        ),
        (NoTransactionError("m"), '{"code": "NO_TRANSACTION", "retryable": false}'),
        (TransactionOpenError("m"), '{"code": "TRANSACTION_OPEN", "retryable": false}'),
        (
            TransactionDoomedError("m", cause={"code": "BAD_REQUEST", "message": "x"}),
            '{"code": "TRANSACTION_DOOMED", "retryable": false, "cause": {"code": "BAD_REQUEST", "message": "x"}}',
        ),
        (ReadOnlyError("m"), '{"code": "READ_ONLY", "retryable": false}'),
        (SnapshotGoneError("m", oldest_ts=7), '{"code": "SNAPSHOT_GONE", "retryable": false, "oldest_ts": 7}'),
        (BadRequestError("m"), '{"code": "BAD_REQUEST", "retryable": false}'),
        (UnknownCommandError("m"), '{"code": "UNKNOWN_COMMAND", "retryable": false}'),
        (
            LimitExceededError("m", limit=1024, actual=1025, setting="--max-transaction-bytes"),
            '{"code": "LIMIT_EXCEEDED", "retryable": false, "limit": 1024, "actual": 1025, '
            '"setting": "--max-transaction-bytes"}',
        ),
        (
            TransactionTimeoutError("m", limit_s=5.0, setting="--transaction-timeout-s"),
            '{"code": "TIMEOUT", "retryable": true, "limit_s": 5.0, "setting": "--transaction-timeout-s"}',
        ),
        (UnavailableError("m"), '{"code": "UNAVAILABLE", "retryable": false}'),
        (UnavailableError("m", retryable=True), '{"code": "UNAVAILABLE", "retryable": true}'),
        (AuthRequiredError("m"), '{"code": "AUTH_REQUIRED", "retryable": false}'),
    ],
)
def test_every_error_has_its_code_its_evidence_and_a_message(error: Error, result: str) -> None:
    reply = replies.error_reply(error)
    assert reply == (f'{{"status": "Error", "result": {result}, "message": {json.dumps(error.message)}}}\n'.encode())
    told = json.loads(reply)
    understood = error_from_result(told["result"], told["message"])
    assert (type(understood), understood.evidence) == (type(error), error.evidence)


def test_the_message_of_a_missing_key_is_frozen() -> None:
    assert json.loads(replies.error_reply(KeyNotFoundError(key="a")))["message"] == "Key not found"


@given(st.text(), st.text())
def test_every_reply_is_one_line_of_json(key: str, message: str) -> None:
    error = BadRequestError(message, key=key)
    encoded = key.encode(errors="replace")
    for reply in (
        replies.error_reply(error),
        replies.pair_reply(encoded, b"1"),
        replies.key_reply(encoded),
        replies.page_reply(Page([(encoded, b"1")], encoded), keys_only=False),
    ):
        assert reply.endswith(b"\n") and reply.count(b"\n") == 1 and b"\r" not in reply
        assert set(json.loads(reply)) <= {"status", "result", "message"}


def test_half_a_character_in_a_message_does_not_make_it_unsendable() -> None:
    json.loads(replies.error_reply(BadRequestError("half \ud800 of it")))
