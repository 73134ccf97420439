"""`mvcc-kv verify`: what a directory's files are worth."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mvcc_kv.cli.reporting import complain

if TYPE_CHECKING:
    from mvcc_kv.durability.findings import Inspection, SegmentReport

__all__ = ["verify"]


def verify(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The data directory, or a copy.", show_default=False)],
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Check a data directory, file by file: the checkpoint, and every commit in the log. Nothing is changed.

    The exit status is 0 if a server would start with it, and 1 if something is damaged. A torn tail, which a crash
    leaves behind, is no damage: nobody was told of what it held. No server may have the directory open; of one that
    does, verify what a file system's snapshot holds.

    \b
      mvcc-kv verify data
      mvcc-kv verify data --json | jq .damage
    """
    from mvcc_kv.durability.inspection import inspect

    found = inspect(directory)
    if is_json:
        typer.echo(json.dumps({"ok": found.damage is None, **asdict(found)}))
    else:
        _print(found)
    if found.damage is not None:
        sys.exit(1 if is_json else complain(_verdict(found, directory)))


def _print(found: Inspection) -> None:
    checkpoint = found.checkpoint
    if checkpoint is None:
        typer.echo("checkpoint.json: there is none yet")
    elif checkpoint.error is None:
        typer.echo(f"checkpoint.json: ok, {checkpoint.keys} keys at commit {checkpoint.commit_ts}")
    else:
        typer.echo(f"checkpoint.json: DAMAGED: {checkpoint.error}")
    for segment in found.segments:
        typer.echo(f"{segment.file}: {_told(segment)}")
    if found.is_log_missing and found.damage is None:
        typer.echo(
            f"there is no log: commits after {found.commit_ts}, if there were any, are not here (a backup has none)"
        )
    if found.damage is None:
        typer.echo(f"ok: a start would come to commit {found.commit_ts}")


def _told(segment: SegmentReport) -> str:
    commits = "no commits" if segment.first_ts is None else f"commits {segment.first_ts} to {segment.last_ts}"
    held = f"{commits} in {segment.offset} bytes"
    match segment.state:
        case "torn":
            return f"{held}, then {segment.rest_bytes} bytes of an unfinished write, which the next start drops"
        case "damaged":
            return f"DAMAGED at byte {segment.offset}, after {commits}"
        case "detached":
            return f"whole, {held}, but what comes before it is missing"
        case "not needed":
            return f"{held}, not needed any more"
        case "history":
            return f"ok, {held}, kept for reads in the past"
        case "damaged history":
            return (
                f"DAMAGED HISTORY: it breaks off at byte {segment.offset}, after {commits}. No data is lost, but the "
                f"next start lets go of the past up to there"
            )
    return f"ok, {held}"


def _verdict(found: Inspection, directory: str) -> str:
    assert found.damage is not None
    reason = found.damage.reason
    if found.damage.is_final or found.is_cut_short:
        return reason
    if found.repairable_ts is None:
        return (
            f"{reason}. Only a backup helps (mvcc-kv restore BACKUP {directory} --force): a repair could keep nothing"
        )
    return (
        f"{reason}. A backup is best (mvcc-kv restore); `mvcc-kv repair {directory} --to BACKUP` "
        f"keeps everything up to commit {found.repairable_ts}"
    )
