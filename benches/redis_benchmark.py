"""redis-benchmark: the load generator that comes with Redis, and that neither side of a comparison has written.

It sends a number of commands, not for a time: so many are asked for as the same workload had in that time when it was
last measured on that server. At first that is found out, with more and more of them. They are whole batches: of others
it would send a few more than it counts to, and now and then take the end for an error.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benches.dataset import expect, resp
from benches.load import Client, Result
from benches.programs import find_program
from benches.rates import Row, Workload
from benches.servers import GENERATOR_CORES, RunningServer, pinned

__all__ = ["KEYS", "VALUE_BYTES", "VERBS", "RedisBenchmark", "fill", "rates_in"]

VERBS = ("SET", "GET", "INCR")
KEYS = 10_000
VALUE_BYTES = 32
_FIRST_SHARE = 0.1
_RESOLUTION_S = 0.001
_GUESSED_PER_SECOND = 20_000
_BATCH = 1000


@dataclass(slots=True)
class RedisBenchmark:
    """Runs of redis-benchmark on servers that take turns. `expected`: commands a second, as last seen.

    `least`: so many batches for each connection, at least. Its clock begins before the connections are made.
    """

    seconds: float
    least: int = 2
    expected: dict[tuple[str, Workload], float] = field(default_factory=dict)

    def measure(self, row: Row, servers: Sequence[RunningServer]) -> None:
        """One round: each server in turn has the row's workload."""
        for server in servers:
            which = server.name, row.workload
            if which not in self.expected:
                self.expected[which] = self._found_out(server, row.workload)
            before_s = server.cpu_s()
            result = self._run(server, row.workload, int(self.expected[which] * self.seconds))
            self.expected[which] = result.commands / result.seconds
            row.add(server.name, result, server.cpu_s() - before_s)

    def _found_out(self, server: RunningServer, workload: Workload) -> float:
        """Commands a second, in a run that is too short to be a measurement."""
        commands = int(_GUESSED_PER_SECOND * self.seconds * _FIRST_SHARE)
        while (result := self._run(server, workload, commands)).seconds < self.seconds * _FIRST_SHARE:
            commands = 4 * result.commands
        return result.commands / result.seconds

    def _run(self, server: RunningServer, workload: Workload, commands: int) -> Result:
        batches = max(commands // workload.depth, self.least * workload.connections)
        return _run(server, workload, batches * workload.depth)


def fill(server: RunningServer) -> None:
    """Set all keys that redis-benchmark will read, so that every GET finds its own."""
    with Client(server.port).socket as sock:
        for start in range(0, KEYS, _BATCH):
            numbers = range(start, start + _BATCH)
            sock.sendall(b"".join(resp(b"SET", b"key:%012d" % number, b"x" * VALUE_BYTES) for number in numbers))
            expect(sock, b"+OK\r\n" * _BATCH)


def _run(server: RunningServer, workload: Workload, commands: int) -> Result:
    program = find_program("redis-benchmark")
    assert program is not None, "the parts that use it need it"
    sizes = {"-c": workload.connections, "-P": workload.depth, "-d": VALUE_BYTES, "-r": KEYS, "-n": commands}
    options = [f"{word}" for pair in sizes.items() for word in pair]
    command = [program, "-h", "127.0.0.1", "-p", f"{server.port}", *options, "-t", workload.verb.lower(), "--csv"]
    output, busy = _output(command)
    seconds = max(commands / rates_in(output)[workload.verb], _RESOLUTION_S)
    return Result(commands, seconds, min(busy, 1.0) * seconds)


def _output(command: list[str]) -> tuple[str, float]:
    """What the process printed, and which share of its time it was busy. Raises `RuntimeError` if it failed."""
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as complained:
        began_at = time.perf_counter()
        with pinned(GENERATOR_CORES):
            process = subprocess.Popen(command, stdout=printed, stderr=complained)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took_s = time.perf_counter() - began_at
        printed.seek(0)
        complained.seek(0)
        output, complaint = printed.read(), complained.read()
    if process.returncode or "rror" in complaint:
        raise RuntimeError(f"{' '.join(command)} failed: {complaint or output}")
    return output, (used.ru_utime + used.ru_stime) / took_s


def rates_in(output: str) -> dict[str, float]:
    """Commands a second by the name of the test, as `--csv` prints them. Raises `RuntimeError` if it doesn't."""
    lines = list(csv.reader(io.StringIO(output)))
    head = next((line for line in lines if line[:2] == ["test", "rps"]), None)
    if head is None:
        raise RuntimeError(f"redis-benchmark printed {output[:200]!r}")
    rows = lines[lines.index(head) + 1 :]
    return {name: float(rate) for name, rate, *_ in (row for row in rows if len(row) == len(head))}
