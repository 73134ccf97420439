"""The load generator: all connections in one loop, and what they did, as JSON. Its argument is a job in JSON."""

from __future__ import annotations

import gc
import json
import selectors
import sys
import time
from dataclasses import asdict

from benches.transactors.attempts import Connection, Done, Job, Script, System, apart, choices

_PATIENCE_S = 30.0


def main() -> None:
    """Do the job and print what came of it."""
    job = Job(**json.loads(sys.argv[1]))
    gc.disable()
    print(json.dumps(asdict(_run_zeo(job) if job.system == "zeo" else _run(job, _system(job.system)))))


def _run_zeo(job: Job) -> Done:
    from benches.transactors.zeo import run_zeo

    gc.enable()  # its client needs it
    return run_zeo(job)


def _system(name: str) -> System:
    """The system of this name; only what it takes is imported."""
    if name.startswith("postgresql"):
        from benches.transactors.postgresql import ASYNCHRONOUS, SYNCHRONOUS

        return SYNCHRONOUS if name == "postgresql-on" else ASYNCHRONOUS
    from benches.transactors.etcd_txn import ETCD
    from benches.transactors.line import LINE, TURNS
    from benches.transactors.resp import STARTING, WATCHING

    systems: dict[str, System] = {"watch": WATCHING, "start": STARTING, "line": LINE, "turns": TURNS, "etcd": ETCD}
    return systems[name]


def _run(job: Job, system: System) -> Done:
    system.stock(job.port, job.keys)
    connections = [system.connect(job.port) for _ in range(job.connections)]
    done = _Loop(job, connections).run()
    for connection in connections:
        connection.close()
    total = system.total(job.port, job.keys)
    if total != done.commits * job.keys_each:
        raise RuntimeError(f"{done.commits} transactions on {job.keys_each} keys, but the counters say {total}")
    return done


class _Client:
    """A connection, and the attempt that is under way on it."""

    __slots__ = ("connection", "keys", "number", "script")

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number
        self.keys: tuple[bytes, ...] = ()
        self.script: Script | None = None


class _Loop:
    """All clients. After the time is up each ends the attempt that it is in, so that none is left half done."""

    def __init__(self, job: Job, connections: list[Connection]) -> None:
        self._job = job
        self._choices = choices(job)
        self._selector = selectors.DefaultSelector()
        self._clients = [_Client(connection, number * 61) for number, connection in enumerate(connections)]
        self._commits = self._conflicts = 0

    def run(self) -> Done:
        """For so many seconds."""
        clock = time.perf_counter
        began_at, began_cpu_s = clock(), time.process_time()
        for client in self._clients:
            self._selector.register(client.connection.fileno(), selectors.EVENT_READ, client)
            self._next(client)
        until, left = began_at + self._job.seconds, len(self._clients)
        while left:
            events = self._selector.select(_PATIENCE_S)
            if not events:
                raise RuntimeError(f"no reply for {_PATIENCE_S:g} s")
            is_over = clock() >= until
            left -= sum(self._hear(key.data, is_over) for key, _ in events)
        return Done(self._commits, self._conflicts, clock() - began_at, time.process_time() - began_cpu_s)

    def _hear(self, client: _Client, is_over: bool) -> bool:
        """Take what came and go on; True if the client has ended."""
        replies = client.connection.take()
        if replies is None:
            return False
        assert client.script is not None
        try:
            client.connection.begin(client.script.send(replies))
            return False
        except StopIteration as ended:
            is_committed = ended.value
        self._commits += is_committed
        self._conflicts += not is_committed
        if is_over:
            self._selector.unregister(client.connection.fileno())
            return True
        if is_committed:
            self._next(client)
        else:
            self._begin(client)
        return False

    def _next(self, client: _Client) -> None:
        client.number = (client.number + 1) % len(self._choices)
        client.keys = self._choices[client.number]
        self._begin(client)

    def _begin(self, client: _Client) -> None:
        script = client.connection.attempt(client.keys)
        client.script = apart(script) if self._job.is_apart else script
        client.connection.begin(next(client.script))


if __name__ == "__main__":
    main()
