"""`mvcc-kv backup`: a consistent snapshot as a checkpoint file, also while clients are served."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mvcc_kv.cli.target import Password
from mvcc_kv.errors import DataDirectoryError

__all__ = ["backup"]


def backup(
    source: Annotated[
        str, typer.Argument(metavar="DIR|HOST:PORT", help="A data directory, or a server.", show_default=False)
    ],
    destination: Annotated[
        str, typer.Argument(metavar="DEST", help="A new file; or a directory, for checkpoint.json.", show_default=False)
    ],
    password: Password = None,
) -> None:
    """Write everything that one snapshot holds to a checkpoint file: of a server while it serves, or of a directory.

    The file is whole or not there, and none is overwritten. `mvcc-kv restore` makes a data directory of it;
    `mvcc-kv load` puts its keys among others. A directory that a server has open is backed up through that server.

    \b
      mvcc-kv backup 127.0.0.1:8080 backups/monday.json
      mvcc-kv backup data backups/monday.json
    """
    if os.path.isdir(source):
        written, commit_ts = _from_directory(source, destination)
    elif os.sep in source or os.path.exists(source):
        raise DataDirectoryError(f"there is no directory {source!r}; a server is named host:port")
    else:
        written, commit_ts = _from_server(source, password, destination)
    typer.echo(f"{written}: everything as of commit {commit_ts}")


def _from_directory(path: str, destination: str) -> tuple[str, int]:
    from mvcc_kv.durability import Checkpoint, DataDirectory
    from mvcc_kv.durability.backup import listed, write_backup

    try:
        directory = DataDirectory.open(path)
    except DataDirectoryError as error:
        if "pid" in error.evidence:
            error.message += "; or back it up through its server: mvcc-kv backup HOST:PORT DEST"
        raise
    try:
        recovered = directory.recover()
        content = Checkpoint(recovered.commit_ts, recovered.items)
        return write_backup(destination, listed(content)), recovered.commit_ts
    finally:
        directory.close()


def _from_server(address: str, password: str | None, destination: str) -> tuple[str, int]:
    from mvcc_kv.cli.snapshot import served_snapshot
    from mvcc_kv.durability.backup import write_backup

    with served_snapshot(address, password) as snapshot:
        return write_backup(destination, snapshot), snapshot.start_ts
