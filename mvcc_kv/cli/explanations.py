"""Explanations in files: a text for each kind of anomaly, and a picture of each cycle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from mvcc_kv.stress.checker.graph import LABELS
from mvcc_kv.stress.checker.picture import COLOURS, placed, svg

if TYPE_CHECKING:
    from mvcc_kv.stress.checker.anomalies import Anomaly
    from mvcc_kv.stress.checker.verdict import Verdict

__all__ = ["write_explanations"]

_DRAWN_MAX = 3
_DOTS_PER_INCH = 110
_POINTS_PER_INCH = 72


def write_explanations(verdict: Verdict, directory: Path) -> None:
    """Write `verdict.json`, a text for each kind of anomaly, and of its shortest cycles an SVG each.

    Where matplotlib is installed, also a PNG each.

    Raises `OSError` if that can't be.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "verdict.json").write_text(json.dumps(verdict.to_json(), indent=2) + "\n")
    for name, found in verdict.anomalies.items():
        (directory / f"{name}.txt").write_text("\n\n".join(it.words for it in found) + "\n")
        for number, anomaly in enumerate(found, 1):
            if anomaly.cycle is not None and number <= _DRAWN_MAX:
                _draw(anomaly, [verdict.names[it] for it in anomaly.transactions], directory / f"{name}-{number}")


def _draw(anomaly: Anomaly, names: list[str], path: Path) -> None:
    assert anomaly.cycle is not None
    texts = list(zip(names, anomaly.did, strict=True))
    path.with_suffix(".svg").write_text(svg(anomaly.cycle, texts))
    try:
        import matplotlib as mpl
    except ImportError:
        return  # the SVG says the same
    mpl.use("Agg")
    _draw_png(anomaly, texts, path.with_suffix(".png"))


def _draw_png(anomaly: Anomaly, texts: list[tuple[str, tuple[str, ...]]], path: Path) -> None:
    from matplotlib.figure import Figure

    assert anomaly.cycle is not None
    boxes = placed(texts)
    width = max(it.x + it.width / 2 for it in boxes) + 20
    height = max(it.y + it.height / 2 for it in boxes) + 20
    figure = Figure(figsize=(width / _POINTS_PER_INCH, height / _POINTS_PER_INCH), dpi=_DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    for at, step in enumerate(anomaly.cycle.steps):
        source, target = boxes[at], boxes[(at + 1) % len(boxes)]
        arrow = {"arrowstyle": "-|>", "color": COLOURS[step.label], "connectionstyle": "arc3,rad=0.12", "shrinkB": 30}
        axes.annotate("", xy=(target.x, target.y), xytext=(source.x, source.y), arrowprops={**arrow, "shrinkA": 30})
        aside_x, aside_y = (target.y - source.y) * 0.06, -(target.x - source.x) * 0.06
        middle = ((source.x + target.x) / 2 - aside_x, (source.y + target.y) / 2 - aside_y)
        axes.text(*middle, LABELS[step.label], color=COLOURS[step.label], weight="bold", size=9)
    for box in boxes:
        style = {"boxstyle": "round", "facecolor": "#fbfcfc", "edgecolor": "#34495e"}
        axes.text(box.x, box.y, "\n".join(box.lines), family="monospace", size=8, va="center", ha="center", bbox=style)
    figure.savefig(path)
