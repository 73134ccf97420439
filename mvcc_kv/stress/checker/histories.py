"""Transactions, out of the events of a history.

    line 1   {"type": "invoke", "process": 0, ...}  --+
    line 2   {"type": "invoke", "process": 1, ...}    |  one transaction: invoked at 1, completed at 4
    line 3   {"type": "ok",     "process": 1, ...}    |
    line 4   {"type": "ok",     "process": 0, ...}  --+

A transaction is called by the index that the file gives to its completion (or to its invocation, if there is no other
event), whatever else the file holds.

What was when is told by the order of the events alone, not by their times: a transaction is before another in real
time if its completion stands above the other's invocation. One whose outcome nobody knows is before none.

Transactions come out in the order of their completions (those that never completed last), which is close to
the order in which a store committed them. Whoever searches for that order starts there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker.loose import loose_event
from mvcc_kv.stress.history import Event, Micro

__all__ = ["NEVER", "Outcome", "Transaction", "labelled_history", "pair", "read_events"]

Outcome: TypeAlias = Literal["ok", "fail", "info"]

_OTHERS_SHOWN = 8

NEVER = 1 << 60
"""When a transaction completed whose completion nobody saw."""


class Transaction(NamedTuple):
    """What one client asked and was told. `invoked_at` and `completed_at` count events; `name` is for people."""

    name: str
    process: int
    outcome: Outcome
    invoked_at: int
    completed_at: int
    micros: list[Micro]


_decode = msgspec.json.Decoder(Event).decode


def read_events(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events of a history in JSON lines. Raises `BadRequestError`, which names the line.

    A line whose process isn't a number (Jepsen's nemesis) is passed over.
    """
    for number, line in enumerate(lines, 1):
        try:
            yield _decode(line)
        except msgspec.ValidationError:
            event = _loosely(line, number)
            if event is not None:
                yield event
        except (ValueError, RecursionError) as error:
            if line.strip():
                raise _no_event(number, error) from None


def _loosely(line: bytes, number: int) -> Event | None:
    try:
        return loose_event(json.loads(line), number - 1)
    except (ValueError, RecursionError) as error:
        raise _no_event(number, error) from None


def _no_event(number: int, error: Exception) -> BadRequestError:
    why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    told = f"line {number} is no event ({why}); each line is one JSON object with process, type (invoke, ok, fail or "
    return BadRequestError(f"{told}info) and value, and with index and time if there are any")


def pair(events: Iterable[Event]) -> Iterator[Transaction]:
    """The transactions.

    Raises `BadRequestError` where a process completes nothing, or does two things at a time, and for events of which
    none is of a transaction.
    """
    open_by: dict[int, tuple[int, Event]] = {}
    others: set[str] = set()
    is_any = False
    for at, event in enumerate(events):
        if event.f != "txn":
            others.add(event.f)
            continue
        is_any = True
        process = event.process
        if event.type == "invoke":
            if process in open_by:
                raise BadRequestError(_told(event, "invokes a transaction while one of its own is open"))
            open_by[process] = (at, event)
            continue
        invoked = open_by.pop(process, None)
        if invoked is None:
            told = _told(event, "completes a transaction that it never invoked")
            raise BadRequestError(f"{told}. Keep the invocations in the history: they tell when each began")
        invoked_at, invocation = invoked
        is_ok = event.type == "ok"
        micros = event.value if is_ok else event.value or invocation.value
        yield Transaction(f"T{event.index}", process, event.type, invoked_at, at if is_ok else NEVER, micros)
    for process, (invoked_at, event) in open_by.items():
        yield Transaction(f"T{event.index}", process, "info", invoked_at, NEVER, event.value)
    if others and not is_any:
        told = f"it holds no reads or writes that can be judged, only {', '.join(sorted(others)[:_OTHERS_SHOWN])}"
        raise BadRequestError(f"{told}; judged are events whose f is txn, with append, w, r and scan")


def _told(event: Event, what: str) -> str:
    return (
        f"the event of index {event.index}: process {event.process} {what}; "
        f"a process does one thing at a time, and one that crashed comes back under a new number"
    )


def labelled_history(line: bytes) -> Iterator[Transaction]:
    """The transactions of a register history written as `w|r,key,value,session,transaction ...`, in session order.

    Real time plays no part in such a history: its sessions all overlap. 0, and whatever nobody wrote, is the
    initial state.
    """
    history: Any = json.loads(line)
    micros = [micro.split(",") for micro in history["ops"].split()]
    written = {(key, value) for f, key, value, _, _ in micros if f == "w"}
    grouped: dict[tuple[str, str], list[Micro]] = {}
    for f, key, value, session, transaction in micros:
        is_initial = f == "r" and (value == "0" or (key, value) not in written)
        done = grouped.setdefault((session, transaction), [])
        done.append((f, key, None if is_initial else int(value)))
    for at, ((session, transaction), done) in enumerate(grouped.items()):
        yield Transaction(f"T{transaction}", int(session), "ok", at, NEVER - 1, done)
