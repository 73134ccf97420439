"""A checkpoint of a large store while it serves: how long it takes, and the longest that a reader waits meanwhile.

Beside it redis-server's two ways to write its RDB file: BGSAVE, in a child process (which has the same core here, so
it takes turns with the server), and SAVE, for which every client waits.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median
from typing import Any, TypeAlias

from benches.dataset import make_checkpoint, make_redis, say_to_redis
from benches.parts import Effort, OnStep, Part, Report, count, table
from benches.probe import Seen, probing
from benches.servers import RunningServer, durable_mvcc_kv_server, durable_redis_server
from benches.targets import Comparison, ratios

__all__ = ["READERS", "SAVES", "SAVING"]

READERS = 4
_ROUNDS_MAX = 3
_POLL_S = 0.01
_Save: TypeAlias = Callable[[RunningServer, float], object]


def _checkpoint(server: RunningServer, _: float) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as sock, sock.makefile("rb") as replies:
        sock.sendall(b"CHECKPOINT\n")
        answer = replies.readline()
    if b"checkpoint_ts" not in answer:
        raise RuntimeError(f"CHECKPOINT was answered with {answer!r}")


def _bgsave(server: RunningServer, _: float) -> None:
    say_to_redis(server, b"BGSAVE")
    while b"rdb_bgsave_in_progress:0" not in (info := say_to_redis(server, b"INFO", b"persistence")):
        time.sleep(_POLL_S)
    if b"rdb_last_bgsave_status:ok" not in info:
        raise RuntimeError("BGSAVE failed")


def _save(server: RunningServer, _: float) -> None:
    if (answer := say_to_redis(server, b"SAVE")) != b"+OK\r\n":
        raise RuntimeError(f"SAVE was answered with {answer!r}")


def _nothing(_: RunningServer, seconds: float) -> None:
    time.sleep(seconds)


SAVES: dict[tuple[str, str], _Save] = {
    ("mvcc-kv", "nothing"): _nothing,
    ("redis-server", "nothing"): _nothing,
    ("mvcc-kv", "CHECKPOINT"): _checkpoint,
    ("redis-server", "BGSAVE"): _bgsave,
    ("redis-server", "SAVE"): _save,
}


def _run(effort: Effort, on_step: OnStep) -> Report:
    seen: dict[tuple[str, str], list[tuple[float, Seen]]] = {which: [] for which in SAVES}
    redis = make_redis(effort.scratch, effort.keys)
    with ExitStack() as stack:
        started = [stack.enter_context(durable_mvcc_kv_server(make_checkpoint(effort.scratch, effort.keys)))]
        if redis is not None:
            started.append(stack.enter_context(durable_redis_server(redis, aof="off")))
        servers = {server.name: server for server in started if server is not None}
        for _ in range(_rounds(effort)):
            for which, save in SAVES.items():
                if which[0] in servers:
                    seen[which].append(_watch(servers[which[0]], save, effort.seconds))
                on_step()
    return _report(effort.keys, seen)


def _rounds(effort: Effort) -> int:
    return min(effort.rounds, _ROUNDS_MAX)


def _watch(server: RunningServer, save: _Save, seconds: float) -> tuple[float, Seen]:
    with probing(server, readers=READERS) as seen:
        began_at = time.perf_counter()
        save(server, seconds)
        took_s = time.perf_counter() - began_at
    return took_s, seen


def _report(keys: int, seen: dict[tuple[str, str], list[tuple[float, Seen]]]) -> Report:
    rows = [_row(keys, *which, rounds) for which, rounds in seen.items()]
    made = table(
        f"Writing {keys:,} keys to disk while {READERS} readers read (waits in ms)",
        *("server", "writes", "seconds", "reads/s", "p50", "p99", "longest"),
        left=("server", "writes"),
    )
    for row in rows:
        made.add_row(
            row["server"],
            row["save"],
            count(row["seconds"], 2),
            count(row["reads_per_second"]),
            *(count(row[f"{figure}_ms"], 2) for figure in ("p50", "p99", "max")),
            end_section=(row["server"], row["save"]) == ("redis-server", "nothing"),
        )
    return Report(made, rows, [_comparison(seen)])


def _comparison(seen: dict[tuple[str, str], list[tuple[float, Seen]]]) -> Comparison:
    """The one with a target: our readers' p99 beside a checkpoint, and at rest."""
    beside, at_rest = ([it.p99_ms for _, it in seen["mvcc-kv", which]] for which in ("CHECKPOINT", "nothing"))
    return Comparison("checkpoint-p99", f"{READERS} readers", ratios(beside, at_rest))


def _row(keys: int, server: str, save: str, rounds: list[tuple[float, Seen]]) -> dict[str, Any]:
    def middle(figure: Callable[[float, Seen], float]) -> float | None:
        return median(figure(*it) for it in rounds) if rounds else None

    return {
        "keys": keys,
        "server": server,
        "save": save,
        "readers": READERS,
        "seconds": middle(lambda took_s, _: took_s),
        "reads_per_second": middle(lambda _, seen: seen.reads / seen.seconds),
        "p50_ms": middle(lambda _, seen: seen.p50_ms),
        "p99_ms": middle(lambda _, seen: seen.p99_ms),
        "max_ms": middle(lambda _, seen: seen.max_ms),
        "rounds": [{"save_seconds": took_s, **asdict(seen)} for took_s, seen in rounds],
    }


SAVING = Part("a checkpoint beside readers", lambda effort: _rounds(effort) * len(SAVES), _run)
