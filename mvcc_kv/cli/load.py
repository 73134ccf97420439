"""`mvcc-kv load`: put every key of a JSON object."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from mvcc_kv.api import Store, TransactionOptions
from mvcc_kv.cli.json_file import parse_items
from mvcc_kv.cli.progress import watched
from mvcc_kv.cli.reporting import note
from mvcc_kv.cli.target import DataDir, Password, Target, Url, chosen
from mvcc_kv.errors import BadRequestError, Error, LimitExceededError
from mvcc_kv.values import TTL_S_MAX, TTL_S_MIN, seconds_left

__all__ = ["load"]

BATCH_COMMANDS_MAX = 256
BATCH_BYTES_MAX = 64 * 1024


def load(
    file: Annotated[str, typer.Argument(help="The file to read; - is standard input.", show_default=False)],
    in_one_transaction: Annotated[
        bool, typer.Option("--in-one-transaction", help="On a server too: everything, or nothing; see above.")
    ] = False,
    url: Url = None,
    password: Password = None,
    data_dir: DataDir = None,
) -> None:
    """Put every key of a JSON object {key: value, ...}. Other keys stay as they are.

    Values are kept to the letter, 1.0 as 1.0. A checkpoint.json can be loaded too: then
    keys that expire do so when they would have.

    With --data-dir it is one transaction: everything is there afterwards, or nothing. On a server every key is put by
    itself, so nothing can conflict, and an error names the key that it stopped at; what was loaded by then stays.
    With --in-one-transaction it is one transaction there too, and the server must have been started with a
    --max-transaction-bytes that it fits into.

    \b
      mvcc-kv load data/example.json
      mvcc-kv dump --url old:8080 | mvcc-kv load - --url new:8080
    """
    items = _read(file)
    target = chosen(url, password, data_dir)
    if data_dir is not None or in_one_transaction:
        with target.opened(make=True) as store:
            _load_at_once(store, items)
    else:
        _load_one_by_one(target, items)
    note(f"{len(items)} {'key' if len(items) == 1 else 'keys'} loaded")


def _read(file: str) -> dict[bytes, bytes]:
    text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return parse_items(text)
    except BadRequestError as error:
        error.message = f"{'standard input' if file == '-' else file}: {error.message}"
        raise


def _load_at_once(store: Store, items: Mapping[bytes, bytes]) -> None:
    transaction = store.begin(TransactionOptions(label="load"))
    try:
        for key, value in watched(items.items(), "Loading", len(items)):
            transaction.put(key, value, ttl_s=_ttl_s(value))
        transaction.commit()
    except LimitExceededError as error:
        error.message += ", or load without --in-one-transaction; nothing was loaded"
        raise
    finally:
        transaction.rollback()


def _load_one_by_one(target: Target, items: Mapping[bytes, bytes]) -> None:
    from mvcc_kv.cli.wire import LineConnection, decode_reply

    connection = LineConnection.open(target.address, target.password)
    loaded = 0
    try:
        for batch in watched(_batches(items), "Loading", len(items), size_of=len):
            errors = [decode_reply(reply).error for reply in connection.ask_all(list(batch.values()))]
            loaded += errors.count(None)
            for key, error in zip(batch, errors, strict=True):
                if error is not None:
                    raise _stopped(error, key, loaded, len(items))
    finally:
        connection.close()


def _batches(items: Mapping[bytes, bytes]) -> Iterator[dict[bytes, bytes]]:
    """The PUTs by key, as many at a time as can go out before their replies are read."""
    from mvcc_kv.client.encoding import encode_put

    batch: dict[bytes, bytes] = {}
    size_bytes = 0
    for key, value in items.items():
        command = encode_put(key, value, ttl_s=_ttl_s(value)).rstrip(b"\n")
        if batch and (len(batch) >= BATCH_COMMANDS_MAX or size_bytes + len(command) > BATCH_BYTES_MAX):
            yield batch
            batch, size_bytes = {}, 0
        batch[key] = command
        size_bytes += len(command)
    if batch:
        yield batch


def _ttl_s(value: bytes) -> float | None:
    """For how long the value of a checkpoint is to be there yet; a moment, if its time is up."""
    left_s = seconds_left(value, time.time_ns() // 1000)
    return None if left_s is None else min(max(left_s, TTL_S_MIN), TTL_S_MAX)


def _stopped(error: Error, key: bytes, loaded: int, total: int) -> Error:
    error.message = f"key {key.decode()!r}: {error.message} ({loaded} of {total} keys are loaded)"
    return error
