"""Scans of 100 keys a second over loopback: mvcc-kv beside redis-server and etcd, with the same 10,000 keys.

Redis has no ranges of keys. SCAN goes through all of them in no order, so it is the way to get everything, not a part;
who wants a part keeps the keys in a sorted set beside them. Either way their values are asked for once they are known,
by MGET. What is counted is keys, by the hundred. See scanners.py for each way.

Beside scans a second there is the server's processor time for each, which a busy machine disturbs least.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median

from benches.dataset import batches, expect, resp
from benches.etcd import TXN_PATH, Http2, put_all_message
from benches.load import Client, Result
from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.rates import Row, Workload
from benches.scanners import INDEX, SCANNED, Scanning
from benches.servers import GENERATOR_CORES, RunningServer, etcd_server, mvcc_kv_server, pinned, redis_server

__all__ = ["CONNECTIONS", "SCANS", "WAYS"]

CONNECTIONS = (1, 16)
WAYS = ("mvcc-kv", "redis-scan", "redis-lex", "etcd")
_KEYS = 10_000
_ETCD_PUTS = 100
_MEMORY = Path("/dev/shm")


def _run(effort: Effort, on_step: OnStep) -> Report:
    rows = [Row(Workload("SCAN", 1, connections)) for connections in CONNECTIONS]
    keys = min(effort.keys, _KEYS)
    with ExitStack() as stack:
        servers = _stocked(stack, keys, effort.scratch)
        for _ in range(effort.rounds):
            for row in rows:
                for way in WAYS:
                    _measure(row, way, servers[way], keys, effort.seconds)
                on_step()
    return _report(rows)


def _stocked(stack: ExitStack, keys: int, scratch: Path) -> dict[str, RunningServer]:
    """The server of each way, with all the keys."""
    memory = _MEMORY if _MEMORY.is_dir() else scratch
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="etcd-", dir=memory)))
    ours = stack.enter_context(mvcc_kv_server())
    redis = stack.enter_context(redis_server())
    etcd = stack.enter_context(etcd_server(directory, batch=_ETCD_PUTS))
    assert redis is not None and etcd is not None, "the part needs both"
    _stock_ours(ours, keys)
    _stock_redis(redis, keys)
    _stock_etcd(etcd, keys)
    return {"mvcc-kv": ours, "redis-scan": redis, "redis-lex": redis, "etcd": etcd}


def _stock_ours(server: RunningServer, keys: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        for batch in batches(keys):
            sock.sendall(b"".join(b'PUT {"key": "%b", "value": %b}\n' % item for item in batch))
            reply = b'{"status": "Ok", "result": {"key": "%b", "value": %b}}\n'
            expect(sock, b"".join(reply % item for item in batch))


def _stock_redis(server: RunningServer, keys: int) -> None:
    """Each key with its value, and in the sorted set."""
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        for batch in batches(keys):
            sock.sendall(b"".join(resp(b"SET", *item) + resp(b"ZADD", INDEX, b"0", item[0]) for item in batch))
            expect(sock, b"+OK\r\n:1\r\n" * len(batch))


def _stock_etcd(server: RunningServer, keys: int) -> None:
    http2, sock = (
        Http2(),
        Client(server.port).socket,
    )  # it sends at once, or each call would wait for an acknowledgement
    with sock:
        sock.sendall(http2.begin())
        for batch in batches(keys, _ETCD_PUTS):
            sock.sendall(http2.call(TXN_PATH, put_all_message(batch)))
            answer = None
            while answer is None:
                answer, sent = http2.hear(sock.recv(65536))
                sock.sendall(sent)


def _measure(row: Row, way: str, server: RunningServer, keys: int, seconds: float) -> None:
    scanning = Scanning(way, server.port, keys, row.workload.connections, seconds)
    before_s = server.cpu_s()
    with pinned(GENERATOR_CORES):
        command = [sys.executable, "-m", "benches.scanners", json.dumps(asdict(scanning))]
        process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(f"the scanners failed for {scanning}: {process.stderr}")
    row.add(way, Result(**json.loads(process.stdout)), server.cpu_s() - before_s)


def _report(rows: list[Row]) -> Report:
    columns = ("clients", "way", "scans/s", "mvcc-kv to it", "server us", "mvcc-kv to it")
    made = table(f"Scans of {SCANNED} keys a second over loopback", *columns, left=("way",))
    for row in rows:
        server_us = {way: median(row.server_us[way]) for way in WAYS}
        for way in WAYS:
            made.add_row(
                f"{row.workload.connections}",
                way,
                count(row.commands_per_second(way)),
                ratio(row.ratio("mvcc-kv", way)),
                count(server_us[way]),
                ratio(server_us["mvcc-kv"] / server_us[way] if server_us[way] else None),
                end_section=way == WAYS[-1],
            )
    return Report(made, [row.to_json() for row in rows])


SCANS = Part(
    "scans over loopback",
    lambda effort: effort.rounds * len(CONNECTIONS),
    _run,
    needs=("redis-server", "etcd"),
)
