"""Group commit for threads: one works for all, a failure tells all, and nobody waits longer than for the disk."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mvcc_kv.durability import DirectoryKeeper, open_directory
from mvcc_kv.durability.flushing import Fsync, SettlingLog
from mvcc_kv.durability.log import Log, LogEnd
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import UnavailableError

from .disk import ALL, NONE, Fault, SimulatedDisk

PATH = "/data"
PATIENCE_S = 20


class GatedDisk(SimulatedDisk):
    """A disk on which each `sync_data`, once `gate` is shut, says that it has come and waits to be let through."""

    def __init__(self) -> None:
        super().__init__()
        self.is_shut = False
        self.came = threading.Semaphore(0)
        self.may_go = threading.Semaphore(0)

    def sync_data(self, file: int) -> None:
        if self.is_shut:
            self.came.release()
            assert self.may_go.acquire(timeout=PATIENCE_S)
        super().sync_data(file)

    def shut(self) -> None:
        self.is_shut = True

    def open(self) -> None:
        """Let everybody through, from now on."""
        self.is_shut = False
        self.may_go.release(1_000)


def opened(disk: SimulatedDisk, fsync: Fsync = "always") -> tuple[VersionedStore, DirectoryKeeper]:
    return open_directory(PATH, VersionedStore, files=disk, fsync=fsync)


class Threads:
    """Threads with a record of what each returned or raised, by name."""

    def __init__(self) -> None:
        self.results: dict[str, object] = {}
        self._threads: list[threading.Thread] = []

    def start(self, name: str, work: Callable[[], object]) -> None:
        def run() -> None:
            try:
                self.results[name] = work()
            except BaseException as error:  # noqa: BLE001 (handed to the test)
                self.results[name] = error

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), f"{thread.name} still waits"


@contextmanager
def threads() -> Iterator[Threads]:
    started = Threads()
    yield started
    started.join()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = threading.Event()
    for _ in range(PATIENCE_S * 1_000):
        if condition():
            return
        deadline.wait(0.001)
    raise AssertionError("it never came to that")


def put(store: VersionedStore, number: int) -> Callable[[], None]:
    return lambda: store.put(b"k%03d" % number, b"1")


def test_commits_that_come_during_a_flush_go_together_in_the_next() -> None:
    disk = GatedDisk()
    store, keeper = opened(disk)
    disk.shut()
    with threads() as group:
        group.start("first", put(store, 0))
        assert disk.came.acquire(timeout=PATIENCE_S)
        before = disk.operations.count("write_at")
        for number in range(1, 33):
            group.start(str(number), put(store, number))
        wait_until(lambda: store.commit_ts == 33)
        assert store.visible_ts == 0, "nothing is seen before it is durable"
        disk.may_go.release()
        assert disk.came.acquire(timeout=PATIENCE_S)
        assert store.visible_ts == 1
        assert store.get(b"k001") is None
        disk.may_go.release()
    assert list(group.results.values()) == [None] * 33
    assert disk.operations.count("write_at") == before + 2, "thirty-two commits, one write, and zeros for the next"
    assert store.visible_ts == 33
    disk.open()
    keeper.close()


def test_who_is_settled_does_not_wait_for_the_next_flush() -> None:
    disk = GatedDisk()
    store, keeper = opened(disk)
    disk.shut()
    with threads() as group:
        group.start("a", put(store, 0))
        assert disk.came.acquire(timeout=PATIENCE_S)
        group.start("b", put(store, 1))
        group.start("c", put(store, 2))
        wait_until(lambda: store.commit_ts == 3)
        disk.may_go.release()  # for a
        assert disk.came.acquire(timeout=PATIENCE_S)  # b and c are on their way
        group.start("d", put(store, 3))
        wait_until(lambda: store.commit_ts == 4)
        disk.may_go.release()
        assert disk.came.acquire(timeout=PATIENCE_S)  # d is on its way, and nobody lets it through yet
        wait_until(lambda: {"a", "b", "c"} <= set(group.results))
        disk.open()
    keeper.close()


def test_a_failure_tells_everybody_who_waits_and_nobody_is_told_twice() -> None:
    disk = GatedDisk()
    store, keeper = opened(disk)
    store.put(b"before", b"1")
    disk.shut()
    with threads() as group:
        group.start("first", put(store, 0))
        assert disk.came.acquire(timeout=PATIENCE_S)
        for number in range(1, 9):
            group.start(str(number), put(store, number))
        wait_until(lambda: store.commit_ts == 10)
        disk.fault = Fault(len(disk.operations), "fail")
        disk.open()
    errors = list(group.results.values())
    assert len(errors) == 9
    assert all(isinstance(error, UnavailableError) and not error.retryable for error in errors)
    assert len(set(map(id, errors))) == 9
    assert store.visible_ts == 1 and store.get(b"before") == b"1" and store.get(b"k000") is None
    with pytest.raises(UnavailableError):
        store.put(b"later", b"1")
    keeper.close()
    again, keeper = opened(disk.crash(NONE))
    assert again.get(b"before") == b"1" and again.get(b"later") is None
    keeper.close()


def test_a_close_waits_for_the_flush_and_takes_along_what_came_during_it() -> None:
    disk = GatedDisk()
    store, keeper = opened(disk)
    disk.shut()
    with threads() as group:
        group.start("commit", put(store, 0))
        assert disk.came.acquire(timeout=PATIENCE_S)
        group.start("other", put(store, 1))
        wait_until(lambda: store.commit_ts == 2)
        group.start("close", keeper.close)
        disk.open()
    assert group.results["commit"] is None
    again, keeper = opened(disk.crash(NONE))
    assert again.commit_ts >= 1
    assert again.commit_ts == 2 or isinstance(group.results["other"], UnavailableError)
    keeper.close()


def test_commits_after_a_close_are_refused() -> None:
    store, keeper = opened(SimulatedDisk())
    keeper.close()
    with pytest.raises(UnavailableError, match="closed"):
        store.put(b"a", b"1")


def test_threads_that_commit_and_write_checkpoints_lose_nothing() -> None:
    disk = SimulatedDisk()
    store, keeper = opened(disk)

    def commit(thread: int) -> None:
        for number in range(40):
            store.put(b"k%d-%d" % (thread, number), b"1")
            if number % 10 == 9:
                keeper.checkpoint()

    with threads() as group:
        for thread in range(6):
            group.start(str(thread), lambda thread=thread: commit(thread))  # type: ignore[misc]
    assert list(group.results.values()) == [None] * 6
    again, keeper_again = opened(disk.crash(NONE))
    assert again.commit_ts == 240 and again.stats()["keys"] == 240
    keeper_again.close()
    keeper.close()


class Interrupted(SimulatedDisk):
    """A disk on which Ctrl-C comes in the middle of the operation of this name."""

    operation = ""

    def sync_data(self, file: int) -> None:
        super().sync_data(file)
        self._interrupt("sync_data")

    def write_at(self, file: int, data: bytes, offset: int) -> None:
        self._interrupt("write_at")
        super().write_at(file, data, offset)

    def _interrupt(self, operation: str) -> None:
        if operation == self.operation:
            self.operation = ""
            raise KeyboardInterrupt


def test_an_interrupted_sync_is_taken_again_by_the_next_commit() -> None:
    disk = Interrupted()
    store, keeper = opened(disk)
    disk.operation = "sync_data"
    with pytest.raises(KeyboardInterrupt):
        store.put(b"a", b"1")
    assert store.get(b"a") is None
    store.put(b"b", b"2")
    assert (store.get(b"a"), store.get(b"b")) == (b"1", b"2")
    again, keeper_again = opened(disk.crash(NONE))
    assert (again.get(b"a"), again.get(b"b")) == (b"1", b"2")
    keeper_again.close()
    keeper.close()


def test_an_interrupted_write_is_a_failure_and_leaves_no_gap() -> None:
    disk = Interrupted()
    store, keeper = opened(disk)
    store.put(b"a", b"1")
    disk.operation = "write_at"
    with pytest.raises(KeyboardInterrupt):
        store.put(b"b", b"2")
    with pytest.raises(UnavailableError):
        store.put(b"c", b"3")
    again, keeper_again = opened(disk.crash(ALL))
    assert (again.get(b"a"), again.get(b"b"), again.get(b"c")) == (b"1", None, None)
    keeper_again.close()
    keeper.close()


class Ticks:
    """The pauses of a ticker: each ends when the test says so."""

    def __init__(self) -> None:
        self._asked = threading.Semaphore(0)
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def pause(self, closed: threading.Event, interval_s: float) -> bool:
        self._asked.release()
        return self._answers.get(timeout=PATIENCE_S)

    def tick(self) -> None:
        """Let a pause end, and wait until the next one begins."""
        assert self._asked.acquire(timeout=PATIENCE_S)
        self._answers.put(False)
        assert self._asked.acquire(timeout=PATIENCE_S)
        self._asked.release()

    def end(self) -> None:
        self._answers.put(True)


@contextmanager
def ticking(disk: SimulatedDisk) -> Iterator[tuple[SettlingLog, Log, list[int], Ticks]]:
    log = Log(PATH, LogEnd(), files=disk)
    log.rotate()
    published: list[int] = []
    ticks = Ticks()
    settling = SettlingLog(log, published.append, "interval", pause=ticks.pause)
    yield settling, log, published, ticks
    ticks.end()
    settling.close()


def test_at_intervals_commits_are_written_at_once_and_synced_by_the_tick() -> None:
    disk = SimulatedDisk()
    with ticking(disk) as (settling, log, published, ticks):
        for commit_ts in (1, 2):
            settling.append(commit_ts, {b"a": b"1"}, None, None, 1, None)
            settling.settle(commit_ts)
        assert published[-1] == 2 and log.durable_ts == 0
        assert disk.operations.count("sync_data") == 0
        ticks.tick()
        assert disk.operations.count("sync_data") == 1 and log.durable_ts == 2
        ticks.tick()
        assert disk.operations.count("sync_data") == 1, "nothing new, nothing to sync"


def test_at_intervals_a_failed_sync_refuses_what_comes_after() -> None:
    disk = SimulatedDisk()
    with ticking(disk) as (settling, log, published, ticks):
        settling.append(1, {b"a": b"1"}, None, None, 1, None)
        settling.settle(1)
        disk.fault = Fault(len(disk.operations), "fail")
        ticks.tick()
        assert log.durable_ts == 0
        with pytest.raises(UnavailableError):
            settling.append(2, {b"a": b"2"}, None, None, 1, None)
        ticks.tick()
        assert disk.operations.count("sync_data") == 1, "no sync is tried again"
        assert published == [1]


def test_never_syncs_at_the_close() -> None:
    disk = SimulatedDisk()
    store, keeper = opened(disk, "never")
    before = disk.operations.count("sync_data")
    store.put(b"a", b"1")
    assert disk.operations.count("sync_data") == before
    keeper.close()
    again, keeper = opened(disk.crash(NONE))
    assert again.get(b"a") == b"1"
    keeper.close()
