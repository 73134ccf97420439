"""Connections without sockets: the same replies whatever the cuts, bounded work, bounded memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.protocol.usage import USAGE
from mvcc_kv.server import Settings
from mvcc_kv.server.connection import Connection
from mvcc_kv.server.served import Services


class House:
    def __init__(self, **chosen: Any) -> None:
        self.settings = Settings(**chosen)
        self.store = VersionedStore()
        self.checkpoints: list[Callable[[int | Error], None]] = []
        self.services = Services(
            store=self.store,
            stats=self.store.stats,
            checkpoint=self.checkpoints.append,
            clock=lambda: 0.0,
            max_transaction_bytes=self.settings.max_transaction_bytes,
        )

    def connection(self) -> Connection:
        return Connection(self.services, self.settings)


def run_out(connection: Connection) -> bytes:
    """Run everything that waits, reading all the while; what was said."""
    said = b""
    while connection.can_run:
        connection.run()
        said += connection.take_output()
    return said + connection.take_output()


def replies_to(parts: list[bytes], *, is_burst: bool = True, ends: bool = True, **chosen: Any) -> bytes:
    """What a client reads that sends these parts, as one burst or each on its own, to a server of its own."""
    connection = House(**chosen).connection()
    said = b""
    for number, part in enumerate(parts, 1):
        if not connection.can_receive:
            break
        connection.receive(part, is_burst_end=not is_burst or number == len(parts))
        said += run_out(connection)
    if ends and connection.can_receive:
        connection.quiet()
        said += run_out(connection)
        connection.end()
        said += run_out(connection)
    return said


def state(connection: Connection) -> set[str]:
    """Which of these are true now."""
    names = ("can_run", "can_receive", "wants_quiet", "is_served", "is_done")
    return {name for name in names if getattr(connection, name)}


def codes(said: bytes) -> list[str]:
    """Of each reply its error's code, or Ok."""
    replies = [json.loads(line) for line in said.splitlines()]
    return [reply["result"]["code"] if reply["status"] == "Error" else "Ok" for reply in replies]


COMMANDS = [
    b"START",
    b"START {}",
    b"COMMIT",
    b"COMMIT {}",
    b"ROLLBACK",
    b"PUT a 1",
    b'PUT {"key": "a", "value": {"b": [1.0, "}\\"{"]}}',
    b"GET a",
    b"DEL a",
    b'SCAN {"limit": 2}',
    b"PING",
    b"FROB",
    b"GET \xff",
    b"\x00",
    b"",
    b"   ",
    b"PUT b " + b"x" * 60,
    b"PUT b " + b"x" * 90,
    b"PUT b " + b"x" * 91,
    "PUT é ü".encode(),
]
batches = st.lists(st.tuples(st.sampled_from(COMMANDS), st.sampled_from([b"\n", b"\r\n"])), min_size=1, max_size=12)
cuts = st.lists(st.integers(1, 400), max_size=10)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    inner = sorted(place for place in set(places) if place < len(stream))
    return [stream[low:high] for low, high in zip([0, *inner], [*inner, len(stream)], strict=True)]


@given(batches, cuts)
@settings(max_examples=200)
def test_random_cuts_give_the_same_replies(batch: list[tuple[bytes, bytes]], places: list[int]) -> None:
    stream = b"".join(command + ending for command, ending in batch)
    one_by_one = replies_to([command + ending for command, ending in batch], max_transaction_bytes=96)
    assert replies_to([stream], max_transaction_bytes=96) == one_by_one
    assert replies_to(cut(stream, places), max_transaction_bytes=96) == one_by_one
    assert replies_to(cut(stream, places), is_burst=False, max_transaction_bytes=96) == one_by_one
    assert replies_to([bytes([byte]) for byte in stream], is_burst=False, max_transaction_bytes=96) == one_by_one


@given(batches, cuts)
@settings(max_examples=200)
def test_a_missing_last_newline_makes_no_difference(batch: list[tuple[bytes, bytes]], places: list[int]) -> None:
    stream = b"".join(command + ending for command, ending in batch).removesuffix(b"\n").removesuffix(b"\r")
    with_it = replies_to([stream + b"\n"], max_transaction_bytes=96)
    assert replies_to([stream], max_transaction_bytes=96) == with_it
    assert replies_to(cut(stream, places), max_transaction_bytes=96) == with_it


