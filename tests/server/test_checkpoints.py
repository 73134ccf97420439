"""Checkpoints beside the loop: answered when on disk, in order, in nobody's way, and none blocks the next."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from mvcc_kv.api import TransactionOptions
from mvcc_kv.durability import DataDirectory, decode_checkpoint, encode_checkpoint
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import UnavailableError
from mvcc_kv.server.checkpoints import (
    RETRY_S,
    SLICE_KEYS_MAX,
    SLICE_KEYS_MIN,
    Checkpoints,
    GrowthTrigger,
    Pace,
)
from mvcc_kv.server.worker import Worker

from ..durability.faulty_files import FaultyFiles
from .breaking_log import BreakingLog, logged
from .running import DEADLINE_S, running, until


class SlowFiles(FaultyFiles):
    """A disk that takes as long as it is told to, to make a file or to sync it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_create, self.may_sync = Event(), Event()
        self.may_create.set()
        self.may_sync.set()

    def create(self, path: str) -> int:
        assert self.may_create.wait(DEADLINE_S)
        return super().create(path)

    def sync(self, file: int) -> None:
        super().sync(file)
        assert self.may_sync.wait(DEADLINE_S)


class Kept:
    """A store in a directory, and what a server needs to write its checkpoints."""

    def __init__(self, path: Path) -> None:
        self.files = SlowFiles()
        self.store = VersionedStore()
        self.directory = DataDirectory.open(path, self.files)
        self.options: dict[str, Any] = {"store": self.store, "begin_checkpoint": self._begin}

    def _begin(self) -> Any:
        return self.directory.begin_checkpoint(self.store.begin(TransactionOptions(read_only=True)))

    def on_disk(self) -> tuple[int, dict[str, Any]]:
        text = Path(self.directory.checkpoint_path).read_bytes()
        checkpoint = decode_checkpoint(text)
        return checkpoint.commit_ts, json.loads(text)["data"]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path / "data")
    yield kept
    kept.directory.close()
    assert not kept.files.open_files
    assert kept.store.stats()["active_transactions"] == 0, "every snapshot was let go"


