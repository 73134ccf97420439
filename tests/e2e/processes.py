"""`mvcc-kv serve` as its users run it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from ..server.running import DEADLINE_S, Client


class Process:
    """A server's process. `address` is where it says that it listens."""

    def __init__(
        self, *options: str, cwd: Path, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> None:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("MVCC_KV_")}
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "error", "-m", "mvcc_kv", "serve", *options],
            cwd=cwd,
            env={**inherited, **(environment or {}), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        self.pid = self._process.pid
        self.logged = bytearray()
        self._lines: Queue[bytes] = Queue()
        self._readers = [
            Thread(target=self._read_out, args=(self._process.stdout,), daemon=True),
            Thread(target=self._read_err, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self._clients: list[Client] = []

    def _read_out(self, stream: Iterator[bytes]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put(b"")

    def _read_err(self, stream: Iterator[bytes]) -> None:
        for line in stream:
            self.logged += line

    def said(self) -> str:
        """The next line on standard output; empty at its end."""
        try:
            return self._lines.get(timeout=DEADLINE_S).decode()
        except Empty:
            raise AssertionError(f"it says nothing; its log: {self.logged.decode()}") from None

    def listening(self) -> tuple[str, int]:
        line = self.said()
        assert line.startswith("listening on "), (line, self.logged.decode())
        host, _, port = line.removeprefix("listening on ").rstrip("\n").rpartition(":")
        self.address = (host.strip("[]"), int(port))
        return self.address

    def connect(self) -> Client:
        client = Client(self.address)
        self._clients.append(client)
        return client

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def has_ended_by(self, number: int) -> bool:
        """Signal it; whether it had ended already."""
        self._process.send_signal(number)
        return self._process.poll() is not None

    def ended(self) -> int:
        """Wait for its end; the exit status."""
        status = self._process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return status

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if self._process.poll() is None:
            self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.ended()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def starting(
    *options: str, cwd: Path, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> Iterator[Process]:
    """A process that may or may not come to listen; killed at the end of the block. `prefix` is what runs it."""
    process = Process(*options, cwd=cwd, environment=environment, prefix=prefix)
    try:
        yield process
    finally:
        process.close()


@contextmanager
def serving(
    *options: str,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    port: int = 0,
    prefix: Sequence[str] = (),
) -> Iterator[Process]:
    """A server that listens, on a free port unless told otherwise."""
    with starting("--port", str(port), *options, cwd=cwd, environment=environment, prefix=prefix) as process:
        process.listening()
        yield process
