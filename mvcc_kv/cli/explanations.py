"""Explanations in files: a text for each kind of anomaly, and a picture of each cycle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvcc_kv.stress.checker.graph import LABELS
from mvcc_kv.stress.checker.picture import COLOURS, placed, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mvcc_kv.stress.checker.anomalies import Anomaly
    from mvcc_kv.stress.checker.verdict import Verdict

__all__ = ["remove_explanations", "write_explanations"]

_DRAWN_MAX = 3
_DRAWN_TRANSACTIONS_MAX = 40
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
        (directory / f"{name}.txt").write_text("\n\n".join(map(_in_words, found)) + "\n")
        for number, anomaly in enumerate(found[:_DRAWN_MAX], 1):
            if _is_drawn(anomaly):
                _draw(anomaly, [verdict.names[it] for it in anomaly.transactions], directory / f"{name}-{number}")


def remove_explanations(directory: Path) -> None:
    """Take away what an earlier run wrote there, of one history or of several, and nothing else.

    Raises `OSError` if that can't be.
    """
    for line in directory.glob("line-*"):
        if _remove(line) and not any(line.iterdir()):
            line.rmdir()
    _remove(directory)


def _remove(directory: Path) -> bool:
    """Take away the verdict that is there, and what it tells of; whether there was one."""
    path = directory / "verdict.json"
    try:
        names = json.loads(path.read_text())["anomalies"]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return False
    path.unlink()
    for name in names:
        if (directory / name).parent == directory:
            (directory / f"{name}.txt").unlink(missing_ok=True)
            for number in range(1, _DRAWN_MAX + 1):
                for suffix in ("svg", "png"):
                    (directory / f"{name}-{number}.{suffix}").unlink(missing_ok=True)
    return True


def _in_words(anomaly: Anomaly) -> str:
    if anomaly.cycle is None or _is_drawn(anomaly):
        return anomaly.words
    return f"{anomaly.words}\n(no picture: {len(anomaly.transactions):,} transactions are too many for one)"


def _is_drawn(anomaly: Anomaly) -> bool:
    return anomaly.cycle is not None and len(anomaly.transactions) <= _DRAWN_TRANSACTIONS_MAX


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
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a font without some letter shows a box in its place
        _figure(anomaly, texts).savefig(path)


def _figure(anomaly: Anomaly, texts: list[tuple[str, tuple[str, ...]]]) -> Figure:
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
        words = "\n".join(box.lines)
        look: dict[str, Any] = {"family": "monospace", "size": 8, "va": "center", "ha": "center", "parse_math": False}
        axes.text(box.x, box.y, words, bbox=style, **look)
    return figure
