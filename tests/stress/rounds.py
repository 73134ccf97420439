"""Rounds of stress: every front, both levels, every workload, every fault; a minute for CI, and `make stress`.

Each round is a run of `mvcc-kv stress` with a seed of its own, and says how it could be run alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from mvcc_kv.api import Isolation
from mvcc_kv.cli.stress_settings import Settings, TargetOptions
from mvcc_kv.cli.stress_wiring import stressed
from mvcc_kv.stress.verdict import Summary

__all__ = ["LONG", "SHORT", "Round", "played", "steps_checked"]

FAULTS = ("kill", "restart", "pause", "cut", "half-open", "slow", "disk-full", "slow-disk")
WITHOUT_POWER = tuple({"kill": "power-loss", "disk-full": "sync-error"}.get(kind, kind) for kind in FAULTS)
_LEVELS: tuple[Isolation, ...] = ("snapshot", "serializable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One run: what is done to what, and for how long."""

    workload: str
    isolation: Isolation
    embedded: bool = False
    in_memory: bool = False
    nemesis: tuple[str, ...] = ()
    seconds: float = 60.0
    transactions: int | None = None
    clients: int = 8
    processes: int = 0
    retain_seconds: float = 0.0
    fsync: str = "always"
    serve_options: tuple[str, ...] = ()

    def __str__(self) -> str:
        front = "embedded" if self.embedded else "tcp"
        kept = "in memory" if self.in_memory else f"fsync {self.fsync}, retaining {self.retain_seconds:g} s"
        return f"{self.workload} at {self.isolation}, {front}, {kept}, {'+'.join(self.nemesis) or 'no faults'}"

    def play(self, seed: int, folder: Path, *, quiet: bool = True) -> Summary:
        """Run it."""
        load = {
            "clients": self.clients,
            "processes": self.processes,
            "seconds": self.seconds,
            "transactions": self.transactions,
            "isolation": self.isolation,
        }
        target = TargetOptions(
            embedded=self.embedded,
            in_memory=self.in_memory,
            retain_seconds=self.retain_seconds,
            fsync=self.fsync,
            serve_options=self.serve_options,
        )
        settings = Settings(workload=self.workload, shape={}, load=load, target=target, seed=seed, nemesis=self.nemesis)
        return stressed(settings, folder, quiet=quiet)


_CHECKPOINTS = ("--checkpoint-log-bytes", "50000")

SHORT = tuple(
    it
    for level in _LEVELS
    for it in (
        Round(workload="list-append,register", isolation=level, embedded=True, in_memory=True, transactions=22_000),
        Round(
            workload="list-append,register",
            isolation=level,
            nemesis=FAULTS if level == "snapshot" else WITHOUT_POWER,
            seconds=15,
            retain_seconds=600,
            serve_options=_CHECKPOINTS,
        ),
    )
)
"""About a minute."""

LONG = tuple(
    it
    for level in _LEVELS
    for it in (
        Round(workload="list-append", isolation=level, nemesis=FAULTS, serve_options=_CHECKPOINTS),
        Round(workload="all", isolation=level, nemesis=WITHOUT_POWER, retain_seconds=600, serve_options=_CHECKPOINTS),
        Round(workload="all", isolation=level, nemesis=FAULTS, retain_seconds=600, processes=2, clients=4),
        Round(workload="list-append,register", isolation=level, embedded=True, in_memory=True, seconds=20),
        Round(workload="register", isolation=level, nemesis=("kill", "cut", "pause"), fsync="interval", clients=16),
        Round(workload="all", isolation=level, nemesis=("clock", "kill"), retain_seconds=30),
        Round(workload="all", isolation=level, embedded=True, nemesis=("restart",), seconds=30),
        Round(workload="all", isolation=level, fsync="never", nemesis=("cut", "slow", "half-open"), clients=24),
    )
)
"""What a long run goes round in."""


def played(seed: int, folder: Path) -> Iterator[tuple[Round, int, Summary]]:
    """The long rounds without an end, each with a seed of its own; a report is kept of the last one and of bad ones."""
    for number in count():
        one = LONG[number % len(LONG)]
        place = folder / f"{number:05}"
        summary = one.play(seed + number, place)
        yield one, seed + number, summary
        if summary.status == "held":
            for path in place.iterdir():
                path.unlink()
            place.rmdir()


def steps_checked(summary: Summary) -> int:
    """How many transactions the checker judged."""
    return sum(judged["transactions"] for judged in summary.judged)
