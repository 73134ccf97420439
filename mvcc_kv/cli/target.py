"""What a command works on: a server, or a data directory that no server has open."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from mvcc_kv.api import Store
from mvcc_kv.errors import DataDirectoryError

if TYPE_CHECKING:
    from mvcc_kv.engine import VersionedStore

__all__ = ["AtLeast", "DataDir", "Password", "Target", "Url", "chosen", "opened_directory"]

DEFAULT_URL = "127.0.0.1:8080"
_URL_VARIABLE = "MVCC_KV_URL"
_PANEL = "Which database"

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="HOST:PORT",
        envvar=_URL_VARIABLE,
        help="The server.",
        show_default=DEFAULT_URL,
        rich_help_panel=_PANEL,
    ),
]
Password = Annotated[
    str | None,
    typer.Option(
        "--password",
        envvar="MVCC_KV_PASSWORD",
        help="The server's password. Better set in the environment, where ps doesn't show it.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Work on this directory itself, without a server. No server may have it open.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
AtLeast = Annotated[
    int,
    typer.Option(
        "--at-least",
        metavar="TS",
        help="Let commits go on above this timestamp.",
        show_default=False,
        min=0,
        max=2**63 - 1,
    ),
]


@dataclass(frozen=True, slots=True)
class Target:
    """A server's address and password, or a directory."""

    address: str
    password: str | None
    data_dir: str | None

    @contextmanager
    def opened(self, *, make: bool = False) -> Iterator[Store]:
        """The store, until the end of the block; a directory is checkpointed then. `make`: one may be missing yet."""
        if self.data_dir is None:
            from mvcc_kv.client import RemoteStore

            remote = RemoteStore.connect(self.address, password=self.password)
            try:
                yield remote
            finally:
                remote.close()
        else:
            with opened_directory(self.data_dir, make=make) as (store, _):
                yield store


@contextmanager
def opened_directory(path: str, *, make: bool = False) -> Iterator[tuple[VersionedStore, Callable[[], int]]]:
    """The directory's store and what checkpoints it, until the end of the block. Raises `DataDirectoryError`."""
    from mvcc_kv.durability import open_directory
    from mvcc_kv.engine import VersionedStore

    if not make and not os.path.isdir(path):
        raise DataDirectoryError(f"there is no directory {path!r} to read; check --data-dir")
    store, keeper = open_directory(path, lambda: VersionedStore(time_us=lambda: time.time_ns() // 1000))
    try:
        yield store, keeper.checkpoint
    finally:
        keeper.close()


def chosen(url: str | None, password: str | None, data_dir: str | None) -> Target:
    """The target that the options name. A directory wins over an address that is only in the environment."""
    if url is not None and data_dir is not None and url != os.environ.get(_URL_VARIABLE):
        raise typer.BadParameter("--url and --data-dir exclude each other: work on a server, or on a directory")
    return Target(url or DEFAULT_URL, password, data_dir)
