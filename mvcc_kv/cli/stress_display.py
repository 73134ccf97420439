"""What `mvcc-kv stress` shows while it runs, and at the end."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mvcc_kv.cli.reporting import printable
from mvcc_kv.stress.runner import Progress
from mvcc_kv.stress.verdict import Summary, percentile

__all__ = ["Display", "print_summary"]

_WINDOW_S = 2.0
_LINE_EVERY_S = 5.0
_VIOLATIONS_SHOWN = 10
_COLOURS = {"held": "green", "violated": "red", "invalid": "yellow"}


class Display:
    """Throughput, conflicts, latency and the nemesis' doings: a live table in a terminal, else a line now and then."""

    def __init__(self, title: str, *, quiet: bool) -> None:
        self._title = title
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._begun: dict[int, int] = {}
        self._recent: deque[tuple[float, float]] = deque()
        self._last_line_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._console.print(self._title)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._live.stop()

    def tick(self, progress: Progress) -> None:
        """Show how far it is."""
        self._take_in(progress)
        if self._console.is_terminal:
            self._live.update(Panel(self._table(progress), title=self._title))
        elif time.monotonic() - self._last_line_s > _LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            facts = self._facts(progress)
            self._console.print("  ".join(f"{name} {value}" for name, value in facts.items()))

    def _take_in(self, progress: Progress) -> None:
        for note in progress.news:
            if note.type == "invoke":
                self._begun[note.process] = note.time
            elif note.type == "ok":
                self._recent.append((note.time / 1e9, (note.time - self._begun.get(note.process, note.time)) / 1e6))
        while self._recent and self._recent[0][0] < progress.elapsed_s - _WINDOW_S:
            self._recent.popleft()

    def _facts(self, progress: Progress) -> dict[str, str]:
        taken = sorted(ms for _, ms in self._recent)
        outcomes = progress.outcomes
        return {
            "time": f"{progress.elapsed_s:.1f} s",
            "commits": f"{outcomes.get('ok', 0):,} ({len(taken) / min(_WINDOW_S, progress.elapsed_s + 0.01):,.0f}/s)",
            "conflicts": f"{outcomes.get('fail CONFLICT', 0):,}",
            "unknown": f"{outcomes.get('info', 0):,}",
            "latency": f"p50 {percentile(taken, 0.5):.1f} ms, p99 {percentile(taken, 0.99):.1f} ms",
            "faults": f"{progress.faults}{f', now {progress.fault}' if progress.fault else ''}",
        }

    def _table(self, progress: Progress) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, value in self._facts(progress).items():
            style = "red" if name == "faults" and progress.fault else ""
            table.add_row(Text(name, style="dim"), Text(value, style=style))
        return table


def print_summary(summary: Summary, folder: Path, seed: int) -> None:
    """Say on standard output what came of it."""
    out = Console(highlight=False, soft_wrap=True)
    shown = summary.violations[:_VIOLATIONS_SHOWN]
    for line in [*shown, *summary.reasons]:
        out.print(Text(printable(line), style=_COLOURS[summary.status]))
    if len(summary.violations) > len(shown):
        out.print(f"... and {len(summary.violations) - len(shown)} more, in {folder / 'summary.json'}")
    ended = ", ".join(f"{number} {what}" for what, number in sorted(summary.outcomes.items()))
    out.print(f"{summary.workload} at {summary.isolation}: {summary.elapsed_s:.1f} s, steps: {ended or 'none'}")
    if summary.faults:
        out.print("faults: " + ", ".join(f"{number} {kind}" for kind, number in sorted(summary.faults.items())))
    out.print(f"looked at: {', '.join(f'{number} {what}' for what, number in sorted(summary.checked.items()))}")
    for judged in summary.judged:
        out.print("checker: " + ", ".join(f"{name} {value}" for name, value in judged.items()))
    interrupted = " until it was interrupted" if summary.is_interrupted else ""
    out.print(
        Text.assemble(
            (summary.status.upper(), f"bold {_COLOURS[summary.status]}"), f"{interrupted}  seed {seed}, {folder}"
        )
    )
