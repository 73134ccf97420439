"""`mvcc-kv del`: delete a key."""

from __future__ import annotations

from typing import Annotated

import typer

from mvcc_kv.cli.target import DataDir, Password, Url, chosen
from mvcc_kv.errors import KeyNotFoundError
from mvcc_kv.values import encode_key

__all__ = ["delete"]


def delete(
    key: Annotated[str, typer.Argument(help="The key.", show_default=False)],
    url: Url = None,
    password: Password = None,
    data_dir: DataDir = None,
) -> None:
    """Delete a key.

    A missing key is told on standard error, and the exit status is 1.

    \b
      mvcc-kv del greeting
    """
    with chosen(url, password, data_dir).opened() as store:
        if not store.delete(encode_key(key)):
            raise KeyNotFoundError(f"Key not found: {key!r}", key=key)
