"""The report of a run: a folder of plain files.

history.jsonl      what every client asked and was told, as history.py says
history-NAME.jsonl the same of one workload, where several ran
summary.json       the verdict, the figures, the faults, and how to run it again
report.html        all of that to look at, in one file
*.png              throughput and latency over time with the faults marked; percentiles of latency
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mvcc_kv.stress.history import Event, encode_event
from mvcc_kv.stress.plan import Workload
from mvcc_kv.stress.runner import Run
from mvcc_kv.stress.verdict import Summary, part_events

__all__ = ["write_report"]


def write_report(
    folder: Path, summary: Summary, run: Run, *, settings: Mapping[str, Any], parts: Sequence[Workload]
) -> None:
    """Write the report into the folder, over what an earlier one left there."""
    _write_history(folder / "history.jsonl", _plain(run.events))
    if len(parts) > 1:
        for part in parts:
            _write_history(folder / f"history-{part.name}.jsonl", part_events(run.events, part.prefix))
    told = {**asdict(summary), "settings": dict(settings), "fault_events": [asdict(fault) for fault in run.faults]}
    (folder / "summary.json").write_text(json.dumps(told, indent=2) + "\n")


def _write_history(path: Path, events: Sequence[Event]) -> None:
    with path.open("wb") as file:
        file.writelines(map(encode_event, events))


def _plain(events: Sequence[Event]) -> Sequence[Event]:
    """The events as a checker takes them: to it the audit is a transaction like others."""
    return events
