"""Histories told in a few letters.

    0< ax1 ry       process 0 begins: append 1 to x, read y
    1< rx
    0: ax1 ry:      it committed; y was empty
    1: rx1          it committed; x was [1]
    2! ax2          it failed          2? ax2   nobody knows          2< ... and nothing: no reply

`0= ax1` is 0< and 0: in one. `wx1` and `rx1` are registers' writes and reads where `wx` is said anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mvcc_kv.stress.checker import Verdict, check, level_of, pair
from mvcc_kv.stress.history import Event, EventType, Micro

__all__ = ["events", "holds", "judged", "strongest"]

_MICRO = re.compile(r"([arw])([a-z])([0-9,]*):?")
_TYPES: dict[str, EventType] = {"<": "invoke", ":": "ok", "!": "fail", "?": "info"}


def events(text: str) -> Iterator[Event]:
    """The events of the history told."""
    is_register = re.search(r"\bw[a-z]", text) is not None
    at = 0
    for line in filter(None, (line.split("#")[0].strip() for line in text.splitlines())):
        head, *words = line.split()
        process, sign = int(head[:-1]), head[-1]
        micros = [_micro(word, is_register) for word in words]
        asked: list[Micro] = [(f, key, None if f == "r" else value) for f, key, value in micros]
        for kind in ("<", ":") if sign == "=" else (sign,):
            value = micros if kind == ":" else asked
            yield Event(index=at, time=at, process=process, type=_TYPES[kind], value=value)
            at += 1


def _micro(word: str, is_register: bool) -> Micro:
    found = _MICRO.fullmatch(word)
    assert found is not None, word
    f, key, values = found.groups()
    numbers = [int(it) for it in values.split(",") if it]
    value: Any = numbers[0] if numbers and (f != "r" or is_register) else numbers or None
    return ({"a": "append", "w": "w", "r": "r"}[f], key, value)


def judged(text: str) -> Verdict:
    """The verdict on the history told."""
    return check(pair(events(text)))


def holds(verdict: Verdict, level: str) -> bool | None:
    """Whether the level with that name holds."""
    return verdict.holds(level_of(level))


def strongest(verdict: Verdict) -> list[str]:
    """The names of the strongest levels that hold."""
    return [level.name for level in verdict.strongest]
