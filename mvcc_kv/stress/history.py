"""A history: what clients asked of a store and what they were told, one event a line, as Jepsen writes them.

    {"index":6, "time":1200, "process":2, "type":"invoke", "f":"txn", "value":[["append","x",1], ["r","y",null]]}
    {"index":9, "time":3400, "process":2, "type":"ok", "f":"txn", "value":[["append","x",1], ["r","y",[4,5]]]}

A *process* is a client that does one thing at a time: its events are an invocation and then the completion of that, or,
if it was cut short, none. `type` says how the transaction ended:

    ok      it committed; the reads have their answers
    fail    it did not, for sure: nothing of it may ever be seen
    info    nobody knows: the reply to its commit never came. A process that crashed so comes back under a new number

What a transaction did is a list of `[f, key, value]`:

    ["append", k, v]    put v at the end of the list at k; every v once a key
    ["r", k, v]         read k: a list, or a register's value; None in an invocation, and where the key was not there
    ["w", k, v]         set the register k; every v once a key

Times are nanoseconds since the history began, on one clock for all processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = ["Event", "EventType", "Micro", "decode_events", "encode_event"]

EventType: TypeAlias = Literal["invoke", "ok", "fail", "info"]
Micro: TypeAlias = "tuple[str, Any, Any]"
"""A micro-operation: what was done, to which key, and what was written or read."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event. `isolation` is the level that was asked for, `error` why it didn't commit."""

    index: int
    time: int
    process: int
    type: EventType
    f: str = "txn"
    value: list[Micro] = []
    isolation: str | None = None
    error: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


def encode_event(event: Event) -> bytes:
    r"""The event as a line.

    >>> encode_event(Event(index=0, time=5, process=1, type="invoke", value=[("r", "x", None)]))
    b'{"index":0,"time":5,"process":1,"type":"invoke","value":[["r","x",null]]}\n'
    """
    return _encode(event) + b"\n"


def decode_events(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events of a history in JSON lines. Raises `msgspec.ValidationError` for a line that is none."""
    return (_decode(line) for line in lines if line.strip())
