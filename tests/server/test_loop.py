"""The loop on real sockets: whoever floods, dawdles or vanishes costs the others nothing."""

from __future__ import annotations

import json
import random
import socket
import struct
from threading import Thread

import pytest

from mvcc_kv.engine import VersionedStore

from .running import Client, Clock, Running, running, until

BIG = b'"' + b"x" * 100_000 + b'"'
BIG_REPLY = b'{"status": "Ok", "result": {"key": "big", "value": %b}}\n' % BIG


def with_big_value() -> VersionedStore:
    store = VersionedStore()
    store.put(b"big", BIG)
    return store


def block(run: Running, client: Client, commands: int = 300) -> None:
    """Let the client ask for more than the socket's buffers hold, read nothing, and be held back for it."""
    client.send(b"GET big\n" * commands)
    high = run.server._settings.output_high_bytes
    until(lambda: any(peer.connection.output_bytes >= high for peer in run.peers))


# Commands, whole and in pieces


def test_a_client_is_served_in_order() -> None:
    with running() as run:
        client = run.connect()
        client.send(b"PUT a 1\r\nGET a\nDEL a\r\nGET a\n")
        assert [client.reply() for _ in range(4)] == [
            b'{"status": "Ok", "result": {"key": "a", "value": "1"}}',
            b'{"status": "Ok", "result": {"key": "a", "value": "1"}}',
            b'{"status": "Ok", "result": {"key": "a"}}',
            b'{"status": "Error", "result": {"code": "KEY_NOT_FOUND", "retryable": false, "key": "a"}, '
            b'"message": "Key not found"}',
        ]


def test_ten_thousand_pipelined_commands_are_all_answered_in_order() -> None:
    with running(receive_bytes=4096) as run:
        client = run.connect()
        sender = Thread(target=client.send, args=(b"".join(b"PUT k%d v\n" % n for n in range(10_000)),))
        sender.start()
        for n in range(10_000):
            assert client.reply() == b'{"status": "Ok", "result": {"key": "k%d", "value": "v"}}' % n
        sender.join()


def test_commands_arrive_in_any_pieces_over_a_socket() -> None:
    stream = b'START\r\nPUT {"key": "k", "value": [1.0, "\xc3\xa9"]}\nGET k\nCOMMIT\nGET k\n'
    dice = random.Random(7)
    with running() as run:
        client = run.connect()
        for _ in range(20):
            at = 0
            while at < len(stream):
                size = dice.choice([1, 1, 2, 5, 30])
                client.send(stream[at : at + size])
                at += size
            assert [json.loads(client.reply())["status"] for _ in range(5)] == ["Ok"] * 5


@pytest.mark.parametrize("seed", range(10))
def test_random_bytes_never_crash_the_server_or_hang_the_connection(seed: int) -> None:
    dice = random.Random(seed)
    with running() as run:
        for _ in range(10):
            client = run.connect()
            noise = b"?" + dice.randbytes(dice.randrange(1, 5000)) + dice.choice([b"", b"\n", b"\nSTART\nPUT {"])
            client.send(noise)
            client.end()
            for line in client.rest().splitlines():
                json.loads(line)
            client.close()
        assert run.connect().ask(b"PING") == b'{"status": "Ok", "result": "PONG"}'
        assert run.store.stats()["active_transactions"] == 0


@pytest.mark.parametrize("seed", range(10))
def test_random_bytes_behind_redis_marks_end_in_a_protocol_error(seed: int) -> None:
    dice = random.Random(seed)
    with running() as run:
        for _ in range(10):
            client = run.connect()
            client.send(dice.choice([b"*", b"$", b"\0", b"*1\r\n$4\r\nPING\r\n*2\r\n"]) + dice.randbytes(3000))
            client.end()
            last = client.rest().splitlines()[-1:]
            assert not last or last[0][:1] in (b"-", b"+", b"$", b":")
            client.close()
        assert run.connect().ask(b"PING") == b'{"status": "Ok", "result": "PONG"}'


def test_an_overlong_line_of_many_megabytes_is_refused_once_and_kept_nowhere() -> None:
    with running() as run:
        client = run.connect()
        for _ in range(128):
            client.send(b"x" * 65536)
        client.send(b"\nPING\n")
        refusal = client.result()
        assert (refusal["code"], refusal["actual"]) == ("LIMIT_EXCEEDED", 128 * 65536)
        assert client.result() == "PONG"
        (peer,) = run.peers
        assert len(peer.connection._dialect._framer._tail) == 0


# Clients that do not read