@given(batches, st.sampled_from([1, 2, 3, 256]), st.sampled_from([1, 100, 1 << 20]))
def test_how_much_is_run_in_a_turn_makes_no_difference(
    batch: list[tuple[bytes, bytes]], commands_per_turn: int, output_high_bytes: int
) -> None:
    stream = b"".join(command + ending for command, ending in batch)
    assert replies_to([stream], commands_per_turn=commands_per_turn, output_high_bytes=output_high_bytes) == replies_to(
        [stream]
    )


@given(st.lists(st.binary(max_size=60), max_size=6))
@example([b"Host:", b"x\nPUT a 1\n"])
@example([b"PUT " + b"{" * 50])
@settings(max_examples=400)
def test_random_bytes_get_replies_and_never_more_than_one_a_line(parts: list[bytes]) -> None:
    assume(b"".join(parts).lstrip(b"\r\n")[:1] not in (b"*", b"$", b"\0"))  # that is Redis's protocol
    said = replies_to(parts)
    for line in said.splitlines():
        assert set(json.loads(line)) <= {"status", "result", "message"}
    assert len(said.splitlines()) <= b"".join(parts).count(b"\n") + len(parts) + 1


words = st.sampled_from(
    [*(verb.encode() for verb in USAGE if verb != "CHECKPOINT"), b"{", b"}", b'"', b":", b",", b"key"]
)
noise = st.lists(st.one_of(words, st.sampled_from([b" ", b"\n", b"\r\n", b"1"]), st.binary(max_size=3)), max_size=40)


@given(noise.map(b"".join), cuts)
@settings(max_examples=300)
def test_noise_with_commands_in_it_is_answered_the_same_in_any_cuts(stream: bytes, places: list[int]) -> None:
    assert replies_to(cut(stream + b"\n", places)) == replies_to([stream + b"\n"])


def test_thousands_of_pipelined_commands_are_all_answered_in_order() -> None:
    stream = b"".join(b"PUT k%d %d\nGET k%d\n" % (n, n, n) for n in range(5000))
    size = 4096
    said = replies_to([stream[at : at + size] for at in range(0, len(stream), size)])
    expected = b"".join(
        b'{"status": "Ok", "result": {"key": "k%d", "value": "%d"}}\n' % (n, n) * 2 for n in range(5000)
    )
    assert said == expected


# Bounds


def test_a_turn_runs_so_many_commands() -> None:
    connection = House(commands_per_turn=3).connection()
    connection.receive(b"PING\n" * 8, is_burst_end=True)
    counts = []
    while connection.can_run:
        connection.run()
        counts.append(connection.take_output().count(b"\n"))
    assert counts == [3, 3, 2]


def test_nothing_is_run_or_received_while_too_much_is_unread() -> None:
    connection = House(output_high_bytes=100).connection()
    connection.receive(b"PING\n" * 10, is_burst_end=True)
    connection.run()
    pong = 34 + 1
    assert connection.output_bytes < 100 + 2 * pong
    assert state(connection) == set()
    unsent = connection.take_output()
    connection.put_back(unsent[50:])
    assert state(connection) == {"can_run", "is_served"}
    assert (unsent[:50] + run_out(connection)).count(b"PONG") == 10
    assert connection.can_receive


def test_nothing_is_received_while_commands_wait() -> None:
    connection = House(commands_per_turn=1).connection()
    connection.receive(b"PING\nPING\nPI", is_burst_end=True)
    connection.run()
    assert "can_receive" not in state(connection)
    connection.run()
    assert "can_receive" in state(connection)


def test_a_turn_looks_at_some_thousand_keys_however_few_commands_that_are() -> None:
    """256 SCANs of 2,000 keys each were one turn, in which nobody else was served for a good while."""
    house = House(output_high_bytes=1 << 30)
    for n in range(1000):
        house.store.put(b"k%04d" % n, b"1")
    connection = house.connection()
    connection.receive(b"SCAN\n" * 10 + b"PING\n" * 300, is_burst_end=True)
    connection.run()
    assert connection.take_output().count(b"\n") == 5
    connection.run()
    assert connection.take_output().count(b"\n") == 5
    connection.run()
    assert connection.take_output().count(b"\n") == 256


def test_empty_stretches_count_as_what_is_looked_at() -> None:
    house = House()
    for n in range(3000):
        house.store.put(b"k%04d" % n, b"1")
    reader = house.store.begin(TransactionOptions(read_only=True))
    for n in range(3000):
        house.store.delete(b"k%04d" % n)
    connection = house.connection()
    connection.receive(b"SCAN\n" * 4, is_burst_end=True)
    connection.run()
    assert connection.take_output().count(b'"items": []') == 3, "each looked at 2,000 keys and found nothing"
    reader.rollback()


