"""Exactly once, on a real server that is killed under its clients' commits, and killed again."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

import mvcc_kv
from mvcc_kv.api import Transaction
from mvcc_kv.database import StoreDatabase
from mvcc_kv.retry import RetryPolicy, attempts

T = TypeVar("T")
ROUNDS = 6
CLIENTS = 4
PATIENT = RetryPolicy(attempts_max=100_000, deadline_s=60.0)


class Server:
    """A server's process on a port and directory that outlive it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mvcc_kv", "serve", "--port", str(self.port), "--data-dir", str(self._path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"listening on"), "it did not start"
        return process

    def die(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def die_and_come_back(self) -> None:
        self.die()
        self._process = self._started()


@contextmanager
def serving(path: Path) -> Iterator[Server]:
    server = Server(path)
    try:
        yield server
    finally:
        server.die()


class Client(threading.Thread):
    """Moves money, one unit a time, and marks each transfer with a put of its own, until it is told to stop."""

    def __init__(self, number: int, db: StoreDatabase, stop: threading.Event) -> None:
        super().__init__()
        self.number = number
        self.done = 0
        self.seen: set[int] = set()
        self.error: BaseException | None = None
        self._db = db
        self._stop_asked = stop

    def run(self) -> None:
        try:
            while not self._stop_asked.is_set():
                self._transfer()
                self.done += 1
                self._count_a_delete()
        except BaseException as error:  # noqa: BLE001 (told by the test)
            self.error = error

    def _transfer(self) -> None:
        for attempt in attempts(self._db, policy=PATIENT):
            with attempt as tx:
                add(tx, "bank", -1)
                add(tx, f"client{self.number}", 1)
                assert tx.commit() not in self.seen
        assert tx.commit_ts is not None
        self.seen.add(tx.commit_ts)

    def _count_a_delete(self) -> None:
        """A put by itself, then a delete of the same key: either, applied once too often, would show."""
        key = f"mark{self.number}"
        patiently(lambda: self._db.put(key, self.done))
        assert patiently(lambda: self._db.delete(key))


def add(tx: Transaction, key: str, by: int) -> None:
    tx[key] = tx.get(key, 0) + by


def patiently(write: Callable[[], T]) -> T:
    """The write's result; what is known not to have been applied is tried again."""
    while True:
        try:
            return write()
        except mvcc_kv.UnavailableError as error:
            if not error.retryable:
                raise
            time.sleep(0.01)


@pytest.mark.parametrize("seed", [1])
def test_every_transfer_is_applied_once_however_often_the_server_is_killed(tmp_path: Path, seed: int) -> None:
    chance, stop = random.Random(seed), threading.Event()
    with serving(tmp_path / "data") as server:
        db = mvcc_kv.connect(f"127.0.0.1:{server.port}", commit_timeout_s=30.0)
        clients = [Client(number, db, stop) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.02, 0.2))
            server.die_and_come_back()
        time.sleep(0.1)
        stop.set()
        for client in clients:
            client.join(60)
        assert [client.error for client in clients] == [None] * CLIENTS
        assert {client.number: db.get(f"client{client.number}", 0) for client in clients} == {
            client.number: client.done for client in clients
        }
        assert db["bank"] == -sum(client.done for client in clients)
        assert list(db.scan(prefix="mark")) == []
        db.close()
