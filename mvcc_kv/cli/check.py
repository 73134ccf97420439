"""`mvcc-kv check`: which isolation a recorded history shows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from mvcc_kv.cli.reporting import note, printable
from mvcc_kv.collector import paused
from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker.formats import FORMATS, Format, Written, read_histories
from mvcc_kv.stress.checker.models import BASES, ORDERS, Level, level_of

if TYPE_CHECKING:
    from rich.table import Table

    from mvcc_kv.stress.checker.verdict import Verdict

__all__ = ["check"]

_UNREADABLE = 2
_MANY_SHOWN = 20
_HEADINGS = {"": "alone", "session": "strong session", "realtime": "strong (real time)"}


def check(
    history: Annotated[
        str, typer.Argument(metavar="HISTORY", help="The file; - is standard input.", show_default=False)
    ],
    level: Annotated[str, typer.Option("--level", metavar="LEVEL", help="The level that is to hold.")] = "serializable",
    written_as: Annotated[
        str, typer.Option("--format", metavar="|".join(FORMATS), help="What the file is written in.")
    ] = "auto",
    explain_to: Annotated[
        Path | None,
        typer.Option("--explain-to", metavar="DIR", help="Write each anomaly there, in words and as pictures."),
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a history, for programs.")] = False,
) -> None:
    """Say which isolation a history shows: what clients asked of a store, whichever, and what they were told.

    The history holds list-append transactions (every value appended once a key) or reads and writes of registers
    (every value written once a key), as JSON lines of events, as Jepsen's and Elle's EDN, or as
    labelled register histories, one a line. It is judged from the outside: what is called an anomaly is one.

    The exit status is 0 if the level holds, 1 if it doesn't, or nobody can know, or nothing was
    committed, and 2 if the file can't be read or the explanations can't be written.
    Levels are read-uncommitted, read-committed, monotonic-atomic-view, read-atomic, causal, prefix,
    parallel-snapshot-isolation, snapshot-isolation (or snapshot), repeatable-read and serializable, each also with
    strong-session- or strong- before it; strict-serializable is strong-serializable.

    \b
      mvcc-kv check history.jsonl --level snapshot
      mvcc-kv check history.edn --level strict-serializable --explain-to found
      mvcc-kv check history.jsonl --json | jq .strongest
    """
    with _complaining(history):
        wanted, form = level_of(level), _format(written_as)
        with _opened(history) as file, paused():
            held = True
            several = _Several(wanted)
            if explain_to is not None:
                _clear(explain_to)
            for written in read_histories(file, form):
                verdict = _judge(written)
                held = held and _holds(verdict, wanted) is True
                if is_json:
                    typer.echo(json.dumps(_as_json(written, verdict, wanted)))
                elif written.line is None:
                    _print(verdict, wanted)
                else:
                    several.add(written.line, verdict)
                if explain_to is not None:
                    _explain(verdict, explain_to if written.line is None else explain_to / f"line-{written.line}")
            several.print()
    if not held:
        raise typer.Exit(1)


@contextmanager
def _complaining(history: str) -> Iterator[None]:
    """What can't be read ends with status 2 and a line that says why."""
    try:
        yield
    except BadRequestError as error:
        note(f"{history}: {error.message}")
        sys.exit(_UNREADABLE)
    except OSError as error:
        note(f"{history}: {error.strerror or error}; give the file of a recorded history")
        sys.exit(_UNREADABLE)


def _format(name: str) -> Format:
    for known in FORMATS:
        if name == known:
            return known
    raise BadRequestError(f"there is no format {name!r}; formats are {', '.join(FORMATS)}")


@contextmanager
def _opened(history: str) -> Iterator[BinaryIO]:
    if history == "-":
        yield sys.stdin.buffer
        return
    with open(history, "rb") as file:
        yield file


def _judge(written: Written) -> Verdict:
    from mvcc_kv.stress.checker.checking import check as judge

    return judge(written.transactions, written.dialect)


