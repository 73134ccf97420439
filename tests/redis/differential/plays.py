"""Whole transactions, from WATCH to EXEC, with what others do meanwhile: `Line`s, each said by one of two clients.

    watcher   WATCH a            MULTI  INCR a             EXEC
    other              SET a 1                  PERSIST a

Drawn as one step, so that each of them comes to its end, and every place that another's write can take is tried.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from .everyday import DEEDS, SPOILT, WATCHED, WRITES
from .grammar import Arguments

__all__ = ["Line", "bursts", "plays"]

_BURST = st.integers(1, 16)


class Line(NamedTuple):
    """One command of a play; `is_other`: not the watcher says it."""

    command: Arguments
    is_other: bool


_SPEAK: dict[str, st.SearchStrategy[Line]] = {
    "own": DEEDS.map(lambda it: Line(it, False)),
    "other's": WRITES.map(lambda it: Line(it, True)),
    "watch": st.sampled_from(WATCHED).map(lambda it: Line(it, False)),
    "unwatch": st.just(Line([b"UNWATCH"], False)),
    "spoilt": st.sampled_from(SPOILT).map(lambda it: Line(it, False)),
}
_FIRST = st.sampled_from(["watch"] * 5 + ["own"])
_BEFORE = st.sampled_from(["other's"] * 4 + ["watch"] * 2 + ["own", "unwatch"])
_QUEUED = st.sampled_from(["own"] * 5 + ["other's"] * 4 + ["spoilt"])
_END = st.sampled_from([b"EXEC"] * 9 + [b"DISCARD"])
_FEW, _SOME = st.integers(0, 4), st.integers(1, 5)


@st.composite
def bursts(draw: st.DrawFn) -> list[Arguments]:
    """What one client says at one go."""
    return [draw(DEEDS) for _ in range(draw(_BURST))]


@st.composite
def plays(draw: st.DrawFn) -> list[Line]:
    """A transaction's lines, in their order."""
    kinds = [draw(_FIRST), *(draw(_BEFORE) for _ in range(draw(_FEW)))]
    before = [draw(_SPEAK[kind]) for kind in kinds]
    queued = [draw(_SPEAK[draw(_QUEUED)]) for _ in range(draw(_SOME))]
    return [*before, Line([b"MULTI"], False), *queued, Line([draw(_END)], False)]
