"""`mvcc-kv restore`: a data directory from a backup."""

from __future__ import annotations

from typing import Annotated

import typer

from mvcc_kv.cli.target import AtLeast

__all__ = ["restore"]


def restore(
    backup: Annotated[
        str,
        typer.Argument(
            metavar="BACKUP", help="A checkpoint file, or a directory with one; its log counts too.", show_default=False
        ),
    ],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="A new or empty directory.", show_default=False)],
    force: Annotated[
        bool, typer.Option("--force", help="Replace what DIR holds; it moves to DIR/replaced-1, or -2, ...")
    ] = False,
    at_least: AtLeast = 0,
) -> None:
    """Make a data directory of a backup, after checking it.

    Commit timestamps must not go back, or what clients know of a commit would come to mean another one. With --force
    they go on above everything that DIR has held. Where the old directory is gone, or is another one, clients may have
    seen more than the backup knows: then name, with --at-least, the newest timestamp that any of them can have seen.

    \b
      mvcc-kv restore backups/monday.json data
      mvcc-kv restore backups/monday.json data --force
      mvcc-kv restore backups/monday.json data --at-least 1000000
    """
    from mvcc_kv.durability.repairing import read_content
    from mvcc_kv.durability.repairing import restore as restore_directory

    done = restore_directory(read_content(backup), directory, at_least_ts=at_least, replaces=force)
    typer.echo(f"{directory}: {done.keys} keys; new commits come after {done.commit_ts}")
    if done.finished_to is not None:
        typer.echo(f"an earlier run was cut short, and is finished: what was there before it is in {done.finished_to}")
    if done.moved_to is not None:
        typer.echo(f"what it held before is in {done.moved_to}")
