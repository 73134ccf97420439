"""`python -m benches`: run the benchmarks, print a table, keep the figures as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benches import commands
from benches.commands import Row
from benches.machine import describe_machine

_TABLE_WIDTH = 96
RESULTS = Path(__file__).parent / "results"


def main(
    seconds: Annotated[float, typer.Option(help="Length of one measurement.", min=0.01)] = 1.0,
    rounds: Annotated[int, typer.Option(help="Measurements of each workload on each server.", min=1)] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="One very short round: is everything there?")] = False,
    results: Annotated[Path, typer.Option(help="Directory for the JSON.")] = RESULTS,
) -> None:
    """Commands a second over loopback, beside a bare echo server and redis-server."""
    if quick:
        seconds, rounds = 0.05, 1
    machine = describe_machine()
    rows = _run(seconds, rounds)
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(_table(rows, f"{machine['cpu']}, {machine['python']}, {'' if machine['pgo'] else 'no '}PGO"))
    figures = {"seconds": seconds, "rounds": rounds, "rows": [row.to_json() for row in rows]}
    console.print(f"written: {_write(results, {'machine': machine, 'commands': figures})}", soft_wrap=True)


def _run(seconds: float, rounds: int) -> list[Row]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("GET and PUT over loopback", total=rounds * len(commands.workloads()))
        return commands.run(seconds=seconds, rounds=rounds, on_step=lambda: progress.advance(task))


def _table(rows: list[Row], machine: str) -> Table:
    table = Table(title="Commands a second over loopback, medians", caption=machine)
    for name in ("clients", "command", "depth", "mvcc-kv", "echo", "to echo", "redis", "to redis"):
        table.add_column(name, justify="left" if name == "command" else "right")
    for row in rows:
        it = row.workload
        table.add_row(
            f"{it.connections}",
            it.verb,
            f"{it.depth}",
            _count(row.commands_per_second("mvcc-kv")),
            _count(row.commands_per_second("echo")),
            _ratio(row.ratio("mvcc-kv", "echo")),
            _count(row.commands_per_second("redis-server")),
            _ratio(row.ratio("mvcc-kv", "redis-server")),
            end_section=it.depth == commands.DEPTHS[-1],
        )
    return table


def _count(value: float | None) -> str:
    return "absent" if value is None else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _write(directory: Path, figures: dict[str, Any]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = directory / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"at": now.isoformat(timespec="seconds"), **figures}, indent=2) + "\n")
    return path


if __name__ == "__main__":
    typer.run(main)
