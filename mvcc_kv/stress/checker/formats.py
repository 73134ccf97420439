"""Formats: what a history may be written as, and how to tell.

jsonl   an event a line, as history.py writes them. Also one JSON document with a list of events, or with
        such a list as its `history`
edn     Jepsen's and Elle's
dbcop   a register history a line: {"ops": "w,x,1,0,0 r,x,1,1,1"}, of which a file may hold many
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import msgspec

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker.edn import edn_events
from mvcc_kv.stress.checker.histories import Transaction, labelled_history, pair, read_events
from mvcc_kv.stress.checker.loose import loose_event
from mvcc_kv.stress.checker.models import Dialect
from mvcc_kv.stress.history import Event

__all__ = ["FORMATS", "Format", "Written", "read_histories"]

Format: TypeAlias = Literal["auto", "jsonl", "edn", "dbcop"]
FORMATS: tuple[Format, ...] = get_args(Format)

_OPENING = b" \t\r\n,{[("


class Written(NamedTuple):
    """A history: its line where a file holds several, its transactions, and in whose words to judge it."""

    line: int | None
    transactions: Iterator[Transaction]
    dialect: Dialect


def read_histories(lines: Iterable[bytes], written_as: Format = "auto") -> Iterator[Written]:
    """The histories in a file. Raises `BadRequestError`, which names the line, now or as transactions are taken."""
    lines = iter(lines)
    above = _beginning(lines)
    if not any(line.strip() for line in above):
        raise BadRequestError("there is nothing in it: a history is events, one a line")
    found = _format(above) if written_as == "auto" else written_as
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


def _beginning(lines: Iterator[bytes]) -> list[bytes]:
    """The lines up to the first that holds more than opening brackets, without a byte order mark."""
    above: list[bytes] = []
    for line in lines:
        above.append(line if above else line.removeprefix(BOM_UTF8))
        if above[-1].strip(_OPENING):
            break
    return above


def _format(above: list[bytes]) -> str:
    """What the first lines look like."""
    first = next(line for line in above if line.strip())
    if above[-1].lstrip(_OPENING)[:1] in (b":", b";", b"#"):
        return "edn"
    if first.strip() in (b"{", b"["):
        return "document"
    try:
        value = json.loads(first)
    except RecursionError:
        return "jsonl"
    except ValueError:
        return _unfinished(first, above[-1].lstrip(_OPENING))
    if isinstance(value, dict) and isinstance(value.get("ops"), str):
        return "dbcop"
    return "jsonl" if isinstance(value, dict) and "history" not in value else "document"


def _unfinished(first: bytes, inner: bytes) -> str:
    """What a first line looks like that is no JSON by itself, where `inner` comes after its brackets."""
    is_list = first.lstrip().startswith(b"[") and inner.startswith(b'"')
    if is_list or inner.startswith(b'"history"'):
        return "document"
    return "jsonl" if first.lstrip().startswith(b"{") else "edn"


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
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            example = '{"ops": "w,x,1,0,0 r,x,1,1,1"} (w or r, key, value, session, transaction)'
            raise BadRequestError(f"line {number} is no register history; it is to be such as {example}") from None
        yield Written(number, iter(transactions), "dbcop")


def _document(text: bytes) -> Iterator[Event]:
    try:
        document: Any = msgspec.json.decode(text)
    except RecursionError:
        raise BadRequestError("it is nested too deeply") from None
    except ValueError as error:
        raise BadRequestError(f"it is neither a JSON document nor events a line each: {error}") from None
    events = document.get("history") if isinstance(document, dict) else document
    if not isinstance(events, list):
        raise BadRequestError('the document holds no list of events; it is to be a list, or an object with "history"')
    for at, form in enumerate(events):
        try:
            event = loose_event(form, at)
        except ValueError as error:
            raise BadRequestError(f"event {at + 1} of the document is none: {error}") from None
        if event is not None:
            yield event
