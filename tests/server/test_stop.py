"""Stopping: what was received is finished, nothing else is begun, and it comes to an end."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from mvcc_kv.api import TransactionOptions
from mvcc_kv.durability import DataDirectory
from mvcc_kv.engine import VersionedStore

from ..durability.faulty_files import FaultyFiles
from .running import Clock, running, until


def ticking(**settings: Any) -> Any:
    return running(clock=Clock(ticks=True), **settings)


def test_everything_received_is_answered_before_the_end() -> None:
    with ticking(commands_per_turn=7, stop_grace_s=60) as run:
        clients = [run.connect() for _ in range(5)]
        for client in clients:
            client.ask(b"PING")
        with run.held():
            for number, client in enumerate(clients):
                client.send(b"".join(b"PUT c%d:%d v\n" % (number, n) for n in range(2000)))
            run.server.stop()
        for client in clients:
            assert [json.loads(line)["status"] for line in client.rest().splitlines()] == ["Ok"] * 2000
        assert run.stopped()
        assert run.store.stats()["keys"] == 10_000


def test_a_last_line_without_its_newline_is_finished_too() -> None:
    with ticking(stop_grace_s=60) as run:
        client = run.connect()
        with run.held():
            client.send(b"START\nPUT k v\nCOMMIT")
            run.server.stop()
        assert len(client.rest().splitlines()) == 3
        assert run.stopped()
        assert run.store.get(b"k") == b'"v"'


def test_a_pause_ends_with_the_server() -> None:
    with ticking(stop_grace_s=60) as run:
        pauser, writer, late = run.connect(), run.connect(), run.connect()
        pauser.send(b"*3\r\n$6\r\nCLIENT\r\n$5\r\nPAUSE\r\n$6\r\n100000\r\n")
        assert pauser.reply() == b"+OK\r"
        writer.send(b"SET a 1\r\n")
        until(lambda: run.server._house.pause is not None and bool(run.server._house.pause._waiting))
        with run.held():
            late.send(b"CLIENT PAUSE 100000\r\nSET b 1\r\n")
            run.server.stop()
        assert (writer.rest(), late.rest()) == (b"+OK\r\n", b"+OK\r\n+OK\r\n")
        assert run.stopped()
        assert (run.store.get(b"a"), run.store.get(b"b")) == (b'"1"', b'"1"')


def test_half_a_line_that_goes_on_is_not_taken_for_a_whole_one() -> None:
    """Once a stop ended every line where it stood, and half a value was committed."""
    with running(stop_grace_s=60, line_quiet_ms=1000) as run:
        client = run.connect()
        with run.held():
            client.send(b"PUT k hel")
            run.server.stop()
        run.advance(0.9)
        client.send(b"lo")
        until(lambda: run.peers[0].connection._dialect._framer._tail == b"PUT k hello")
        run.advance(0.9)
        assert run.store.get(b"k") is None
        run.advance(0.15)
        assert client.rest() == b'{"status": "Ok", "result": {"key": "k", "value": "hello"}}\n'
        assert run.stopped()


def test_half_a_line_that_goes_on_and_on_is_dropped() -> None:
    with running(stop_grace_s=60, line_quiet_ms=1000) as run:
        client = run.connect()
        with run.held():
            client.send(b"PUT k h")
            run.server.stop()
        for _ in range(2):
            run.advance(0)  # it has begun to stop
        for end in (b"e", b"l", b"l"):
            run.advance(0.6)
            client.send(end)
            until(lambda end=end: run.peers[0].connection._dialect._framer._tail.endswith(end))  # type: ignore[misc]
        until(lambda: run.has_ended_by(after_s=0.1))
        assert client.rest() == b""
        assert run.store.get(b"k") is None


@pytest.mark.parametrize("tail", [b"PUT k hel", b'PUT {"key": "k", '])
def test_half_a_line_of_a_client_that_ends_lines_is_dropped(tail: bytes) -> None:
    with ticking() as run:
        client = run.connect()
        client.ask(b"PING")
        client.send(b"PUT a 1\n")
        client.reply()
        client.send(tail)
        assert run.stop()
        assert client.rest() == b""
        assert run.store.stats()["keys"] == 1


def test_open_transactions_are_rolled_back() -> None:
    with ticking() as run:
        client = run.connect()
        client.ask(b"START")
        client.ask(b"PUT k v")
        assert run.stop()
        assert run.store.stats()["active_transactions"] == 0
        assert run.store.get(b"k") is None


def test_nobody_is_accepted_any_more() -> None:
    with ticking() as run:
        run.connect().ask(b"PING")
        assert run.stop()
        with pytest.raises(ConnectionRefusedError), socket.create_connection(run.address):
            pass


def test_a_client_that_never_reads_holds_the_end_up_for_the_grace_only() -> None:
    with ticking(stop_grace_s=0.2, output_high_bytes=1000) as run:
        run.store.put(b"big", b'"' + b"x" * 100_000 + b'"')
        client, other = run.connect(receive_bytes=4096), run.connect()
        client.send(b"GET big\n" * 300)
        other.ask(b"PING")
        assert run.stop()


def test_a_second_stop_cuts_the_grace_short() -> None:
    with running(stop_grace_s=1e9, output_high_bytes=1000) as run:
        run.store.put(b"big", b'"' + b"x" * 100_000 + b'"')
        client, other = run.connect(receive_bytes=4096), run.connect()
        client.send(b"GET big\n" * 300)
        other.ask(b"PING")
        run.server.stop()
        run.stop()


def test_stopping_before_serving_and_twice_after_it_is_fine() -> None:
    with running() as run:
        run.stop()
        run.server.stop()
        run.server.wake()


# The last checkpoint


def kept(path: Path, files: FaultyFiles) -> tuple[VersionedStore, DataDirectory, dict[str, Any]]:
    directory, store = DataDirectory.open(path, files), VersionedStore()
    return (
        store,
        directory,
        {"begin_checkpoint": lambda: directory.begin_checkpoint(store.begin(TransactionOptions(read_only=True)))},
    )


def test_a_checkpoint_of_everything_is_written_at_the_end(tmp_path: Path) -> None:
    store, directory, options = kept(tmp_path, FaultyFiles())
    with ticking(store=store, **options) as run:
        run.connect().ask(b"PUT k v")
        assert run.stop()
    assert json.loads(Path(directory.checkpoint_path).read_bytes())["data"] == {"k": "v"}
    directory.close()


def test_a_checkpoint_that_is_up_to_date_is_not_written_again(tmp_path: Path) -> None:
    files = FaultyFiles()
    store, directory, options = kept(tmp_path, files)
    with ticking(store=store, **options) as run:
        client = run.connect()
        client.ask(b"PUT k v")
        assert client.asked(b"CHECKPOINT") == {"checkpoint_ts": 1}
        assert run.stop()
    assert files.operations.count("rename") == 1
    directory.close()


def test_a_last_checkpoint_that_fails_is_told_of_and_the_one_before_it_stays(tmp_path: Path) -> None:
    files = FaultyFiles()
    store, directory, options = kept(tmp_path, files)
    with ticking(store=store, **options) as run:
        client = run.connect()
        client.send(b"PUT k v\nCHECKPOINT\nPUT k w\n")
        for _ in range(3):
            client.reply()
        files.fail("sync")
        assert run.stop() is False
    assert json.loads(Path(directory.checkpoint_path).read_bytes())["data"] == {"k": "v"}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.json"]
    directory.close()


def test_a_checkpoint_that_was_asked_for_is_answered_before_the_end(tmp_path: Path) -> None:
    store, directory, options = kept(tmp_path, FaultyFiles())
    with ticking(store=store, stop_grace_s=60, **options) as run:
        client = run.connect()
        with run.held():
            client.send(b"PUT a 1\nCHECKPOINT\nPUT b 2\n")
            run.server.stop()
        assert [json.loads(line)["result"] for line in client.rest().splitlines()] == [
            {"key": "a", "value": "1"},
            {"checkpoint_ts": 1},
            {"key": "b", "value": "2"},
        ]
        assert run.stopped()
    assert json.loads(Path(directory.checkpoint_path).read_bytes())["data"] == {"a": "1", "b": "2"}
    directory.close()
