"""The picture of the ratios: a dot for each row that has a target, a line from its worst round to its best.

                      worse   target     wish
GET, depth 1            |        :  --o-- :         o    the median of the rounds
SET, depth 1            | --o--  :        :         :    the target, and what is wished
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benches.targets import TARGETS, Comparison

__all__ = ["draw"]

_COLOURS = {"reached, and the wish too": "#1a7f37", "reached": "#7fb800", "NOT REACHED": "#cf222e"}
_ROW_INCHES = 0.28
_WIDTH_INCHES = 10.0


def draw(comparisons: Sequence[Comparison], path: Path) -> bool:
    """Write the picture, where there is something to draw and matplotlib to draw with; whether it was."""
    measured = [it for it in comparisons if it.rounds]
    if not measured or importlib.util.find_spec("matplotlib") is None:
        return False
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "mvcc-kv", "svg.fonttype": "none"})
    from matplotlib import pyplot

    groups = [(name, [it for it in measured if it.target == name]) for name in TARGETS]
    shown = [(name, rows) for name, rows in groups if rows]
    heights = [len(rows) + 1.6 for _, rows in shown]
    size = (_WIDTH_INCHES, _ROW_INCHES * sum(heights))
    figure, axes = pyplot.subplots(
        len(shown), 1, figsize=size, height_ratios=heights, squeeze=False, layout="constrained"
    )
    for (name, rows), [axis] in zip(shown, axes, strict=True):
        _draw_group(axis, name, rows)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True


def _draw_group(axis: Any, name: str, rows: Sequence[Comparison]) -> None:
    target = TARGETS[name]
    for number, it in enumerate(rows):
        colour = _COLOURS[it.verdict]
        axis.plot([min(it.rounds), max(it.rounds)], [number, number], color=colour, linewidth=2)
        axis.plot([it.ratio], [number], marker="o", color=colour)
    axis.axvline(target.least, color="black", linestyle="--", linewidth=1)
    axis.axvline(target.wished, color="gray", linestyle=":", linewidth=1)
    axis.set_xscale("log")
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_yticks(range(len(rows)), [it.row for it in rows], fontsize=8)
    least, wished = target.bounds()
    axis.set_title(f"{target.work}, to {target.against}: {least} (dashed), wished {wished}", fontsize=9, loc="left")
    _plain_ticks(axis, [*(value for it in rows for value in it.rounds), target.least, target.wished])


def _plain_ticks(axis: Any, values: Sequence[float]) -> None:
    """Numbers as one reads them, not powers of ten."""
    marks = [digit * 10.0**power for power in range(-3, 4) for digit in (1, 2, 5)]
    low, high = min(values) / 1.3, max(values) * 1.3
    axis.set_xlim(low, high)
    inside = [mark for mark in marks if low <= mark <= high]
    axis.set_xticks(inside, [f"{mark:g}" for mark in inside], fontsize=8)
    axis.minorticks_off()
