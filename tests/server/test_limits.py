"""What a client may hold: connections, silence, descriptors."""

from __future__ import annotations

import json
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mvcc_kv.server.refusing import WAITING_MAX

from .running import running, until


@contextmanager
def open_files(limit: int) -> Iterator[None]:
    """The limit of open files in this block, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_idle_connections_cost_nothing_and_are_all_still_served() -> None:
    with open_files(4096), running() as run:
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2200:
            pytest.skip("too few open files allowed")
        idle = [run.connect() for _ in range(1000)]
        for number, client in enumerate(idle):
            if number % 3 == 1:
                client.send(b"PI")
            if number % 3 == 2:
                client.send(b"START\n")
        busy = run.connect()
        until(lambda: busy.asked(b"STATS")["active_transactions"] == 333)
        assert busy.asked(b"STATS")["connections"] == 1001
        run.advance(1)
        assert busy.asked(b"PING") == "PONG"
        assert run.is_at_rest()
        calls = run.clock.calls
        for n in range(200):
            assert busy.asked(b"PUT k %d" % n)["value"] == str(n)
        assert run.clock.calls - calls < 200 * 10
        for number, client in enumerate(idle):
            if number % 3 == 2:
                assert client.result() == "Transaction started"
            if number % 3 == 1:
                assert client.result()["code"] == "UNKNOWN_COMMAND"  # PI, which a silence ended
            assert client.asked(b"PING") == "PONG"


def test_one_connection_too_many_is_told_so_and_may_come_back(logs: pytest.LogCaptureFixture) -> None:
    with running(max_connections=2) as run:
        first, second = run.connect(), run.connect()
        assert (first.asked(b"PING"), second.asked(b"PING")) == ("PONG", "PONG")
        third = run.knock()
        third.send(b"PING\n")
        refusal = json.loads(third.reply())
        assert refusal["result"] == {"code": "UNAVAILABLE", "retryable": True}
        assert "--max-connections" in refusal["message"]
        assert third.is_closed_by_server()
        assert any(record.message == "connection refused" for record in logs.records)
        second.close()
        until(lambda: first.asked(b"STATS")["connections"] == 1)
        assert run.connect().asked(b"PING") == "PONG"


def test_a_client_of_redis_is_refused_in_words_that_it_knows() -> None:
    with running(max_connections=1) as run:
        run.connect()
        for said in (b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", b"*", b"SET a 1\r\n"):
            client = run.knock()
            client.send(said)
            assert client.rest() == b"-ERR max number of clients reached\r\n"


def test_a_refused_client_that_says_nothing_is_told_after_a_moment() -> None:
    with running(max_connections=1) as run:
        run.connect()
        silent, half, ended = run.knock(), run.knock(), run.knock()
        half.send(b"GE")
        ended.end()
        assert json.loads(ended.rest())["result"]["code"] == "UNAVAILABLE"
        until(lambda: len(run.server._loop._refusing) == 2)
        run.advance(0.06)
        for client in (silent, half):
            assert json.loads(client.rest())["result"]["code"] == "UNAVAILABLE"
        assert len(run.server._loop._refusing) == 0


def test_no_more_refused_clients_than_so_many_are_waited_for() -> None:
    with running(max_connections=1) as run:
        run.connect()
        silent = [run.knock() for _ in range(WAITING_MAX)]
        until(lambda: len(run.server._loop._refusing) == WAITING_MAX)
        assert json.loads(run.knock().rest())["result"]["code"] == "UNAVAILABLE"
        silent[0].reset()
        until(lambda: len(run.server._loop._refusing) == WAITING_MAX - 1)


def test_refused_clients_are_told_before_a_stopping_server_is_gone() -> None:
    with running(max_connections=1) as run:
        run.connect()
        silent = run.knock()
        until(lambda: len(run.server._loop._refusing) == 1)
        run.server.stop()
        until(lambda: run.has_ended_by(after_s=100))
        assert json.loads(silent.rest())["result"]["code"] == "UNAVAILABLE"


def test_running_out_of_open_files_makes_new_clients_wait_and_serves_the_others(logs: pytest.LogCaptureFixture) -> None:
    with running() as run:
        served = run.connect()
        served.ask(b"PING")
        waiting = socket.socket()
        waiting.settimeout(20)
        next_free = os.dup(waiting.fileno())
        os.close(next_free)
        with open_files(next_free):
            waiting.connect(run.address)
            until(lambda: any(record.message == "cannot accept" for record in logs.records))
            assert served.asked(b"PING") == "PONG"
            assert run.is_at_rest()
            run.advance(0.2)
            assert served.asked(b"PING") == "PONG"
        run.advance(0.2)
        run.advance(0.2)
        waiting.sendall(b"PING\n")
        assert waiting.recv(100) == b'{"status": "Ok", "result": "PONG"}\n'
        waiting.close()


def test_the_server_can_stop_while_it_waits_for_open_files(logs: pytest.LogCaptureFixture) -> None:
    with running() as run:
        run.connect().ask(b"PING")
        waiting = socket.socket()
        next_free = os.dup(waiting.fileno())
        os.close(next_free)
        with open_files(next_free):
            waiting.connect(run.address)
            until(lambda: any(record.message == "cannot accept" for record in logs.records))
            assert run.stop()
        waiting.close()


def test_an_idle_connection_is_closed_and_its_transaction_rolled_back(logs: pytest.LogCaptureFixture) -> None:
    with running(idle_timeout_s=30) as run:
        idle = run.connect()
        idle.ask(b"START")
        run.advance(20)
        other = run.connect()
        assert other.asked(b"STATS")["active_transactions"] == 1
        run.advance(11)
        assert idle.is_closed_by_server()
        stats = other.asked(b"STATS")
        assert (stats["connections"], stats["active_transactions"]) == (1, 0)
        assert any(record.message == "connection closed: idle" for record in logs.records)


def test_a_connection_that_says_something_is_not_idle() -> None:
    with running(idle_timeout_s=30) as run:
        client = run.connect()
        for _ in range(5):
            assert client.asked(b"PING") == "PONG"
            run.advance(29)
        client.send(b"P")
        client.send(b"ING\n")
        assert client.result() == "PONG"
        run.advance(31)
        assert client.is_closed_by_server()


def test_a_connection_that_is_still_reading_its_replies_is_not_idle() -> None:
    with running(idle_timeout_s=100) as run:  # the last 40 replies may be in the system's buffers, 40 seconds long
        run.store.put(b"big", b'"' + b"x" * 100_000 + b'"')
        reader, other = run.connect(receive_bytes=4096), run.connect()
        reader.send(b"GET big\n" * 300)
        for _ in range(300):
            run.advance(1)
            assert other.asked(b"PING") == "PONG"
            assert len(reader.reply()) > 100_000
        assert reader.asked(b"PING") == "PONG"


def test_a_connection_that_reads_nothing_is_idle() -> None:
    with running(idle_timeout_s=30) as run:
        run.store.put(b"big", b'"' + b"x" * 100_000 + b'"')
        stuck, other = run.connect(receive_bytes=4096), run.connect()
        stuck.send(b"GET big\n" * 300)
        until(lambda: any(peer.connection.output_bytes > 1 << 20 for peer in run.peers))

        def is_alone() -> bool:
            run.advance(20)
            return bool(other.asked(b"STATS")["connections"] == 1)

        until(is_alone)
