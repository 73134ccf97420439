"""Events as others write them: only what the verdict depends on is asked for.

process, type     must be there; what isn't by a numbered process (a nemesis) is passed over
value             a list of micro-operations, or nothing
index             or the event's place in the file
time, error       whatever they are
"""

from __future__ import annotations

from typing import Any, get_args

from mvcc_kv.stress.history import Event, EventType, Micro

__all__ = ["loose_event"]

_TYPES = get_args(EventType)


def loose_event(form: Any, place: int) -> Event | None:
    """The event, whose keys are strings; None if it is by no client. Raises `ValueError`, which says what is wrong."""
    if not isinstance(form, dict):
        raise ValueError(f"an event is a map, not {form!r}")
    process: Any = form.get("process")
    kind: Any = form.get("type")
    if process is None and "process" not in form:
        raise ValueError("it has no process")
    if type(process) is not int:
        return None
    if kind not in _TYPES:
        raise ValueError(f"type is invoke, ok, fail or info, not {kind!r}")
    index, time, f = form.get("index"), form.get("time"), form.get("f")
    told = "txn" if f is None else str(f)
    return Event(
        index=index if type(index) is int else place,
        time=time if type(time) is int else -1,
        process=process,
        type=kind,
        f=told,
        value=_micros(form.get("value")) if told == "txn" else [],
        error=None if form.get("error") is None else str(form["error"]),
    )


def _micros(value: Any) -> list[Micro]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"value is a list of micro-operations, not {value!r}")
    return [_micro(it) for it in value]


def _micro(form: Any) -> Micro:
    if not (isinstance(form, list) and len(form) == 3 and isinstance(form[0], str)):
        raise ValueError(f'a micro-operation is such as ["append", 5, 1] or ["r", 5, null], not {form!r}')
    return (str(form[0]), form[1], form[2])
