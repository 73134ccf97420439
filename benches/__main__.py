"""`python -m benches [PART...]`: run the benchmarks, print their tables, keep the figures as JSON."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from benches.checker import CHECKER
from benches.commands import COMMANDS
from benches.contention import CONTENTION
from benches.durability import DURABILITY
from benches.isolation import ISOLATION
from benches.latency import LATENCY
from benches.machine import describe_machine
from benches.parts import Effort, Part, Report
from benches.recovery import RECOVERY
from benches.saving import SAVING
from benches.scans import SCANS
from benches.servers import missing_binaries, package_of
from benches.snapshots import SNAPSHOTS


class PartName(StrEnum):
    """What can be asked for."""

    COMMANDS = "commands"
    CONTENTION = "contention"
    DURABILITY = "durability"
    LATENCY = "latency"
    RECOVERY = "recovery"
    SAVING = "saving"
    SNAPSHOTS = "snapshots"
    ISOLATION = "isolation"
    SCANS = "scans"
    CHECKER = "checker"


PARTS = {
    PartName.COMMANDS: COMMANDS,
    PartName.CONTENTION: CONTENTION,
    PartName.DURABILITY: DURABILITY,
    PartName.LATENCY: LATENCY,
    PartName.RECOVERY: RECOVERY,
    PartName.SAVING: SAVING,
    PartName.SNAPSHOTS: SNAPSHOTS,
    PartName.ISOLATION: ISOLATION,
    PartName.SCANS: SCANS,
    PartName.CHECKER: CHECKER,
}
_TABLE_WIDTH = 96
RESULTS = Path(__file__).parent / "results"


def main(
    parts: Annotated[
        list[PartName] | None,
        typer.Argument(help="What to measure; everything, if nothing is named.", show_default=False),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Length of one measurement.", min=0.01)] = 0.5,
    rounds: Annotated[int, typer.Option(help="Measurements of each workload on each server.", min=1)] = 5,
    keys: Annotated[int, typer.Option(help="Keys of a large directory.", min=1)] = 1_000_000,
    quick: Annotated[bool, typer.Option("--quick", help="One very short round: is everything there?")] = False,
    results: Annotated[Path, typer.Option(help="Directory for the JSON, and on whose disk data is kept.")] = RESULTS,
) -> None:
    """What the server does, beside redis-server and what could be done at all."""
    if quick:
        seconds, rounds, keys = 0.05, 1, 2000
    names = list(dict.fromkeys(parts or PartName))
    _must_have_what_they_need(names)
    machine = describe_machine()
    results.mkdir(parents=True, exist_ok=True)
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    figures: dict[str, Any] = {"machine": machine, "missing": missing_binaries()}
    with tempfile.TemporaryDirectory(prefix="data-", dir=results) as scratch:
        effort = Effort(seconds, rounds, keys, Path(scratch))
        for name in names:
            report = _run(PARTS[name], effort)
            console.print(report.table)
            figures[name] = {"seconds": seconds, "rounds": rounds, "rows": report.rows}
    console.print(_caption(machine, figures["missing"]), soft_wrap=True)
    console.print(f"written: {_write(results, figures)}", soft_wrap=True)


def _must_have_what_they_need(names: list[PartName]) -> None:
    """Better no figures at all than to find out after minutes that some can't be had."""
    missing = missing_binaries()
    for name in names:
        packages = [package_of(binary) for binary in PARTS[name].needs if binary in missing]
        if packages:
            others = " ".join(it for it, part in PARTS.items() if not set(part.needs) & set(missing))
            install = f"apt-get install {' '.join(packages)}"
            typer.echo(f"{name} needs its peers: {install}; or name other parts: {others}", err=True)
            raise typer.Exit(1)


def _run(part: Part, effort: Effort) -> Report:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(part.title, total=part.steps(effort))

        return part.run(effort, lambda: progress.advance(task))


def _caption(machine: dict[str, Any], missing: list[str]) -> str:
    words = [
        machine["cpu"],
        machine["python"],
        f"{'' if machine['pgo'] else 'no '}PGO",
        f"load {machine['load_before']}",
    ]
    return ", ".join([*words, *(f"{name} is not installed" for name in missing)])


def _write(directory: Path, figures: dict[str, Any]) -> Path:
    now = datetime.now(UTC)
    path = directory / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"at": now.isoformat(timespec="seconds"), **figures}, indent=2) + "\n")
    return path


if __name__ == "__main__":
    typer.run(main)
