"""Large stores to start from: the same keys and values as a checkpoint, as a log, and as Redis keeps them.

checkpoint/   checkpoint.json
log/          a log of one commit for each key, and no checkpoint
redis/        dump.rdb, and an append-only file of the same
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benches.servers import RunningServer, durable_redis_server
from mvcc_kv.api import TransactionOptions
from mvcc_kv.durability import DataDirectory
from mvcc_kv.engine import VersionedStore

__all__ = [
    "KEY_BYTES",
    "VALUE_BYTES",
    "batches",
    "bytes_of",
    "expect",
    "items",
    "make_checkpoint",
    "make_log",
    "make_redis",
    "resp",
    "say_to_redis",
]

KEY_BYTES, VALUE_BYTES = 16, 32
_SEED = 1
_BATCH = 10_000


def make_checkpoint(scratch: Path, keys: int) -> Path:
    """A directory that holds nothing but a checkpoint of so many keys."""
    path = scratch / "checkpoint"
    if path.exists():
        return path
    store = VersionedStore()
    store.restore(keys, items(keys))
    directory = DataDirectory.open(path)
    directory.begin_checkpoint(store.begin(TransactionOptions(read_only=True))).run()
    directory.close()
    return path


def make_log(scratch: Path, keys: int) -> Path:
    """A directory that holds nothing but a log of so many commits, each of one key."""
    path = scratch / "log"
    if path.exists():
        return path
    directory = DataDirectory.open(path)
    log = directory.begin_log(directory.recover())
    for ts, (key, value) in enumerate(items(keys), 1):
        log.append(ts, {key: value}, None, None, 0, None)
        if (ts % _BATCH == 0 or ts == keys) and (batch := log.batch()) is not None:
            log.write(batch)
    log.sync()
    log.close()
    directory.close()
    return path


def make_redis(scratch: Path, keys: int) -> Path | None:
    """A directory that redis-server wrote, with the same in both of its forms; None where that is not installed."""
    path = scratch / "redis-dataset"
    if path.exists():
        return path
    path.mkdir()
    with durable_redis_server(path, aof="no") as server:
        if server is None:
            path.rmdir()
            return None
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            for batch in batches(keys):
                sock.sendall(b"".join(resp(b"SET", key, value) for key, value in batch))
                expect(sock, b"+OK\r\n" * len(batch))
        say_to_redis(server, b"SAVE")
    return path


def say_to_redis(server: RunningServer, *words: bytes) -> bytes:
    """A command to Redis and its answer, a bulk string's length before it."""
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(resp(*words))
        answer = sock.recv(65536)
        while not answer.endswith(b"\r\n"):
            answer += sock.recv(65536)
        return answer


def bytes_of(path: Path, pattern: str) -> int:
    """The size of the files of that pattern."""
    return sum(file.stat().st_size for file in path.glob(pattern) if file.is_file())


def items(keys: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys in order of their numbers; values are JSON strings, each another."""
    choose = random.Random(_SEED)
    for number in range(keys):
        yield b"key:%012d" % number, b'"%030x"' % choose.getrandbits(120)


def batches(keys: int, size: int = _BATCH) -> Iterator[list[tuple[bytes, bytes]]]:
    """The same, so many at a time."""
    left = items(keys)
    while batch := list(islice(left, size)):
        yield batch


def resp(*words: bytes) -> bytes:
    """A command as Redis's protocol has it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def expect(sock: socket.socket, expected: bytes) -> None:
    """Wait for this answer. Raises `RuntimeError` if it is another."""
    answer = b""
    while len(answer) < len(expected) and (data := sock.recv(65536)):
        answer += data
    if answer != expected:
        raise RuntimeError(f"the server answered {answer[:200]!r}")
