"""Anomalies in words.

    T2 came before T5: T2 saw x without 5, which T5 appended (rw)
    T5 came before T2: T2 saw y with 7, which T5 appended (wr)

Each step says why the one can only have come before the other; a cycle of them is what can't be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from mvcc_kv.stress.checker.anomalies import Anomaly
from mvcc_kv.stress.checker.cycles import Cycle, Step, base_name
from mvcc_kv.stress.checker.dependencies import VersionOrder
from mvcc_kv.stress.checker.fractures import Fracture
from mvcc_kv.stress.checker.graph import LABELS, PROCESS, REALTIME, RW, WR, WW
from mvcc_kv.stress.checker.observations import NOBODY, Observations

__all__ = ["cycle_anomaly", "fracture_anomaly", "what_it_did"]

_STEPS_MAX, _FIRST_STEPS, _LAST_STEPS = 24, 12, 6
_DID_MAX = 100

_MEANINGS = {
    "G0": "writes in a circle: each overwrote the other",
    "G1c": "information in a circle: each saw, directly or through others, what the other did",
    "G-single-item": "read skew: one transaction saw another's effects and missed its write",
    "G-nonadjacent-item": "no snapshots explain what was read",
    "long-fork": "two readers saw two writes in opposite orders",
    "G2-item": "no order of the transactions explains it (write skew)",
}


Newer: TypeAlias = Callable[[int, int], str | None]
"""Why what a transaction wrote is newer than an element, in words; None if that isn't known."""


def cycle_anomaly(observations: Observations, order: VersionOrder, cycle: Cycle, newer: Newer | None = None) -> Anomaly:
    """The cycle as an anomaly, each step in words; `newer` tells of registers."""
    lines = [_MEANINGS[base_name(cycle.name)], *_steps_in_words(observations, order, cycle.steps, newer)]
    transactions = tuple(step.source for step in cycle.steps)
    did = tuple(what_it_did(observations, it) for it in transactions) if len(transactions) <= _DID_MAX else ()
    return Anomaly(_name(observations, cycle), transactions, "\n".join(lines), cycle, did)


def _steps_in_words(
    observations: Observations, order: VersionOrder, steps: Sequence[Step], newer: Newer | None
) -> Iterator[str]:
    """Each step; of many the first and the last ones."""
    skipped = range(_FIRST_STEPS, len(steps) - _LAST_STEPS) if len(steps) > _STEPS_MAX else range(0)
    for at, step in enumerate(steps):
        if at not in skipped:
            source, target = observations.names[step.source], observations.names[step.target]
            why = _why(observations, order, step, newer)
            yield f"{source} came before {target}: {why} ({LABELS[step.label]})"
        elif at == skipped.start:
            yield f"... and so on, {len(skipped):,} steps more ..."


def _name(observations: Observations, cycle: Cycle) -> str:
    """Its name, without `-item` where something was missed by a scan only."""
    by_scans = any(step.label == RW and _is_by_a_scan(observations, step) for step in cycle.steps)
    return cycle.name.replace("-item", "") if by_scans else cycle.name


def _is_by_a_scan(observations: Observations, step: Step) -> bool:
    """Whether what the one missed of the other are only keys that scans saw to be absent."""
    if not observations.seen_by_scans:
        return False
    written = {observations.initial_of[observations.element_keys[it]] for it in observations.writes_of(step.target)}
    missed = set(observations.reads_of(step.source)) & written
    return bool(missed) and all((step.source, it) in observations.seen_by_scans for it in missed)


def fracture_anomaly(observations: Observations, it: Fracture) -> Anomaly:
    """The fracture as an anomaly."""
    reader, writer = observations.names[it.reader], observations.names[it.writer]
    words = f"{reader} saw a write of {writer}, and missed the one at {observations.keys[it.key]}"
    return Anomaly("fractured-read", (it.reader, it.writer), words)


def _why(observations: Observations, order: VersionOrder, step: Step, newer: Newer | None) -> str:
    source, target = observations.names[step.source], observations.names[step.target]
    if step.label == PROCESS:
        return f"process {observations.processes[step.source]} did {source} first"
    if step.label == REALTIME:
        return f"{source} was answered before {target} was begun"
    if step.label == WW:
        return _overwritten(observations, order, step)
    if step.label == WR:
        return _seen(observations, step)
    return _missed(observations, order, step) if newer is None else _missed_register(observations, step, newer)


