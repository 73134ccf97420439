"""Formats: what a history may be written as, and how to tell.

jsonl   an event a line, as history.py writes them. Also one JSON document with a list of events, or with
        such a list as its `history`
edn     Jepsen's and Elle's
dbcop   a register history a line: {"ops": "w,x,1,0,0 r,x,1,1,1"}, of which a file may hold many
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import msgspec

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker.edn import edn_events
from mvcc_kv.stress.checker.histories import Transaction, labelled_history, pair, read_events
from mvcc_kv.stress.checker.models import Dialect
from mvcc_kv.stress.history import Event

__all__ = ["FORMATS", "Format", "Written", "read_histories"]

Format: TypeAlias = Literal["auto", "jsonl", "edn", "dbcop"]
FORMATS: tuple[Format, ...] = get_args(Format)

_to_event = msgspec.convert


class Written(NamedTuple):
    """A history: its line where a file holds several, its transactions, and in whose words to judge it."""

    line: int | None
    transactions: Iterator[Transaction]
    dialect: Dialect


def read_histories(lines: Iterable[bytes], written_as: Format = "auto") -> Iterator[Written]:
    """The histories in a file. Raises `BadRequestError`, which names the line, now or as transactions are taken."""
    lines = iter(lines)
    above: list[bytes] = []
    for line in lines:
        above.append(line)
        if line.strip():
            break
    if not above or not above[-1].strip():
        raise BadRequestError("there is nothing in it: a history is events, one a line")
    found = _format(above[-1]) if written_as == "auto" else written_as
    every = chain(above, lines)
    match found:
        case "dbcop":
            yield from _labelled(every)
        case "edn":
            yield Written(None, pair(edn_events(_text(every))), "elle")
        case "document":
            yield Written(None, pair(_document(b"".join(every))), "elle")
        case _:
            yield Written(None, pair(read_events(every)), "elle")


def _format(line: bytes) -> str:
    """What the first line looks like."""
    if line.strip() in (b"{", b"["):
        return "document"
    if line.lstrip(b" \t,{[(")[:1] in b":;#":
        return "edn"
    try:
        value = json.loads(line)
    except ValueError:
        return "jsonl" if line.lstrip().startswith(b"{") else "edn"
    if isinstance(value, dict) and isinstance(value.get("ops"), str):
        return "dbcop"
    return "document" if isinstance(value, list) or "history" in value else "jsonl"


def _text(lines: Iterable[bytes]) -> str:
    try:
        return b"".join(lines).decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(f"it is no UTF-8 text: {error}") from None


def _labelled(lines: Iterable[bytes]) -> Iterator[Written]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            transactions = list(labelled_history(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            example = '{"ops": "w,x,1,0,0 r,x,1,1,1"} (w or r, key, value, session, transaction)'
            raise BadRequestError(f"line {number} is no register history; it is to be such as {example}") from None
        yield Written(number, iter(transactions), "dbcop")


def _document(text: bytes) -> Iterator[Event]:
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise BadRequestError(f"it is neither a JSON document nor events a line each: {error}") from None
    events = document.get("history") if isinstance(document, dict) else document
    if not isinstance(events, list):
        raise BadRequestError('the document holds no list of events; it is to be a list, or an object with "history"')
    for at, event in enumerate(events):
        try:
            yield _to_event(event, Event)
        except msgspec.ValidationError as error:
            if not (isinstance(event, dict) and isinstance(event.get("process"), str)):
                raise BadRequestError(f"event {at + 1} of the document is none: {error}") from None
