"""`mvcc-kv get`: print a key's value."""

from __future__ import annotations

from typing import Annotated

import typer

from mvcc_kv.cli.target import DataDir, Password, Url, chosen
from mvcc_kv.errors import KeyNotFoundError
from mvcc_kv.values import decode_value, encode_key

__all__ = ["get"]


def get(
    key: Annotated[str, typer.Argument(help="The key.", show_default=False)],
    raw: Annotated[bool, typer.Option("--raw", help="Print a string without its quotes and escapes.")] = False,
    url: Url = None,
    password: Password = None,
    data_dir: DataDir = None,
) -> None:
    """Print a key's value as JSON, to the letter as it was put.

    A missing key is told on standard error, and the exit status is 1.

    \b
      mvcc-kv get greeting
      mvcc-kv get greeting --raw
      mvcc-kv get user:7 --data-dir data
    """
    with chosen(url, password, data_dir).opened() as store:
        text = store.get(encode_key(key))
    if text is None:
        raise KeyNotFoundError(f"Key not found: {key!r}", key=key)
    if raw and text.startswith(b'"'):
        text = str(decode_value(text)).encode(errors="replace")
    typer.echo(text)
