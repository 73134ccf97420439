"""`python -m benches.run [OPTIONS]`: run the benchmarks with what is there, under the interpreter that runs this.

`python3 -m benches` (or `make bench`) installs what is missing first, and picks the interpreter: `--python PATH`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from benches.catalogue import PARTS
from benches.machine import describe_machine, describe_peers
from benches.parts import Effort, Part, Report
from benches.programs import missing_packages, missing_programs, package_of
from benches.report import DOCUMENT, Results, write_report
from benches.targets import targets_table

__all__ = ["RESULTS", "main"]

RESULTS = Path(__file__).parent / "results"
_TABLE_WIDTH = 120
_SECONDS, _ROUNDS, _KEYS = 1.0, 5, 1_000_000
_QUICK = (0.2, 2, 100_000)


def main(
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"What to measure, with commas between: {', '.join(PARTS)}.", show_default="everything"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Length of one measurement.", min=0.01)] = _SECONDS,
    rounds: Annotated[int, typer.Option(help="Measurements of each row on each server.", min=1)] = _ROUNDS,
    keys: Annotated[int, typer.Option(help="Keys of a large store.", min=1)] = _KEYS,
    quick: Annotated[bool, typer.Option("--quick", help="A short run: 2 rounds of 0.2 s, 100,000 keys.")] = False,
    results: Annotated[Path, typer.Option(help="Directory for the JSON, and on whose disk data is kept.")] = RESULTS,
) -> None:
    """What the server does, beside its peers, with its targets. A complete run writes docs/benchmarks.md, too.

    `python3 -m benches` takes the same options, and --python PATH: the interpreter that all of it runs under.
    """
    names = _names(only)
    if quick:
        seconds, rounds, keys = _QUICK
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    figures = _measure(names, seconds, rounds, keys, results, console)
    taken = Results(figures)
    console.print(targets_table(taken.comparisons()).to_rich())
    if seconds < _SECONDS or rounds < _ROUNDS:
        console.print(f"short ({rounds} rounds of {seconds:g} s): what is near its bound may be on either side of it")
    console.print(taken.setting(), soft_wrap=True)
    is_complete = names == list(PARTS) and seconds >= _SECONDS and rounds >= _ROUNDS and keys >= _KEYS
    document = DOCUMENT if is_complete else results / "benchmarks.md"
    for path in (_write(results, figures), *write_report(taken, document)):
        console.print(f"written: {path}", soft_wrap=True)


def _names(only: list[str] | None) -> list[str]:
    """The parts that were asked for, in their order. Exits if there is one that isn't, or can't be measured here."""
    asked = [name for words in only or [",".join(PARTS)] for name in words.split(",") if name]
    if unknown := [name for name in asked if name not in PARTS]:
        _refuse(f"there is no {unknown[0]}; there are {', '.join(PARTS)}")
    names = [name for name in PARTS if name in asked]
    missing = missing_programs()
    for name in names:
        packages = [package_of(program) for program in PARTS[name].needs if program in missing]
        if packages:
            others = ",".join(it for it, part in PARTS.items() if not set(part.needs) & set(missing))
            _refuse(f"{name} needs its peers: apt-get install {' '.join(packages)}; or --only {others}")
    return names


def _refuse(why: str) -> None:
    """Better no figures at all than to find out after minutes that some can't be had."""
    typer.echo(why, err=True)
    raise typer.Exit(1)


def _measure(
    names: Iterable[str], seconds: float, rounds: int, keys: int, results: Path, console: Console
) -> dict[str, Any]:
    results.mkdir(parents=True, exist_ok=True)
    missing = [*missing_programs(), *missing_packages()]
    common = {"machine": describe_machine(), "peers": describe_peers(), "missing": missing}
    settings = {"seconds": seconds, "rounds": rounds, "keys": keys}
    parts: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="data-", dir=results) as scratch:
        Path(scratch).chmod(0o755)  # PostgreSQL has a user of its own
        effort = Effort(seconds, rounds, keys, Path(scratch))
        for name in names:
            began = datetime.now(UTC)
            report = _run(PARTS[name], effort)
            console.print(report.table.to_rich())
            parts[name] = {"at": began.isoformat(timespec="seconds"), **settings, **_to_json(report, began)}
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), **common, "parts": parts}


def _to_json(report: Report, began: datetime) -> dict[str, Any]:
    return {
        "took_s": round((datetime.now(UTC) - began).total_seconds(), 1),
        "table": report.table.to_json(),
        "rows": report.rows,
        "comparisons": [it.to_json() for it in report.comparisons],
    }


def _run(part: Part, effort: Effort) -> Report:
    with Progress(console=Console(stderr=True), transient=True, refresh_per_second=1) as progress:
        task = progress.add_task(part.title, total=part.steps(effort))

        return part.run(effort, lambda: progress.advance(task))


def _write(directory: Path, figures: dict[str, Any]) -> Path:
    path = directory / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    return path


if __name__ == "__main__":
    typer.run(main)
