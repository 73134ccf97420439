"""`mvcc-kv repair`: the best that can be had of a damaged directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mvcc_kv.cli.target import AtLeast

if TYPE_CHECKING:
    from mvcc_kv.durability.repairing import Repair

__all__ = ["repair"]


def repair(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The damaged directory.", show_default=False)],
    moved_to: Annotated[
        str, typer.Option("--to", metavar="BACKUP", help="A new directory, for the old files.", show_default=False)
    ],
    at_least: AtLeast = 0,
) -> None:
    """Move the files of a damaged data directory to BACKUP, and keep what whole commits there are, as a new checkpoint.

    What is kept is a prefix: everything up to the first commit that can't be read, and nothing behind it, since what
    came later may build on it. The rest is lost from the directory, and named by its timestamps; in BACKUP every file
    stays as it was. New commits go on above every timestamp that the files tell of. A log that
    was cut short doesn't tell how far it went: then name, with --at-least, the newest timestamp that any client can
    have seen. A directory without damage is left alone.

    \b
      mvcc-kv repair data --to data-damaged
    """
    from mvcc_kv.durability.inspection import inspect
    from mvcc_kv.durability.repairing import repair as repair_directory

    if inspect(directory).damage is None:
        typer.echo(f"{directory} is not damaged: nothing to do")
        return
    done = repair_directory(directory, moved_to, at_least_ts=at_least)
    if done.is_finished:
        typer.echo(f"finished what was begun before, and cut short; nothing was moved to {moved_to}")
    typer.echo(f"kept: {done.keys} keys, as of commit {done.kept_ts}")
    typer.echo(f"lost: {_lost(done)}")
    typer.echo(f"the old files are in {done.moved_to}; new commits come after {done.commit_ts}")


_UNKNOWN = (
    "how many there were can't be known: if clients have seen later timestamps, "
    "`mvcc-kv restore` a backup of this with --at-least TS before it is served"
)


def _lost(done: Repair) -> str:
    if done.lost is None:
        return "no commits" if done.is_end_known else f"any after {done.kept_ts}; {_UNKNOWN}"
    first, last = done.lost
    if done.is_end_known:
        return f"commits {first} to {last}"
    return f"commits {first} to at least {last}; {_UNKNOWN}"