def _overwritten(observations: Observations, order: VersionOrder, step: Step) -> str:
    source, target = observations.names[step.source], observations.names[step.target]
    for is_write, element in observations.micros_of(step.target):
        if is_write and order.writer_before[element] == step.source:
            key, value = _named(observations, element)
            before = _before(observations, order, element)
            return f"{target} {_wrote(observations)} {value!r} to {key} after {source}'s {before}"
    return f"{target} overwrote {source}"


def _before(observations: Observations, order: VersionOrder, element: int) -> str:
    """The value that stood at the key before this one."""
    key, place = observations.element_keys[element], order.place[element]
    values = list(dict.fromkeys(observations.orders[key]))
    if place < 0:
        return repr(values[-1]) if values else "write"
    return repr(values[place - 2]) if 2 <= place <= len(values) else "write"


def _seen(observations: Observations, step: Step) -> str:
    source, target = observations.names[step.source], observations.names[step.target]
    for is_write, element in observations.micros_of(step.target):
        if not is_write and observations.writers[element] == step.source:
            key, value = _named(observations, element)
            return f"{target} saw {key} with {value!r}, which {source} {_wrote(observations)}"
    return f"{target} saw a write of {source}"


def _missed(observations: Observations, order: VersionOrder, step: Step) -> str:
    source, target = observations.names[step.source], observations.names[step.target]
    written = {observations.element_keys[it]: it for write, it in observations.micros_of(step.target) if write}
    for is_write, element in observations.micros_of(step.source):
        key = observations.element_keys[element]
        if not is_write and key in written and _is_next(observations, order, element, step.target):
            state = "without a value" if observations.is_initial(element) else _at(observations, element)
            missed = observations.element_values[_first_after(observations, order, element, step.target)]
            return f"{source} saw {observations.keys[key]} {state}, before {target} {_wrote(observations)} {missed!r}"
    return f"{source} missed a write of {target}"


def _missed_register(observations: Observations, step: Step, newer: Newer) -> str:
    source, target = observations.names[step.source], observations.names[step.target]
    written = {observations.element_keys[it]: it for it in observations.writes_of(step.target)}
    for element in observations.reads_of(step.source):
        key, value = _named(observations, element)
        own = written.get(observations.element_keys[element])
        reason = None if own is None else newer(element, step.target)
        if own is not None and reason is not None:
            state = "without a value" if observations.is_initial(element) else f"at {value!r}"
            missed = observations.element_values[own]
            return f"{source} saw {key} {state}, before {target} wrote {missed!r}{reason}"
    return f"{source} missed a write of {target}"


def _at(observations: Observations, element: int) -> str:
    return f"up to {observations.element_values[element]!r}"


def _is_next(observations: Observations, order: VersionOrder, element: int, writer: int) -> bool:
    after = order.writer_after[element]
    return after == writer if after != NOBODY else order.last[observations.element_keys[element]] == element


def _first_after(observations: Observations, order: VersionOrder, element: int, writer: int) -> int:
    """The first element after this one that the writer put there."""
    key = observations.element_keys[element]
    written = [it for write, it in observations.micros_of(writer) if write and observations.element_keys[it] == key]
    after = [it for it in written if order.place[it] < 0 or order.place[it] > order.place[element]]
    return (after or written)[0]


def _wrote(observations: Observations) -> str:
    return "appended" if observations.mode == "list-append" else "wrote"


def _named(observations: Observations, element: int) -> tuple[Any, Any]:
    return observations.keys[observations.element_keys[element]], observations.element_values[element]


def what_it_did(observations: Observations, transaction: int) -> tuple[str, ...]:
    """What the transaction did, a line for each micro-operation; of a list that it read, the last element."""
    is_list = observations.mode == "list-append"
    lines = []
    for is_write, element in observations.micros_of(transaction):
        key, value = _named(observations, element)
        if is_write:
            lines.append(f"{'append' if is_list else 'w'} {key} {value!r}")
        elif observations.is_initial(element):
            lines.append(f"r {key} nothing")
        else:
            is_first = observations.orders[observations.element_keys[element]][:1] == [value]
            shown = f"[{value!r}]" if is_first else f"[.. {value!r}]"
            lines.append(f"r {key} {shown if is_list else repr(value)}")
    return tuple(lines)