def test_a_checkpoint_is_answered_when_it_is_on_disk(kept: Kept) -> None:
    with running(**kept.options) as run:
        client, other = run.connect(), run.connect()
        kept.files.may_sync.clear()
        client.send(b"PUT a 1\nCHECKPOINT\nGET a\nPUT b 2\n")
        assert client.result() == {"key": "a", "value": "1"}
        until(lambda: "sync" in kept.files.operations)
        assert not Path(kept.directory.checkpoint_path).exists()
        assert other.asked(b"GET b")["code"] == "KEY_NOT_FOUND", "what stands behind it waits"
        for n in range(50):
            assert other.asked(b"PUT c %d" % n)["key"] == "c"
        assert other.asked(b"STATS")["checkpoint_ts"] == 0
        assert run.is_at_rest()
        kept.files.may_sync.set()
        assert client.result() == {"checkpoint_ts": 1}
        assert kept.on_disk() == (1, {"a": "1"})
        assert [client.result(), client.result()] == [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
        assert other.asked(b"STATS")["checkpoint_ts"] == 1


def test_who_asks_while_one_is_written_gets_the_next_with_its_own_commits(kept: Kept) -> None:
    with running(**kept.options) as run:
        first, second, third = run.connect(), run.connect(), run.connect()
        kept.files.may_sync.clear()
        first.send(b"PUT a 1\nCHECKPOINT\n")
        until(lambda: "sync" in kept.files.operations)
        for client in (second, third):
            client.send(b"PUT b 2\nCHECKPOINT\n")
            assert client.result()["key"] == "b"  # with that CHECKPOINT was executed, too
        assert first.result()["key"] == "a"
        kept.files.may_sync.set()
        assert first.result() == {"checkpoint_ts": 1}
        assert [second.result(), third.result()] == [{"checkpoint_ts": 3}] * 2
        assert kept.on_disk() == (3, {"a": "1", "b": "2"})
        assert kept.files.operations.count("rename") == 2


def test_a_checkpoint_whose_snapshot_was_ended_is_answered_and_the_next_one_works(kept: Kept) -> None:
    kept.store.restore(
        1, ((b"k%05d" % n, b'"%01000d"' % n) for n in range(20_000))
    )  # more than goes on its way at once
    with running(**kept.options) as run:
        client, other = run.connect(), run.connect()
        kept.files.may_create.clear()
        client.send(b"CHECKPOINT\n")
        until(lambda: bool(other.asked(b"TRANSACTIONS")["transactions"]))
        (opened,) = other.asked(b"TRANSACTIONS")["transactions"]
        assert other.asked(b'KILL {"transaction": %d}' % opened["transaction"])
        kept.files.may_create.set()
        assert client.result()["code"] == "TRANSACTION_DOOMED"
        assert client.asked(b"CHECKPOINT") == {"checkpoint_ts": 1}
        assert len(kept.on_disk()[1]) == 20_000


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename", "sync_directory", "remove"])
def test_a_failing_checkpoint_is_answered_and_the_next_one_works(kept: Kept, operation: str) -> None:
    with running(**kept.options) as run:
        client = run.connect()
        client.ask(b"PUT a 1")
        assert client.asked(b"CHECKPOINT") == {"checkpoint_ts": 1}
        client.ask(b"PUT a 2")
        kept.files.fail(operation, errno.ENOSPC)
        for _ in range(2):
            client.send(b"CHECKPOINT\nPING\n")
            refusal = json.loads(client.reply())
            assert refusal["result"] == {"code": "UNAVAILABLE", "retryable": True}
            assert "No space left on device" in refusal["message"]
            assert client.result() == "PONG"
        assert kept.on_disk()[0] in ((1, 2) if operation == "sync_directory" else (1,))
        assert client.asked(b"STATS")["checkpoint_ts"] == 1
        kept.files.mend()
        assert client.asked(b"CHECKPOINT") == {"checkpoint_ts": 2}
        assert kept.on_disk() == (2, {"a": "2"})


def test_a_checkpoint_is_of_one_moment_while_clients_write(kept: Kept) -> None:
    """Every transaction moves an amount between two of a thousand keys: the sum never changes."""
    keys = [b"k%04d" % n for n in range(1000)]
    for key in keys:
        kept.store.put(key, b"10")
    with running(**kept.options) as run:
        writer, asker, is_over = run.connect(), run.connect(), Event()

        def write() -> None:
            for n in count(1):
                if is_over.is_set():
                    return
                source, target = keys[n * 7 % 1000], keys[(n * 13 + 1) % 1000]
                if source == target:
                    continue
                tx = kept.store.begin(TransactionOptions())
                amounts = [int(tx.get(key) or b"") for key in (source, target)]
                tx.rollback()
                command = b'START\nPUT {"key": "%b", "value": %d}\nPUT {"key": "%b", "value": %d}\nCOMMIT {}\n'
                writer.send(command % (source, amounts[0] - 1, target, amounts[1] + 1))
                for _ in range(4):
                    writer.reply()

        thread = Thread(target=write)
        thread.start()
        seen = []
        try:
            for _ in range(5):
                ts = asker.asked(b"CHECKPOINT")["checkpoint_ts"]
                on_disk_ts, data = kept.on_disk()
                assert on_disk_ts == ts
                assert len(data) == 1000 and sum(data.values()) == 10_000
                seen.append(ts)
        finally:
            is_over.set()
            thread.join()
        assert seen == sorted(seen)


def test_a_checkpoint_inside_a_transaction_has_only_what_is_committed(kept: Kept) -> None:
    with running(**kept.options) as run:
        client = run.connect()
        client.send(b"PUT a 1\nSTART\nPUT a 2\nCHECKPOINT\nCOMMIT {}\n")
        assert [client.result() for _ in range(5)][3:] == [{"checkpoint_ts": 1}, {"commit_ts": 2}]
        assert kept.on_disk() == (1, {"a": "1"})


def test_a_client_that_leaves_while_its_checkpoint_is_written_harms_nobody(kept: Kept) -> None:
    with running(**kept.options) as run:
        gone, other = run.connect(), run.connect()
        kept.files.may_sync.clear()
        gone.send(b"CHECKPOINT\nPUT after 1\n")
        until(lambda: "sync" in kept.files.operations)
        gone.reset()
        assert other.asked(b"PING") == "PONG"
        assert run.is_at_rest()
        kept.files.may_sync.set()
        assert other.asked(b"CHECKPOINT")["checkpoint_ts"] in (0, 1)
        until(lambda: other.asked(b"STATS")["connections"] == 1)


def test_a_client_that_waits_for_its_checkpoint_is_not_idle(kept: Kept) -> None:
    with running(idle_timeout_s=30, **kept.options) as run:
        client = run.connect()
        kept.files.may_sync.clear()
        client.send(b"CHECKPOINT\n")
        until(lambda: "sync" in kept.files.operations)
        run.advance(40)
        run.advance(40)
        kept.files.may_sync.set()
        assert client.result() == {"checkpoint_ts": 0}


def test_a_silence_during_a_checkpoint_ends_no_line(kept: Kept) -> None:
    with running(**kept.options) as run:
        client, other = run.connect(), run.connect()
        kept.files.may_sync.clear()
        client.send(b"CHECKPOINT\nPING\nPUT k hel")
        until(lambda: "sync" in kept.files.operations)
        run.advance(60)
        client.send(b"lo\n")
        run.advance(60)
        kept.files.may_sync.set()
        assert [client.result() for _ in range(3)] == [{"checkpoint_ts": 0}, "PONG", {"key": "k", "value": "hello"}]
        assert other.asked(b"GET k")["value"] == "hello"


def test_checkpoints_are_written_by_time_if_there_is_anything_new(kept: Kept) -> None:
    with running(checkpoint_interval_s=60, **kept.options) as run:
        client = run.connect()
        client.ask(b"PUT a 1")
        run.advance(50)
        assert not Path(kept.directory.checkpoint_path).exists()
        run.advance(15)
        until(lambda: client.asked(b"STATS")["checkpoint_ts"] == 1)
        for _ in range(3):
            run.advance(61)
        assert client.asked(b"PING") == "PONG"
        assert kept.files.operations.count("rename") == 1
        client.ask(b"PUT a 2")
        run.advance(61)
        until(lambda: client.asked(b"STATS")["checkpoint_ts"] == 2)


def test_a_checkpoint_by_time_that_fails_is_tried_again(kept: Kept) -> None:
    with running(checkpoint_interval_s=60, **kept.options) as run:
        client = run.connect()
        client.ask(b"PUT a 1")
        kept.files.fail("write")
        run.advance(61)
        until(lambda: "write" in kept.files.operations)
        assert client.asked(b"PING") == "PONG"
        kept.files.mend()
        until(lambda: run.server._disk.checkpoints._job is None)
        run.advance(61)
        until(lambda: client.asked(b"STATS")["checkpoint_ts"] == 1)


def test_a_large_checkpoint_is_made_in_slices_between_which_others_are_served(kept: Kept) -> None:
    for n in range(20_000):
        kept.store.put(b"k%05d" % n, b"1")
    with running(**kept.options) as run:
        client, other = run.connect(), run.connect()
        other.ask(b"PING")
        with run.held():
            client.send(b"CHECKPOINT\n")
            other.send(b"PING\n")
        assert other.result() == "PONG"
        assert client.result() == {"checkpoint_ts": 20_000}
        assert len(kept.on_disk()[1]) == 20_000


def test_slices_are_small_and_parts_for_the_disk_are_large(kept: Kept) -> None:
    kept.store.restore(1, ((b"k%06d" % n, b'"%0100d"' % n) for n in range(20_000)))
    worker, outcomes, times = Worker("test", lambda: None), list[Any](), count()
    checkpoints = Checkpoints(kept.options["begin_checkpoint"], worker, None, clock=lambda: next(times) * 1e-4)
    checkpoints.request(outcomes.append)

    def slices() -> int:
        made = 0
        while checkpoints.is_busy:
            made += checkpoints.has_slice
            checkpoints.step()
            worker.deliver()
        return made

    assert slices() > 2 * 20_000 / SLICE_KEYS_MAX
    assert outcomes == [1] and len(kept.on_disk()[1]) == 20_000
    assert 2 <= kept.files.operations.count("write") <= 20_000 * 120 / 500_000 + 1
    checkpoints.hurry()
    checkpoints.request(outcomes.append)
    assert slices() <= 20_000 / SLICE_KEYS_MAX + 3, "when the server stops, nobody waits for a slice"
    worker.close()


def test_a_slice_takes_about_half_as_long_as_the_rest_of_the_turn() -> None:
    pace = Pace()
    assert pace.keys_max(now=0.0) == SLICE_KEYS_MAX, "the first one"
    pace.took(100, 1.0, 1.0001)  # a key a microsecond
    assert pace.keys_max(now=1.0001 + 0.0002) == pytest.approx(100, abs=1)
    assert pace.keys_max(now=1.0001 + 0.0003) == pytest.approx(150, abs=1)
    assert pace.keys_max(now=1.0001) == SLICE_KEYS_MIN, "when there is nothing else to do, somebody may come"
    assert pace.keys_max(now=9.0) == SLICE_KEYS_MAX
    pace.keys_min = SLICE_KEYS_MAX
    assert pace.keys_max(now=1.0001) == SLICE_KEYS_MAX, "when nobody will come"
    pace.keys_min = SLICE_KEYS_MIN
    pace.took(100, 9.0, 9.0)  # a clock that doesn't tell
    assert pace.keys_max(now=9.0) == SLICE_KEYS_MIN and pace.keys_max(now=9.1) == SLICE_KEYS_MAX


def test_a_stop_that_cuts_a_checkpoint_short_lets_go_of_everything(kept: Kept) -> None:
    for n in range(20_000):
        kept.store.put(b"k%05d" % n, b"1")
    with running(**kept.options) as run:
        kept.files.may_create.clear()
        run.connect().send(b"CHECKPOINT\n")
        until(lambda: kept.store.stats()["active_transactions"] == 1)
        run.server.stop()
        run.server.stop()
        kept.files.may_create.set()
        assert run.stopped() is False
    assert not Path(kept.directory.checkpoint_path).exists()


def test_a_server_in_memory_refuses_at_once() -> None:
    with running() as run:
        client = run.connect()
        client.send(b"CHECKPOINT\nPING\n")
        refusal = json.loads(client.reply())
        assert refusal["result"] == {"code": "UNAVAILABLE", "retryable": False}
        assert "--data-dir" in refusal["message"]
        assert client.result() == "PONG"


@pytest.mark.parametrize("failing", ["checkpoint", "rotation"])
def test_the_logs_size_does_not_ask_again_at_every_commit_when_checkpoints_fail(failing: str) -> None:
    """There were 619 failed checkpoints in two seconds, each with a line in the server's log."""
    log, attempts = BreakingLog(), []
    log.may_rotate = failing != "rotation"
    store = logged(log)

    class Written:
        commit_ts = 1

        def __init__(self) -> None:
            self.chunks = encode_checkpoint(VersionedStore().begin(TransactionOptions(read_only=True)))

        def write(self, text: bytes) -> None:
            pass

        def finish(self) -> None:
            pass

    def begin() -> Any:
        attempts.append(store.visible_ts)
        if failing == "checkpoint":
            raise UnavailableError("no room", retryable=True)
        return Written()

    with running(store, log=log, begin_checkpoint=begin, checkpoint_log_bytes=1000) as run:
        client = run.connect()

        def put(times: int) -> int:
            """How many checkpoints were tried so far; each write adds 100 bytes to the log."""
            for _ in range(times):
                client.ask(b"PUT a 1")
            until(lambda: not run.server._disk.checkpoints.is_busy)
            return len(attempts)

        assert put(50) == 1
        run.advance(RETRY_S + 1)
        assert put(50) == 2
        client.ask(b"CHECKPOINT")
        assert len(attempts) == 3, "who asks is never put off"
        assert put(50) == 3


def test_growth_asks_again_after_as_many_bytes_and_some_seconds() -> None:
    growth = GrowthTrigger(100)
    assert not growth.is_due(100, 0.0) and growth.is_due(101, 0.0)
    growth.failed(150, 0.0)
    assert not growth.is_due(1000, RETRY_S - 0.1)
    assert not growth.is_due(250, RETRY_S)
    assert growth.is_due(251, RETRY_S)
    assert not growth.is_due(20, RETRY_S), "a new segment was begun meanwhile"
    assert growth.is_due(101, RETRY_S)
