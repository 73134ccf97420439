"""The report of a run: a folder of plain files.

history.jsonl        what every client asked and was told, as history.py says
history-NAME.jsonl   of one workload alone, for the checker, where several ran
summary.json         the verdict, the figures, the faults, and the settings
report.html          all of that to look at, in one file that needs no other
*.png                throughput and latency over time with the faults marked; percentiles of latency
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mvcc_kv.stress.history import Event, encode_event
from mvcc_kv.stress.nemesis import FaultEvent
from mvcc_kv.stress.pictures import PICTURES, draw
from mvcc_kv.stress.plan import Workload
from mvcc_kv.stress.runner import Run
from mvcc_kv.stress.verdict import CHECKED, Summary, part_events

__all__ = ["clear_report", "render", "write_report"]

_WRITTEN = ("summary.json", "report.html", "server.log", "history.jsonl")


def clear_report(folder: Path) -> None:
    """Take away what an earlier run has written into the folder, and nothing else."""
    names = [*_WRITTEN, *(f"history-{name}.jsonl" for name in CHECKED), *(f"{name}.png" for name in PICTURES)]
    for name in names:
        (folder / name).unlink(missing_ok=True)


def write_report(
    folder: Path, summary: Summary, run: Run, *, settings: Mapping[str, Any], parts: Sequence[Workload]
) -> None:
    """Write the report into the folder."""
    is_checked = len(parts) == 1 and parts[0].name in CHECKED
    _write_history(folder / "history.jsonl", part_events(run.events, parts[0].prefix) if is_checked else run.events)
    for part in parts:
        if part.name in CHECKED and not is_checked:
            _write_history(folder / f"history-{part.name}.jsonl", part_events(run.events, part.prefix))
    told = {**asdict(summary), "settings": dict(settings), "fault_events": [asdict(fault) for fault in run.faults]}
    (folder / "summary.json").write_text(json.dumps(told, indent=2) + "\n")
    pictures = draw(run.events, run.faults, run.elapsed_s)
    for name, png in pictures.items():
        (folder / f"{name}.png").write_bytes(png)
    (folder / "report.html").write_text(render(summary, run.faults, pictures, settings))


def _write_history(path: Path, events: Sequence[Event]) -> None:
    with path.open("wb") as file:
        file.writelines(map(encode_event, events))


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .5em 0 } td, th { text-align: left; padding: .15em 1.2em .15em 0 }
th { font-weight: 600 } td:nth-child(2) { font-variant-numeric: tabular-nums } img { width: 100% }
.held { color: #2e8b57 } .violated { color: #c03030 } .invalid { color: #b07a10 }
li { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) {
  body { background: #181818; color: #ddd } img { filter: invert(.9) hue-rotate(180deg) }
}
"""


def render(
    summary: Summary, faults: Sequence[FaultEvent], pictures: Mapping[str, bytes], settings: Mapping[str, Any]
) -> str:
    """The report as one page, with its pictures in it."""
    title = f"{summary.workload} at {summary.isolation}"
    sections = [
        f"<h1>{_text(title)}: <span class={summary.status}>{summary.status}</span></h1>",
        "<p>It was interrupted; this is what there was until then.</p>" if summary.is_interrupted else "",
        _list("What was violated", summary.violations),
        _list("Why it is not valid", summary.reasons),
        _table("Steps", [("took", f"{summary.elapsed_s:.1f} s"), *sorted(summary.outcomes.items())]),
        _table("Latency of what committed, in milliseconds", summary.latency_ms.items()),
        *(_picture(name, png) for name, png in pictures.items()),
        "" if pictures else "<p>No pictures: <code>pip install mvcc-kv[stress]</code> brings what draws them.</p>",
        _table("Faults", [(f"{it.kind} {it.detail}", _interval(it)) for it in faults]),
        _table("Looked at", sorted(summary.checked.items())),
        *(_table("Checker", judged.items()) for judged in summary.judged),
        f"<h2>Settings</h2><pre>{_text(json.dumps(dict(settings), indent=2))}</pre>",
    ]
    head = f"<meta charset=utf-8><title>{_text(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(sections)}</body></html>\n"


def _interval(fault: FaultEvent) -> str:
    return f"{fault.begun_ns / 1e9:.2f} s to {fault.ended_ns / 1e9:.2f} s"


def _list(title: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    return f"<h2>{_text(title)}</h2><ul>{''.join(f'<li>{_text(item)}</li>' for item in items)}</ul>"


def _table(title: str, rows: Iterable[tuple[str, Any]]) -> str:
    lines = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows)
    return f"<h2>{_text(title)}</h2><table>{lines}</table>" if lines else ""


def _picture(name: str, png: bytes) -> str:
    return f'<img alt="{_text(name)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _text(value: object) -> str:
    return html.escape(str(value))