def test_a_client_that_does_not_read_is_held_back_and_the_others_are_served() -> None:
    with running(with_big_value(), output_high_bytes=200_000) as run:
        stuck, other = run.connect(receive_bytes=4096), run.connect()
        block(run, stuck)
        for n in range(100):
            assert other.asked(b"PUT k %d" % n) == {"key": "k", "value": str(n)}
        held_bytes = max(peer.connection.output_bytes for peer in run.peers)
        assert 200_000 <= held_bytes < 200_000 + len(BIG_REPLY)
        assert run.is_at_rest()
        for _ in range(300):
            assert stuck.reply() + b"\n" == BIG_REPLY
        assert stuck.asked(b"PING") == "PONG"


def test_a_client_that_leaves_too_much_unread_is_closed_and_logged(logs: pytest.LogCaptureFixture) -> None:
    store = VersionedStore()
    store.put(b"big", b'"' + b"x" * 30_000_000 + b'"')
    with running(store, output_high_bytes=1000, output_max_bytes=5_000_000) as run:
        stuck, other = run.connect(receive_bytes=4096), run.connect()
        stuck.send(b"START\nPUT k v\nGET big\n")
        until(lambda: other.asked(b"STATS")["connections"] == 1)
        assert other.asked(b"STATS")["active_transactions"] == 0
        record = next(record for record in logs.records if "leaves too much unread" in record.message)
        assert record.levelname == "WARNING"
        assert record.facts["max_bytes"] == 5_000_000  # type: ignore[attr-defined]


def test_a_client_that_vanishes_with_megabytes_unread_is_forgotten() -> None:
    with running(with_big_value()) as run:
        stuck, other = run.connect(receive_bytes=4096), run.connect()
        block(run, stuck)
        stuck.reset()
        until(lambda: other.asked(b"STATS")["connections"] == 1)
        assert run.is_at_rest()


def test_a_client_that_has_said_all_and_reads_late_gets_everything() -> None:
    with running(with_big_value()) as run:
        late, other = run.connect(receive_bytes=4096), run.connect()
        block(run, late)
        late.end()
        assert other.asked(b"PING") == "PONG"
        assert run.is_at_rest()
        assert late.rest() == BIG_REPLY * 300
        until(lambda: other.asked(b"STATS")["connections"] == 1)


def test_a_client_with_half_closed_socket_gets_the_reply_to_its_last_unfinished_line() -> None:
    with running() as run:
        client = run.connect()
        client.send(b"START\nPUT k v\nCOMMIT\nGET k")
        client.end()
        assert client.rest().endswith(b'commited"}\n{"status": "Ok", "result": {"key": "k", "value": "v"}}\n')


# Clients that dawdle


def test_a_flood_of_commands_does_not_hold_up_another_client() -> None:
    with running(commands_per_turn=1) as run:
        flooder, other = run.connect(), run.connect()
        assert (flooder.asked(b"PING"), other.asked(b"PING")) == ("PONG", "PONG")
        with run.held():
            flooder.send(b"PUT k v\n" * 5000)
            other.send(b"STATS\n")
        assert other.result()["commit_ts"] < 10
        for _ in range(5000):
            flooder.reply()


def test_a_client_that_sends_a_byte_at_a_time_costs_the_others_nothing() -> None:
    with running() as run:
        slow, other = run.connect(), run.connect()
        for byte in b"PUT slow poke":
            slow.send(bytes([byte]))
            assert other.asked(b"PING") == "PONG"
            assert run.is_at_rest() if byte == ord("p") else True
        slow.send(b"\n")
        assert slow.result() == {"key": "slow", "value": "poke"}


def test_connections_at_rest_cost_no_turns() -> None:
    with running() as run:
        run.connect()
        half_json, in_transaction, newlines = run.connect(), run.connect(), run.connect()
        half_json.send(b'PUT {"key": "k", ')
        assert in_transaction.asked(b"START") == "Transaction started"
        assert newlines.asked(b"PING") == "PONG"
        newlines.send(b"PUT k hel")
        run.advance(1)
        assert newlines.ask(b"lo") == b'{"status": "Ok", "result": {"key": "k", "value": "hello"}}'
        run.advance(1)  # what was sent before may have come only now: its silence is over too
        assert run.is_at_rest()


# Clients that leave


@pytest.mark.parametrize("how", ["close", "reset", "end", "quit"])
@pytest.mark.parametrize("doing", [b"", b"PUT k v\n", b"FROB\n", b"PUT k v"])
def test_leaving_in_mid_transaction_rolls_back(how: str, doing: bytes) -> None:
    with running() as run:
        client, other = run.connect(), run.connect()
        client.ask(b"START")
        assert other.asked(b"STATS")["active_transactions"] == 1
        client.send(doing + (b"\nQUIT\n" if how == "quit" else b""))
        if how != "quit":
            getattr(client, how)()
        until(lambda: other.asked(b"STATS")["connections"] == 1)
        assert other.asked(b"STATS")["active_transactions"] == 0
        assert other.asked(b"GET k")["code"] == "KEY_NOT_FOUND"


