"""A program and a schedule as a golden script, to be played by `mvcc-kv play` or put into tests/golden."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.explorer.interleavings import Schedule
from tests.explorer.programs import KEYS, Operation, Program, TransactionProgram, amount, initial_state

__all__ = ["golden_script"]


def golden_script(program: Program, schedule: Schedule, comment: str) -> str:
    """The script; it expects nothing, because what came was wrong."""
    return "\n".join([f"# {comment}", *_steps(program, schedule)]) + "\n"


def _steps(program: Program, schedule: Schedule) -> Iterator[str]:
    for key, value in zip(KEYS, initial_state(program), strict=True):
        if value is not None:
            yield f"t0: PUT {json.dumps({'key': key, 'value': value})}"
    taken = [0] * len(program.transactions)
    for t in schedule:
        yield f"t{t + 1}: {_command(t, program.transactions[t], taken[t])}"
        taken[t] += 1
    yield "t0: SCAN"


def _command(t: int, transaction: TransactionProgram, step: int) -> str:
    if step == 0:
        return _start(transaction)
    if step > len(transaction.operations):
        return "COMMIT {}"
    return _said(transaction.operations[step - 1], amount(t, step - 1))


def _start(transaction: TransactionProgram) -> str:
    options: dict[str, Any] = {"isolation": "serializable"} if transaction.is_serializable else {}
    if transaction.mode == "read-only":
        options["read_only"] = True
    return f"START {json.dumps(options)}"


def _said(operation: Operation, value: int) -> str:
    match operation.verb:
        case "PUT":
            return f"PUT {json.dumps({'key': operation.key, 'value': value})}"
        case "ADD":
            return f"ADD {json.dumps({'key': operation.key, 'by': value})}"
        case "SCAN":
            fields = ("start", "end", "limit", "reverse", "keys_only")
            return f"SCAN {json.dumps({name: told for name in fields if (told := getattr(operation, name))})}"
        case _:
            return f"{operation.verb} {operation.key}"
