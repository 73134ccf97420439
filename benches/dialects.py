"""Commands and replies in bytes. A verb's replies all have one size, so that counting bytes counts commands."""

from __future__ import annotations

from typing import Protocol

from mvcc_kv.protocol.replies import pair_reply
from mvcc_kv.values import json_string

__all__ = ["DIALECTS", "KEYS", "Dialect"]

KEYS = [b"key:%04d" % n for n in range(1000)]
_VALUE = b"value-of-16bytes"


class Dialect(Protocol):
    """How a server is spoken to."""

    def request(self, verb: str, key: bytes) -> bytes:
        """A command; PUT sets the one value that all keys have."""
        ...

    def reply(self, verb: str, key: bytes) -> bytes:
        """What the server has to answer."""
        ...


class LineDialect:
    """mvcc-kv's line protocol in its plain forms."""

    def request(self, verb: str, key: bytes) -> bytes:
        return b"GET %b\n" % key if verb == "GET" else b"PUT %b %b\n" % (key, _VALUE)

    def reply(self, verb: str, key: bytes) -> bytes:
        return pair_reply(key, json_string(_VALUE))


class RespDialect:
    """Redis's protocol, as its clients speak it."""

    def request(self, verb: str, key: bytes) -> bytes:
        words = [b"GET", key] if verb == "GET" else [b"SET", key, _VALUE]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)

    def reply(self, verb: str, key: bytes) -> bytes:
        return b"$%d\r\n%b\r\n" % (len(_VALUE), _VALUE) if verb == "GET" else b"+OK\r\n"


DIALECTS: dict[str, Dialect] = {"line": LineDialect(), "resp": RespDialect()}
