"""Crews: clients in threads, of this process or of others.

    this process     Crew:       threads, one list of notes
    others           Remote:     ready ->  <- pace, notes -> notes ->  <- (stop)  notes -> (end)     over a pipe

Clients of one interpreter take turns, so they interleave but keep at most one core busy; processes are for load. The
clock is the machine's monotonic one, the same for all processes, and tickets come from one shared counter.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec

from mvcc_kv.stress.client import Client, Connect, Note, Pace, Tickets
from mvcc_kv.stress.plan import Workload

__all__ = ["Crew", "RemoteCrew", "counted", "shared_counter"]

_FLUSH_S = 0.25
_SWITCH_S = 2e-4  # how long a thread may go on before another one's turn: less than a transaction takes


def counted(most: int | None) -> Tickets:
    """Tickets for the threads of one process."""
    numbers = itertools.count() if most is None else iter(range(most))
    return lambda: next(numbers, None)


def shared_counter() -> Any:
    """What processes count tickets with."""
    return multiprocessing.get_context("spawn").Value("q", 0)


@dataclass(frozen=True, slots=True)
class _SharedTickets:
    """Tickets for all processes."""

    counter: Any
    most: int | None

    def __call__(self) -> int | None:
        with self.counter.get_lock():
            ticket: int = self.counter.value
            if self.most is not None and ticket >= self.most:
                return None
            self.counter.value += 1
        return ticket


class Crew:
    """Clients in threads of this process. `notes` grows while they work; `errors` are what a client died of."""

    def __init__(self, numbers: Sequence[int], connect: Connect, work: Workload) -> None:
        self._numbers = numbers
        self._connect = connect
        self._work = work
        self._threads: list[threading.Thread] = []
        self._clients: list[Client] = []
        self.notes: list[Note] = []
        self.errors: list[str] = []

    def start(self, pace: Pace, tickets: Tickets) -> None:
        """Let them begin."""
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_S))
        self._clients = [Client(it, self._connect, self._work, pace, self.notes.append) for it in self._numbers]
        self._threads = [
            threading.Thread(target=self._run, args=(client, tickets), name="stress client", daemon=True)
            for client in self._clients
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_working(self) -> bool:
        """Whether a client of it goes on."""
        return any(thread.is_alive() for thread in self._threads)

    def join(self, timeout_s: float) -> None:
        """Wait so long at most for the next one that ends."""
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)
                return

    def stop(self) -> None:
        """Let each end with the step that it is at."""
        for client in self._clients:
            client.stop()

    def close(self) -> None:
        """Nothing: threads end by themselves."""

    def _run(self, client: Client, tickets: Tickets) -> None:
        try:
            client.run(tickets)
        except Exception:  # noqa: BLE001 (told at the end, where it makes the run invalid)
            self.errors.append(traceback.format_exc())


class RemoteCrew:
    """Clients in threads of another process."""

    def __init__(self, numbers: Sequence[int], connect: Connect, work: Workload, counter: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._counter = counter
        self._process: BaseProcess = context.Process(
            target=_work_remotely, args=(theirs, numbers, connect, work, counter), daemon=True
        )
        with _deaf_to_ctrl_c():
            self._process.start()
        theirs.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self.notes: list[Note] = []
        self.errors: list[str] = []

    def wait_until_ready(self) -> None:
        """Wait until the process can begin."""
        self._pipe.recv_bytes()

    def start(self, pace: Pace, most: int | None) -> None:
        """Let them begin."""
        self._pipe.send((pace, most))
        self._reader.start()

    @property
    def is_working(self) -> bool:
        """Whether notes may still come."""
        return self._reader.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait so long at most for the end of its notes."""
        self._reader.join(timeout_s)

    def stop(self) -> None:
        """Let each end with the step that it is at."""
        with suppress(OSError):
            self._pipe.send(None)

    def close(self) -> None:
        """End the process, if it has not ended."""
        self.stop()
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        if self._reader.is_alive():  # to the end of what came through the pipe, which is its own until then
            self._reader.join()
        self._pipe.close()

    def _read(self) -> None:
        try:
            while True:
                notes, errors = _decode(self._pipe.recv_bytes())
                self.notes += notes
                self.errors += errors
        except EOFError:
            return
        except OSError as error:
            self.errors.append(f"a process of clients was lost: {error}")


_Batch = tuple[list[Note], list[str]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Batch).decode


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """What is started here is deaf to it from its first moment, and for good; this process hears it at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work_remotely(pipe: Connection, numbers: Sequence[int], connect: Connect, work: Workload, counter: Any) -> None:
    """What the other process does: work, and send notes as they come. A Ctrl-C is told through the pipe."""
    crew = Crew(numbers, connect, work)
    pipe.send_bytes(b"ready")
    pace, most = pipe.recv()
    crew.start(pace, _SharedTickets(counter, most))
    threading.Thread(target=_stop_when_told, args=(pipe, crew), daemon=True).start()
    with suppress(BrokenPipeError):  # then nobody is left who would want to know
        _send_all(pipe, crew)
    pipe.close()


def _send_all(pipe: Connection, crew: Crew) -> None:
    sent = 0
    while crew.is_working:
        crew.join(_FLUSH_S)
        sent = _send(pipe, crew, sent)
    _send(pipe, crew, sent)
    pipe.send_bytes(_encode(([], crew.errors)))


def _stop_when_told(pipe: Connection, crew: Crew) -> None:
    """Whatever comes, and the end of the pipe too, means to stop."""
    with suppress(EOFError, OSError):
        pipe.recv()
    crew.stop()


def _send(pipe: Connection, crew: Crew, sent: int) -> int:
    until = len(crew.notes)
    if until > sent:
        pipe.send_bytes(_encode((crew.notes[sent:until], [])))
    return until