# Silence


def test_silence_ends_a_line_only_while_the_server_listens() -> None:
    connection = House(commands_per_turn=1).connection()
    connection.receive(b"PING\nPING\nPUT k hel", is_burst_end=True)
    assert "wants_quiet" not in state(connection), "commands wait, so nobody reads what may have come"
    run_out(connection)
    assert "wants_quiet" in state(connection)
    connection.receive(b"lo", is_burst_end=True)
    connection.quiet()
    assert run_out(connection) == b'{"status": "Ok", "result": {"key": "k", "value": "hello"}}\n'
    assert "wants_quiet" not in state(connection)


def test_silence_is_not_judged_while_output_is_unread_or_a_reply_is_awaited() -> None:
    house = House(output_high_bytes=1)
    connection = house.connection()
    connection.receive(b"PING\nPUT k hel", is_burst_end=True)
    connection.run()
    assert "wants_quiet" not in state(connection)
    connection.take_output()
    assert "wants_quiet" in state(connection)
    connection.receive(b"lo\nCHECKPOINT\nPING\nPUT k hel", is_burst_end=True)
    run_out(connection)
    assert "wants_quiet" not in state(connection)


def test_a_json_argument_survives_any_number_of_silences() -> None:
    connection = House().connection()
    for part in (b'PUT {"key"', b': "k", ', b'"value": "a}', b'"'):
        connection.receive(part, is_burst_end=True)
        connection.quiet()
        assert not connection.can_run
    connection.receive(b"}", is_burst_end=True)
    connection.quiet()
    assert run_out(connection) == b'{"status": "Ok", "result": {"key": "k", "value": "a}"}}\n'


# The end


def test_a_client_that_has_said_all_gets_all_its_replies() -> None:
    connection = House(commands_per_turn=1).connection()
    connection.receive(b"PUT k 1\nGET k", is_burst_end=True)
    connection.end()
    assert "is_done" not in state(connection)
    assert codes(run_out(connection)) == ["Ok", "Ok"]
    assert connection.is_done


def test_half_a_line_at_the_end_of_a_client_that_sends_newlines_is_dropped() -> None:
    house = House()
    connection = house.connection()
    connection.receive(b"PING\n", is_burst_end=True)
    connection.receive(b"PUT k hel", is_burst_end=True)
    connection.end()
    assert codes(run_out(connection)) == ["Ok"]
    assert connection.is_done
    assert house.store.get(b"k") is None


def test_a_stop_finishes_what_came_whole_and_ends_no_half_line() -> None:
    house = House()
    connection = house.connection()
    connection.receive(b"PUT a 1\nPUT k hel", is_burst_end=True)
    connection.stop()
    assert not connection.can_receive and not connection.wants_quiet
    assert codes(run_out(connection)) == ["Ok"]
    assert connection.is_done
    assert house.store.get(b"k") is None


def test_what_stands_behind_quit_is_never_executed() -> None:
    house = House()
    connection = house.connection()
    connection.receive(b"START\nPUT k 1\nQUIT\nCOMMIT\nPUT k 2\nPUT k 3", is_burst_end=True)
    connection.run()
    unsent = connection.take_output()
    assert codes(unsent) == ["Ok", "Ok", "Ok"]
    connection.put_back(unsent)
    assert state(connection) == set()
    connection.receive(b"PUT k 4\n", is_burst_end=True)
    connection.quiet()
    connection.end()
    assert state(connection) == set()
    connection.take_output()
    assert state(connection) == {"is_done"}
    assert house.store.get(b"k") is None
    assert house.store.stats()["active_transactions"] == 0


def test_closing_forgets_everything_and_rolls_back() -> None:
    house = House(commands_per_turn=2)
    connection = house.connection()
    connection.receive(b"START\nPUT k 1\nCOMMIT\n", is_burst_end=True)
    connection.run()
    connection.close()
    assert not connection.can_run and connection.output_bytes == 0
    assert house.store.stats()["active_transactions"] == 0
    assert house.store.get(b"k") is None


# Replies that come later


