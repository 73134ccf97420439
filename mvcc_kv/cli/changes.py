"""`mvcc-kv changes`: print commits as they happen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Annotated

import typer

from mvcc_kv.api import Store
from mvcc_kv.cli.target import Password, Url, chosen
from mvcc_kv.errors import SnapshotGoneError
from mvcc_kv.protocol.replies import changes_text
from mvcc_kv.values import encode_key

__all__ = ["changes"]

_WAIT_S = 60.0


def changes(
    prefix: Annotated[str, typer.Option("--prefix", help="Only keys that begin with this.", show_default=False)] = "",
    from_ts: Annotated[
        int | None,
        typer.Option("--from", metavar="TS", help="Begin after this commit.", show_default="now", min=0),
    ] = None,
    url: Url = None,
    password: Password = None,
) -> None:
    """Print every commit as one line of JSON, as it happens, until Ctrl-C.

    After a lost connection it goes on where it was. Should the server not have kept what it missed, it prints
    {"lost": \\[first, last], "resync_at": last}, and goes on behind that.

    \b
      mvcc-kv changes
      mvcc-kv changes --prefix user: --from 41
    """
    with chosen(url, password, None).opened() as store, suppress(KeyboardInterrupt):
        for line in _lines(store, encode_key(prefix), from_ts):
            typer.echo(line)


def _lines(store: Store, prefix: bytes, from_ts: int | None) -> Iterator[bytes]:
    while True:
        with closing(store.changes(prefix, from_ts)) as stream:
            try:
                while True:
                    commit = stream.next(_WAIT_S)
                    if commit is not None:
                        yield changes_text(commit)
            except SnapshotGoneError as gone:
                from_ts = gone.evidence["oldest_ts"]
                yield b'{"lost": [%d, %d], "resync_at": %d}' % (stream.ts + 1, from_ts, from_ts)
