"""`mvcc-kv stats`: counters and sizes."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mvcc_kv.cli.target import DataDir, Password, Url, chosen

__all__ = ["stats"]


def stats(
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
    url: Url = None,
    password: Password = None,
    data_dir: DataDir = None,
) -> None:
    """Print what the database counts: keys, versions, open transactions, commits, conflicts, ...

    `versions` is more than `keys` while somebody still reads older ones: `oldest_start_ts` is the oldest
    snapshot, `active_transactions` how many are open.
    """
    with chosen(url, password, data_dir).opened() as store:
        counted = store.stats()
    if is_json:
        typer.echo(json.dumps(counted))
        return
    from rich.console import Console

    from mvcc_kv.cli.show import table_of

    Console(highlight=False).print(table_of(counted))