def test_quit_says_bye_and_executes_nothing_behind_it() -> None:
    with running() as run:
        client = run.connect()
        client.send(b"PUT a 1\nQUIT\n" + b"PUT b 2\n" * 100)
        assert client.rest() == (
            b'{"status": "Ok", "result": {"key": "a", "value": "1"}}\n{"status": "Ok", "result": "Bye"}\n'
        )
        assert run.connect().asked(b"GET b")["code"] == "KEY_NOT_FOUND"


def test_nothing_behind_a_quit_is_executed_while_its_reply_waits_to_be_read() -> None:
    with running(with_big_value(), output_high_bytes=1 << 30, output_max_bytes=1 << 30) as run:
        client, other = run.connect(receive_bytes=4096), run.connect()
        client.send(b"GET big\n" * 200 + b"QUIT\n")
        until(lambda: any(peer.connection.session.wants_to_close for peer in run.peers))
        client.send(b"PUT late 1\n")
        assert other.asked(b"GET late")["code"] == "KEY_NOT_FOUND"
        assert other.asked(b"GET late")["code"] == "KEY_NOT_FOUND"
        assert run.is_at_rest()


def test_clients_that_come_and_go_leave_nothing_behind() -> None:
    with running(idle_timeout_s=3600, transaction_timeout_s=3600) as run:
        other = run.connect()
        for n in range(300):
            client = run.knock()
            client.send(b"START\nPUT k v\n" if n % 2 else b"PI")
            client.reset() if n % 3 else client.close()
        until(lambda: other.asked(b"STATS")["connections"] == 1)
        assert other.asked(b"STATS")["active_transactions"] == 0
        assert len(run.server._deadlines) <= 1 + 300
        run.advance(1)
        assert other.asked(b"PING") == "PONG"
        assert len(run.server._deadlines) == 1
        assert len(run.server._loop._selector.get_map()) == 3  # the listener, the wake-up, the client


# HTTP


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT", "get"])
@pytest.mark.parametrize("split", [False, True])
def test_http_is_closed_unanswered_and_the_peer_is_logged(
    method: str, split: bool, logs: pytest.LogCaptureFixture
) -> None:
    request = (
        f"{method} /x HTTP/1.1\r\nhost: 127.0.0.1\r\nContent-Length: 12\r\n\r\nPUT evil 1\r\nPUT evil 2\r\n".encode()
    )
    with running() as run:
        client, other = run.connect(), run.connect()
        name = "{}:{}".format(*client.socket.getsockname())
        for part in (request[:9], request[9:]) if split else (request,):
            client.send(part)
            assert other.asked(b"PING") == "PONG"
        assert client.is_closed_by_server()
        assert other.asked(b"STATS")["commit_ts"] == 0
        record = next(record for record in logs.records if "it speaks HTTP" in record.message)
        assert (record.levelname, record.facts["peer"]) == ("WARNING", name)  # type: ignore[attr-defined]


def test_a_request_line_alone_is_closed_after_a_silence() -> None:
    with running(clock=Clock(ticks=True)) as run:
        client = run.connect()
        client.send(b"POST / HTTP/1.1")
        assert client.is_closed_by_server()


# The sockets themselves


def test_replies_are_not_delayed_and_dead_peers_are_noticed() -> None:
    with running() as run:
        client = run.connect()
        client.ask(b"PING")
        (peer,) = run.peers
        assert peer.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert peer.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not peer.socket.getblocking()


def test_a_client_that_is_gone_before_it_was_accepted_harms_nobody() -> None:
    with running() as run:
        other = run.connect()
        other.ask(b"PING")
        with run.held():
            for _ in range(20):
                gone = socket.create_connection(run.address)
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.close()
        until(lambda: other.asked(b"STATS")["connections"] == 1)


def test_a_bug_in_one_command_ends_only_its_connection(logs: pytest.LogCaptureFixture) -> None:
    with running() as run:
        client, other = run.connect(), run.connect()
        client.ask(b"START")
        (peer,) = [peer for peer in run.peers if peer.connection.session.begun_at is not None]
        peer.connection.session.opened.transaction.writes = None  # nothing can be written to that
        client.send(b"PUT k v\n")
        assert client.is_closed_by_server()
        assert other.asked(b"STATS")["active_transactions"] == 0
        assert any(record.message == "internal error" and record.exc_info for record in logs.records)


def test_an_idle_server_works_off_what_an_ended_snapshot_held() -> None:
    store = VersionedStore(collect_steps=10)
    with running(store) as server:
        for number in range(500):
            store.put(b"k%d" % number, b"1")
        reader, other = server.connect(), server.connect()
        reader.ask(b"START")
        for number in range(500):
            store.put(b"k%d" % number, b"2")
        assert other.asked(b"STATS")["versions"] == 1000
        reader.ask(b"ROLLBACK")
        until(lambda: not store.has_garbage)
        assert other.asked(b"STATS")["versions"] == 500
    store.check()