def test_commands_behind_a_checkpoint_wait_for_it_and_come_after() -> None:
    house, woken = House(), []
    connection = house.connection()
    connection.on_answer = lambda: woken.append(True)
    connection.receive(b"PUT a 1\nCHECKPOINT\nPUT b 2\nCHECKPOINT\nGET a\n", is_burst_end=True)
    assert codes(run_out(connection)) == ["Ok"]
    assert not connection.can_run and not connection.can_receive
    assert connection.is_served
    assert house.store.get(b"b") is None
    house.checkpoints.pop()(1)
    assert woken == [True]
    assert run_out(connection) == (
        b'{"status": "Ok", "result": {"checkpoint_ts": 1}}\n{"status": "Ok", "result": {"key": "b", "value": "2"}}\n'
    )
    connection.end()
    assert "is_done" not in state(connection)
    house.checkpoints.pop()(UnavailableError("no room", retryable=True))
    assert codes(run_out(connection)) == ["UNAVAILABLE", "Ok"]
    assert connection.is_done


def test_an_answer_that_comes_at_once_holds_nothing_up() -> None:
    house = House()
    services = Services(
        store=house.store,
        stats=house.store.stats,
        checkpoint=lambda answer: answer(UnavailableError("in memory")),
        clock=lambda: 0.0,
    )
    connection = Connection(services, house.settings)
    connection.receive(b"CHECKPOINT\nPING\nCHECKPOINT\nPING\n", is_burst_end=True)
    assert codes(run_out(connection)) == ["UNAVAILABLE", "Ok"] * 2


def test_an_answer_for_a_client_that_is_gone_wakes_nobody() -> None:
    house, woken = House(), []
    connection = house.connection()
    connection.on_answer = lambda: woken.append(True)
    connection.receive(b"CHECKPOINT\n", is_burst_end=True)
    connection.run()
    connection.close()
    house.checkpoints.pop()(1)
    assert woken == []


# HTTP

EVIL = b"PUT evil 1\nPUT evil 2\r\n"
HEADERS = b"Accept: */*\r\nContent-Length: 22\r\n\r\n"
REQUESTS = [
    method + b" " + target + b" HTTP/1.1\r\n" + host + HEADERS + EVIL
    for method in (b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"get")
    for target in (b"/", b"/" + b"x" * 3000)
    for host in (b"", b"Host: localhost:8080\r\n", b"host:localhost\r\n")
]


@pytest.mark.parametrize("request_bytes", REQUESTS)
def test_nothing_of_an_http_request_is_executed_or_answered(request_bytes: bytes) -> None:
    house = House()
    connection = house.connection()
    connection.receive(request_bytes, is_burst_end=True)
    assert run_out(connection) == b""
    assert connection.is_done and connection.session.speaks_http
    assert house.store.stats()["commit_ts"] == 0


@pytest.mark.parametrize("silence", [False, True])
@pytest.mark.parametrize("request_bytes", [REQUESTS[2], REQUESTS[7], REQUESTS[8]], ids=["GET", "POST", "POST host"])
def test_an_http_request_is_shut_out_wherever_it_is_cut(request_bytes: bytes, silence: bool) -> None:
    for at in range(1, len(request_bytes)):
        house = House()
        connection = house.connection()
        for part in (request_bytes[:at], request_bytes[at:]):
            connection.receive(part, is_burst_end=True)
            if silence:
                connection.quiet()
            run_out(connection)
        assert house.store.stats()["commit_ts"] == 0, f"cut at {at}"
        assert connection.is_done, f"cut at {at}"


def test_a_request_line_that_silence_ends_closes_the_connection() -> None:
    house = House()
    connection = house.connection()
    connection.receive(b"POST / HTTP/1.1", is_burst_end=True)
    connection.quiet()
    assert connection.is_done and not connection.can_receive
    connection.receive(b"\r\n" + EVIL, is_burst_end=True)
    assert not connection.can_run
    assert house.store.stats()["commit_ts"] == 0


@pytest.mark.parametrize("before", [b"", b"PING\n", b"START\n", b"START\nFROB\n"])
def test_a_host_header_closes_the_connection_before_anything_beside_it_is_executed(before: bytes) -> None:
    house = House()
    connection = house.connection()
    connection.receive(before, is_burst_end=True)
    run_out(connection)
    connection.receive(EVIL + b"Host: x\r\n" + EVIL, is_burst_end=True)
    assert run_out(connection) == b""
    assert connection.is_done
    assert house.store.stats()["commit_ts"] == 0


def test_a_host_header_in_pieces_closes_the_connection_before_what_follows() -> None:
    house = House()
    connection = house.connection()
    for part in (b"START\nFROB\n", b"Ho", b"st: x\n" + EVIL):
        connection.receive(part, is_burst_end=True)
        run_out(connection)
    assert connection.is_done
    assert house.store.stats()["commit_ts"] == 0
