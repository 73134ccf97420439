"""Attempts a commit: eight that count on one counter, on ten of which some are hotter, and on one each.

Each commit reads a counter and writes it, in a transaction that is run again until it commits. Beside each other, round
by round: with turns, without them (as it was before there were any), and redis-py's `transaction()`, which watches the
key and tries again at once. Embedded and in "threads" the eight share an interpreter's lock, and so one core; the eight
"processes" share one too. The servers are on the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benches.counter import Crowd, Tally, merged
from benches.parts import Effort, OnStep, Part, Report, count, ratio, table
from benches.programs import missing_packages
from benches.servers import GENERATOR_CORES, RunningServer, mvcc_kv_server, pinned, redis_server

__all__ = ["CONTENTION", "COUNTERS", "CROWD", "FRONTS"]

CROWD = 8
COUNTERS = (1, 10, 0)
_COUNTERS_NAMES = {1: "one", 10: "ten, skewed", 0: "one each"}
FRONTS = ("in memory", "on disk", "threads", "processes", "redis-py threads", "redis-py processes")
_STRETCH = 2


@dataclass(slots=True)
class _Figures:
    """What was counted on one front, one tally of each round."""

    counters: int
    front: str
    turns: bool
    tallies: list[Tally]

    @property
    def attempts(self) -> Tally:
        """The attempts of all rounds."""
        return merged(self.tallies)

    @property
    def commits_per_second(self) -> float | None:
        """The median of the rounds; None if there were none."""
        return median(it.commits_per_second for it in self.tallies) if self.tallies else None

    def to_json(self) -> dict[str, Any]:
        it = self.attempts
        return {
            "attempts_mean": it.mean if self.tallies else None,
            "attempts_p99": it.percentile(0.99) if self.tallies else None,
            "attempts_worst": it.worst if self.tallies else None,
            "commits_per_second": self.commits_per_second,
            "rounds": [tally.commits_per_second for tally in self.tallies],
        }


class _Fronts:
    """Where there is something to count on; makes the crowds for it."""

    def __init__(self, server: RunningServer, redis: RunningServer | None, scratch: Path) -> None:
        self._server = f"127.0.0.1:{server.port}"
        has_redis_py = "redis-py" not in missing_packages()
        self._redis = f"127.0.0.1:{redis.port}" if redis is not None and has_redis_py else None
        self._scratch = scratch
        self._directories = 0

    def crowds(self, front: str, counters: int, turns: bool, seconds: float) -> list[Crowd]:
        """The crowds that count there beside each other; none if there is no such front."""
        client, address = ("redis-py", self._redis) if front.startswith("redis-py") else ("mvcc-kv", self._at(front))
        if address is None:
            return []
        if front.endswith("processes"):
            return [Crowd(client, address, 1, counters, seconds, turns, first) for first in range(CROWD)]
        return [Crowd(client, address, CROWD, counters, seconds, turns)]

    def _at(self, front: str) -> str:
        if front == "in memory":
            return ":memory:"
        if front == "on disk":
            self._directories += 1
            return str(self._scratch / f"counters-{self._directories}")
        return self._server


def _counted(crowds: list[Crowd]) -> Tally:
    """What the crowds did, each a process of its own, all beginning together."""
    command = [sys.executable, "-m", "benches.counter"]
    with pinned(GENERATOR_CORES):
        processes = [
            subprocess.Popen(
                [*command, json.dumps(asdict(crowd))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for crowd in crowds
        ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"{process.args!r} did not get ready")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return merged([Tally.of_process(process.communicate()[0]) for process in processes])
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _run(effort: Effort, on_step: OnStep) -> Report:
    figures = {
        (counters, front, turns): _Figures(counters, front, turns, [])
        for counters in COUNTERS
        for front in FRONTS
        for turns in (True, False)
    }
    with ExitStack() as stack:
        server, redis = stack.enter_context(mvcc_kv_server()), stack.enter_context(redis_server())
        fronts = _Fronts(server, redis, effort.scratch)
        for _ in range(effort.rounds):
            for (counters, front, turns), it in figures.items():
                if turns or not front.startswith("redis-py"):
                    crowds = fronts.crowds(front, counters, turns, effort.seconds * _STRETCH)
                    it.tallies += [_counted(crowds)] if crowds else []
                on_step()
    return _report(figures)


def _report(figures: dict[tuple[int, str, bool], _Figures]) -> Report:
    made = table(
        f"Attempts a commit, {CROWD} beside each other",
        *(
            "counters",
            "where",
            "mean",
            "p99",
            "worst",
            "commits/s",
            "without turns: mean",
            "worst",
            "commits/s to that",
        ),
        left=("counters", "where"),
    )
    rows = []
    for counters in COUNTERS:
        for front in FRONTS:
            ours, without = (figures[counters, front, turns] for turns in (True, False))
            speedup = _ratio(ours.commits_per_second, without.commits_per_second)
            made.add_row(
                _COUNTERS_NAMES[counters],
                front,
                *_told(ours),
                count(ours.commits_per_second),
                *(_told(without)[::2] if without.tallies else ("", "")),
                ratio(speedup) if without.tallies else "",
                end_section=front == FRONTS[-1],
            )
            row = {"counters": counters, "where": front, **ours.to_json()}
            if without.tallies:
                row |= {"without_turns": without.to_json(), "ratio_to_without_turns": speedup}
            rows.append(row)
    return Report(made, rows)


def _told(it: _Figures) -> tuple[str, str, str]:
    if not it.tallies:
        return ("absent", "", "")
    attempts = it.attempts
    return (count(attempts.mean, 2), count(attempts.percentile(0.99)), count(attempts.worst))


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours and theirs else None


CONTENTION = Part(
    "Attempts a commit on hot counters",
    lambda effort: effort.rounds * len(COUNTERS) * len(FRONTS) * 2,
    _run,
)