def _as_json(written: Written, verdict: Verdict, wanted: Level) -> dict[str, object]:
    line = {} if written.line is None else {"line": written.line}
    return {**line, "level": wanted.name, "holds": _holds(verdict, wanted), **verdict.to_json()}


def _holds(verdict: Verdict, wanted: Level) -> bool | None:
    """Whether the level holds; None too where nothing was committed, which shows nothing."""
    holds = verdict.holds(wanted)
    return holds if verdict.counts.committed or holds is False else None


def _explain(verdict: Verdict, directory: Path) -> None:
    from mvcc_kv.cli.explanations import write_explanations

    with _writing_to(directory):
        write_explanations(verdict, directory)


def _clear(directory: Path) -> None:
    from mvcc_kv.cli.explanations import remove_explanations

    with _writing_to(directory):
        remove_explanations(directory)


@contextmanager
def _writing_to(directory: Path) -> Iterator[None]:
    """Where that can't be, it ends with status 2 and a line that says so."""
    try:
        yield
    except OSError as error:
        told = f"{error.filename or directory}: {error.strerror or error}"
        note(f"{told}; give --explain-to a directory that can be written to")
        sys.exit(_UNREADABLE)


def _print(verdict: Verdict, wanted: Level) -> None:
    from rich.console import Console
    from rich.text import Text

    out = Console(highlight=False, soft_wrap=True)
    counts = verdict.counts
    out.print(
        f"{counts.transactions:,} transactions ({counts.committed:,} committed, {counts.failed:,} failed, "
        f"{counts.unknown:,} unknown), {counts.reads:,} reads and {counts.writes:,} writes of {counts.keys:,} keys "
        f"({verdict.mode})"
    )
    for name, found in verdict.anomalies.items():
        out.print(Text(f"\n{name}", style="bold red"))
        first, *steps = printable(found[0].words).split("\n")
        out.print(Text(f"  {first}"))
        for step in steps:
            out.print(Text(f"    {step}", style="dim"))
    out.print()
    if counts.committed or verdict.anomalies:
        out.print(_table(verdict))
    out.print(_told(verdict, wanted))


def _table(verdict: Verdict) -> Table:
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD)
    made.add_column("level")
    for order in ORDERS:
        made.add_column(_HEADINGS[order])
    for base in reversed(BASES):
        made.add_row(base, *(_mark(verdict.holds(Level(base, order))) for order in ORDERS))
    return made


def _mark(holds: bool | None) -> str:
    return {True: "[green]holds[/]", False: "[red]no[/]", None: "[yellow]not known[/]"}[holds]


def _told(verdict: Verdict, wanted: Level) -> str:
    if not verdict.counts.committed:
        return "[yellow]Nothing was committed, so this shows nothing.[/]"
    match verdict.holds(wanted):
        case True:
            return f"[green]{wanted.name} holds, as far as the clients saw.[/]"
        case False:
            names = ", ".join(it.name for it in verdict.strongest) or "nothing"
            return f"[red]{wanted.name} doesn't hold.[/] The strongest that do: {names}."
    return f"[yellow]Whether {wanted.name} holds would take too long to find out.[/]"


class _Several:
    """The histories of a file that holds many: how many hold, and which don't."""

    def __init__(self, wanted: Level) -> None:
        self._wanted = wanted
        self._judged = 0
        self._others: list[str] = []

    def add(self, line: int, verdict: Verdict) -> None:
        self._judged += 1
        if not _holds(verdict, self._wanted):
            nothing = "not known" if verdict.counts.committed else "nothing was committed"
            self._others.append(f"line {line}: {', '.join(verdict.anomalies) or nothing}")

    def print(self) -> None:
        if not self._judged:
            return
        held = self._judged - len(self._others)
        typer.echo(f"{self._wanted.name} holds in {held:,} of {self._judged:,} histories")
        for told in self._others[:_MANY_SHOWN]:
            typer.echo(f"  {told}")
        if len(self._others) > _MANY_SHOWN:
            typer.echo(f"  and {len(self._others) - _MANY_SHOWN:,} more")
