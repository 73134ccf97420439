"""`mvcc-kv put`: set a key."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mvcc_kv.cli.json_file import json_text
from mvcc_kv.cli.target import DataDir, Password, Url, chosen
from mvcc_kv.values import encode_key, encode_value

__all__ = ["put"]


def put(
    key: Annotated[str, typer.Argument(help="The key.", show_default=False)],
    value: Annotated[str, typer.Argument(help="The value; - reads it from standard input.", show_default=False)],
    ttl: Annotated[
        float | None, typer.Option("--ttl", metavar="SECONDS", help="Delete it after so long.", show_default=False)
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="VALUE is JSON: a number, an object, ...")] = False,
    url: Url = None,
    password: Password = None,
    data_dir: DataDir = None,
) -> None:
    """Set a key to a string, or with --json to any JSON value, whose text is kept to the letter.

    From standard input, one newline at the end is not part of a string.

    \b
      mvcc-kv put greeting hello
      mvcc-kv put --json pi 3.140
      mvcc-kv put --ttl 3600 session:7 ann
      mvcc-kv put motd - < /etc/motd
    """
    key_bytes, text = encode_key(key), _text(value, is_json)
    with chosen(url, password, data_dir).opened(make=True) as store:
        store.put(key_bytes, text, ttl_s=ttl)


def _text(value: str, is_json: bool) -> bytes:
    if value == "-":
        value = sys.stdin.buffer.read().decode(errors="surrogateescape")
        value = value.removesuffix("\n") if not is_json else value
    return json_text(value.encode(errors="surrogateescape")) if is_json else encode_value(value)
