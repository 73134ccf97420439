"""How long a large directory takes to start from: until the port answers, the start of the process included.

mvcc-kv starts from a checkpoint or from a log of one commit for each key; redis-server from its RDB file or from its
append-only file. A start from nothing shows what of it is the process. Files are in the page cache: the disk is
no part of it, but where a start writes (mvcc-kv writes the log's last segment anew).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from benches.dataset import bytes_of, make_checkpoint, make_log, make_redis
from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.servers import RunningServer, durable_mvcc_kv_server, durable_redis_server
from benches.targets import Comparison

__all__ = ["RECOVERY"]

_START: TypeAlias = Callable[[], AbstractContextManager[RunningServer | None]]
_ROUNDS_MAX = 3
_SCENARIOS = 3
_MB = 1e6


@dataclass(frozen=True, slots=True)
class _Side:
    """A server that starts from a file."""

    file: str
    file_bytes: int
    start: _START

    def seconds(self) -> float | None:
        began_at = time.perf_counter()
        with self.start() as server:
            return None if server is None else time.perf_counter() - began_at


def _run(effort: Effort, on_step: OnStep) -> Report:
    scenarios = _scenarios(effort.scratch, effort.keys)
    seconds: dict[_Side, list[float | None]] = {side: [] for sides in scenarios for side in sides}
    for _ in range(_rounds(effort)):
        for sides in scenarios:
            for side in sides:
                seconds[side].append(side.seconds())
            on_step()
    return _report(effort.keys, scenarios, seconds)


def _rounds(effort: Effort) -> int:
    return min(effort.rounds, _ROUNDS_MAX)


def _scenarios(scratch: Path, keys: int) -> list[tuple[_Side, _Side]]:
    """The sides of each row: mvcc-kv's, redis-server's."""
    nothing = scratch / "nothing"
    nothing.mkdir()
    checkpoint, log, redis = make_checkpoint(scratch, keys), make_log(scratch, keys), make_redis(scratch, keys)

    def ours(path: Path, pattern: str, name: str) -> _Side:
        return _Side(name, bytes_of(path, pattern), lambda: durable_mvcc_kv_server(path))

    def theirs(pattern: str, name: str, *, has_aof: bool) -> _Side:
        if redis is None:
            return _Side(name, 0, lambda: nullcontext(None))
        return _Side(
            name, bytes_of(redis, pattern), lambda: durable_redis_server(redis, aof="always" if has_aof else "off")
        )

    return [
        (
            ours(scratch / "new", "*", "nothing"),
            _Side("nothing", 0, lambda: durable_redis_server(nothing, aof="off")),
        ),
        (ours(checkpoint, "checkpoint.json", "checkpoint"), theirs("dump.rdb", "RDB", has_aof=False)),
        (ours(log, "*.wal", "log"), theirs("appendonlydir/*", "AOF", has_aof=True)),
    ]


def _report(keys: int, scenarios: list[tuple[_Side, _Side]], seconds: dict[_Side, list[float | None]]) -> Report:
    rows: list[dict[str, Any]] = []
    made = table(
        f"Starting from {keys:,} keys",
        *("from", "MB", "mvcc-kv s", "MB/s", "redis from", "MB", "redis s", "MB/s", "to redis"),
        left=("from", "redis from"),
    )
    for sides in scenarios:
        ours, theirs = (_figures(side, seconds[side]) for side in sides)
        both = ours["seconds"] and theirs["seconds"]
        rows.append(
            {
                "keys": keys,
                "mvcc-kv": ours,
                "redis-server": theirs,
                "seconds_ratio_to_redis": ours["seconds"] / theirs["seconds"] if both else None,
            }
        )
        made.add_row(*_cells(ours), *_cells(theirs), ratio(rows[-1]["seconds_ratio_to_redis"]))
    return Report(made, rows, [_comparison(*scenarios[1], seconds)])


def _comparison(ours: _Side, theirs: _Side, seconds: dict[_Side, list[float | None]]) -> Comparison:
    """The one with a target: a checkpoint and an RDB file."""
    rounds = zip(seconds[ours], seconds[theirs], strict=True)
    return Comparison("load", f"{ours.file}, {theirs.file}", [our / their for our, their in rounds if our and their])


def _figures(side: _Side, rounds: list[float | None]) -> dict[str, Any]:
    there = [it for it in rounds if it is not None]
    middle = median(there) if there else None
    speed = side.file_bytes / _MB / middle if middle and side.file_bytes else None
    return {
        "from": side.file,
        "bytes": side.file_bytes,
        "seconds": middle,
        "mb_per_second": speed,
        "rounds": there,
    }


def _cells(figures: dict[str, Any]) -> tuple[str, str, str, str]:
    size, speed = figures["bytes"], figures["mb_per_second"]
    return (
        figures["from"],
        count(size / _MB, 1) if size else "-",
        count(figures["seconds"], 2),
        count(speed) if speed else "-",
    )


RECOVERY = Part("starts from a large directory", lambda effort: _rounds(effort) * _SCENARIOS, _run)
