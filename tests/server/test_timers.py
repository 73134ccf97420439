"""What the passing of time does to a connection: silence ends a line, a transaction gets too old."""

from __future__ import annotations

import pytest

from .running import Clock, running


def test_a_last_line_without_a_newline_is_answered_after_a_silence() -> None:
    with running(clock=Clock(ticks=True)) as run:
        client = run.connect()
        client.send(b"PUT key1 value1")
        assert client.result() == {"key": "key1", "value": "value1"}
        client.send(b"START\nDEL key1\nCOMMIT")
        assert [client.result() for _ in range(3)] == ["Transaction started", {"key": "key1"}, "Transaction commited"]


def test_silence_is_as_long_as_it_was_set_to_be() -> None:
    with running(line_quiet_ms=500) as run:
        client, other = run.connect(), run.connect()
        client.send(b"PUT k hel")
        for _ in range(4):
            assert other.asked(b"GET k")["code"] == "KEY_NOT_FOUND"
            run.advance(0.12)
        assert other.asked(b"GET k")["code"] == "KEY_NOT_FOUND"
        client.send(b"lo")
        assert other.asked(b"GET k")["code"] == "KEY_NOT_FOUND"
        run.advance(0.4)
        assert other.asked(b"GET k")["code"] == "KEY_NOT_FOUND"
        run.advance(0.2)
        assert client.result() == {"key": "k", "value": "hello"}


@pytest.mark.parametrize(("strict_lines", "first"), [(True, b""), (False, b"PING\n")])
def test_silence_ends_nothing_where_newlines_do(strict_lines: bool, first: bytes) -> None:
    with running(strict_lines=strict_lines) as run:
        client, other = run.connect(), run.connect()
        client.send(first)
        if first:
            assert client.result() == "PONG"
        client.send(b"PUT k hel")
        assert other.asked(b"PING") == "PONG"
        run.advance(60)
        assert other.asked(b"GET k")["code"] == "KEY_NOT_FOUND"
        client.send(b"lo\r\n")
        assert client.result() == {"key": "k", "value": "hello"}


def test_half_a_json_argument_waits_through_any_silence() -> None:
    with running() as run:
        client, other = run.connect(), run.connect()
        for part in (b'PUT {"key": "k",', b' "value": "}', b'"'):
            client.send(part)
            assert other.asked(b"PING") == "PONG"
            run.advance(60)
            assert other.asked(b"GET k")["code"] == "KEY_NOT_FOUND"
        client.send(b"}")
        assert other.asked(b"PING") == "PONG"
        run.advance(60)
        assert client.result() == {"key": "k", "value": "}"}


def test_a_half_line_is_not_ended_by_a_silence_in_which_the_server_did_not_listen() -> None:
    """Once the time counted since the last byte received, also while the server read none: held back by unread
    replies, it took the first half of a line whose second half was waiting in the socket for a whole one.
    """
    with running(output_high_bytes=1000) as run:
        run.store.put(b"big", b'"' + b"x" * 100_000 + b'"')
        client, other = run.connect(receive_bytes=4096), run.connect()
        client.send(b"GET big\n" * 100 + b"PUT k hel")
        assert other.asked(b"PING") == "PONG"
        client.send(b"lo")
        for _ in range(3):
            run.advance(60)
            assert other.asked(b"GET k")["code"] == "KEY_NOT_FOUND"
        for _ in range(100):
            assert client.result()["key"] == "big"
        assert other.asked(b"PING") == "PONG"
        run.advance(60)
        assert client.result() == {"key": "k", "value": "hello"}


# Transactions that get too old


def test_a_transaction_open_too_long_is_rolled_back_and_its_client_told(logs: pytest.LogCaptureFixture) -> None:
    with running(transaction_timeout_s=5) as run:
        client, other = run.connect(), run.connect()
        client.send(b"START\nPUT k v\n")
        assert [client.result(), client.result()] == ["Transaction started", {"key": "k", "value": "v"}]
        run.advance(4)
        assert other.asked(b"STATS")["active_transactions"] == 1
        run.advance(2)
        stats = other.asked(b"STATS")
        assert (stats["active_transactions"], stats["oldest_start_ts"]) == (0, None)
        told = client.asked(b"GET k")
        assert told == {"code": "TIMEOUT", "retryable": True, "limit_s": 5, "setting": "--transaction-timeout-s"}
        assert client.asked(b"PUT k v")["code"] == "TRANSACTION_DOOMED"
        assert client.asked(b"COMMIT")["code"] == "TRANSACTION_DOOMED"
        assert client.asked(b"GET k")["code"] == "KEY_NOT_FOUND"
        assert any(record.message == "transaction timed out" for record in logs.records)


def test_a_batch_sent_after_the_timeout_applies_nothing() -> None:
    with running(transaction_timeout_s=5) as run:
        client = run.connect()
        client.ask(b"START")
        run.advance(6)
        client.send(b"PUT a 1\nPUT b 2\nCOMMIT\nGET a\nGET b\n")
        assert [client.result()["code"] for _ in range(5)] == [
            "TIMEOUT",
            "TRANSACTION_DOOMED",
            "TRANSACTION_DOOMED",
            "KEY_NOT_FOUND",
            "KEY_NOT_FOUND",
        ]


def test_commands_do_not_make_a_transaction_younger_and_each_has_its_own_time() -> None:
    with running(transaction_timeout_s=5) as run:
        client, other = run.connect(), run.connect()
        for _ in range(3):
            assert client.asked(b"START") == "Transaction started"
            run.advance(3)
            assert client.asked(b"PUT k v") == {"key": "k", "value": "v"}
            assert client.asked(b"COMMIT") == "Transaction commited"
        assert client.asked(b"START") == "Transaction started"
        for _ in range(4):
            run.advance(1)
            assert client.asked(b"GET k") == {"key": "k", "value": "v"}
        run.advance(2)
        assert other.asked(b"STATS")["active_transactions"] == 0
        assert client.asked(b"COMMIT")["code"] == "TIMEOUT"
        assert client.asked(b"COMMIT")["code"] == "NO_TRANSACTION"


def test_a_start_after_a_timeout_begins_anew_with_a_time_of_its_own() -> None:
    with running(transaction_timeout_s=5) as run:
        client, other = run.connect(), run.connect()
        client.ask(b"START")
        run.advance(6)
        assert client.asked(b"START")["code"] == "TIMEOUT"
        assert client.asked(b"START") == "Transaction started"
        run.advance(4)
        assert client.asked(b"PUT k v") == {"key": "k", "value": "v"}
        run.advance(2)
        assert other.asked(b"STATS")["active_transactions"] == 0
        assert client.asked(b"ROLLBACK")["code"] == "TIMEOUT"


def test_a_client_that_left_does_not_time_out() -> None:
    with running(transaction_timeout_s=5) as run:
        client, other = run.connect(), run.connect()
        client.ask(b"START")
        client.send(b"QUIT\n")
        assert client.result() == "Bye"
        run.advance(6)
        assert other.asked(b"STATS")["rollbacks_total"] == 1


def test_without_the_setting_a_transaction_may_stay_open() -> None:
    with running() as run:
        client = run.connect()
        client.ask(b"START")
        run.advance(1e6)
        assert client.asked(b"COMMIT") == "Transaction commited"
