"""A server process to put to the test: started, killed, stopped and continued by signals, and started again.

The first start lets the system pick a port, and every other one asks for the same. What it logs goes to a file.

All starts are made by one thread that lives as long as this process, whoever asks for them. A server that is started
through leash.py ends with that thread: so it ends even if this process is killed.
"""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

from mvcc_kv.errors import UnavailableError
from mvcc_kv.stress.client import Connect
from mvcc_kv.stress.clock import Offset

__all__ = ["ServerTarget", "server_faults"]

_STOP_S = 30.0
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="stress starter")


def server_faults(*, is_durable: bool, has_clock: bool, is_volatile: bool) -> frozenset[str]:
    """The kinds of faults that can be done to a server of our own. One that keeps nothing is not ended: it may forget.

    `has_clock`, `is_volatile`: it is started through clock.py, through disk.py.
    """
    of_disks = {"kill", "restart"} | _limits() | _slowness() if is_durable else set()
    return frozenset(
        {"pause"}
        | of_disks
        | ({"clock"} if has_clock else set())
        | ({"power-loss", "sync-error"} if is_volatile else set())
    )


class ServerTarget:
    """A server that `command` starts on a port (0: any), and that says `listening on HOST:PORT` when it is ready.

    `connect_to` makes what connects to an address. `via` is where clients go instead, if there is something in between.
    `is_durable`: a start finds what was there before. `clock`: by how much its wall clock is off, if the command starts
    it through clock.py. `syncs_fail`: the file that lets its syncs fail while it is there, if through disk.py.
    """

    name = "tcp"
    has_processes = True

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        connect_to: Callable[[str], Connect],
        log: Path,
        *,
        via: Callable[[str], str] | None = None,
        is_durable: bool = True,
        clock: Offset | None = None,
        syncs_fail: Path | None = None,
    ) -> None:
        self._command = command
        self._log = log
        self._clock = clock
        self._syncs_fail = syncs_fail
        self.mend_syncs()  # whatever an earlier run left there
        self._port = 0
        self._is_wanted = False
        self._complaints: list[str] = []
        self._slowing: subprocess.Popen[bytes] | None = None
        self._process = self._start()
        self.address = f"127.0.0.1:{self._port}"
        self.connect = connect_to(via(self.address) if via is not None else self.address)
        self.direct = connect_to(self.address)
        self.faults = server_faults(
            is_durable=is_durable, has_clock=clock is not None, is_volatile=syncs_fail is not None
        )
        if clock is not None:
            clock.jump(0)  # whatever an earlier run left there

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def stop(self) -> None:
        """Tell it to stop, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start it again, on the same port. Raises `UnavailableError` if it doesn't come to listen."""
        self._process = self._start()

    def fill_disk(self) -> None:
        """From now on no file of the server may grow or be written."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0, hard))

    def slow_disk(self, delay_ms: int) -> None:
        """From now on each fsync of the server takes so much longer, until `quick_disk`."""
        strace = shutil.which("strace")
        assert strace is not None, "there is one, or this fault would not be offered"
        calls = "fsync,fdatasync"
        command = [strace, "-f", "-qq", "-o", "/dev/null", "-p", str(self.pid), "-e", f"trace={calls}"]
        command += ["-e", f"inject={calls}:delay_enter={delay_ms * 1000}"]
        self._slowing = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def quick_disk(self) -> None:
        """The end of `slow_disk`."""
        slowing, self._slowing = self._slowing, None
        if slowing is not None:
            slowing.send_signal(signal.SIGINT)
            slowing.wait()

    def fail_syncs(self) -> None:
        """From now on each fsync of the server fails, and what was to be synced is lost, until `mend_syncs`."""
        assert self._syncs_fail is not None, "it was started with one, or this fault would not be offered"
        self._syncs_fail.touch()

    def mend_syncs(self) -> None:
        """The end of `fail_syncs`."""
        if self._syncs_fail is not None:
            self._syncs_fail.unlink(missing_ok=True)

    def jump_clock(self, by_s: float) -> None:
        """Let its wall clock be off by so much."""
        assert self._clock is not None, "it was started with one, or this fault would not be offered"
        self._clock.jump(int(by_s * 1e9))

    def complaints(self) -> list[str]:
        """Ends and starts that nobody asked for."""
        if self._is_wanted and self._process.poll() is not None:
            self._complaints.append(f"the server ended by itself, with status {self._process.returncode}: {self._log}")
            self._is_wanted = False
        return self._complaints

    def _start(self) -> subprocess.Popen[bytes]:
        process = _STARTER.submit(partial(_started, self._command(self._port))).result()
        assert process.stdout is not None and process.stderr is not None
        copying = threading.Thread(target=_copy, args=(process.stderr, self._log), daemon=True)
        copying.start()
        line = process.stdout.readline().decode()
        process.stdout.close()
        if not line.startswith("listening on "):
            process.wait()
            copying.join()  # for whoever looks there at once
            self._complaints.append(f"the server did not start: status {process.returncode}, see {self._log}")
            raise UnavailableError(self._complaints[-1], retryable=False)
        self._port = int(line.rsplit(":", 1)[1])
        self._is_wanted = True
        return process

    def _end(self, number: signal.Signals) -> None:
        self.complaints()
        self._is_wanted = False
        self.quick_disk()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._complaints.append(f"the server did not stop within {_STOP_S:g} s")
            self._process.kill()
            self._process.wait()


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is for the run, which stops its server itself
    )


def _copy(stream: IO[bytes], log: Path) -> None:
    """What the server logs, into the file; not by the server itself, whose own files may be forbidden to grow."""
    with stream, log.open("ab") as file:
        for line in stream:
            file.write(line)


def _limits() -> set[str]:
    return {"disk-full"} if hasattr(resource, "prlimit") else set()


def _slowness() -> set[str]:
    return {"slow-disk"} if shutil.which("strace") is not None else set()
