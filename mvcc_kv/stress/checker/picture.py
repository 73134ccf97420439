"""Pictures of cycles, as SVG: the transactions in a circle, and an arrow for each step.

  T1: append x 1
   |         ^
ww |         | rw
   v         |
  T2: r y 2, append x 3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import cos, hypot, pi, sin

from mvcc_kv.stress.checker.cycles import Cycle
from mvcc_kv.stress.checker.graph import LABELS, PROCESS, REALTIME, RW, WR, WW

__all__ = ["COLOURS", "Placed", "placed", "svg"]

COLOURS = {WW: "#c0392b", WR: "#2471a3", RW: "#b9770e", PROCESS: "#7d3c98", REALTIME: "#616a6b"}

_LINE_HEIGHT, _CHARACTER_WIDTH, _PADDING = 16, 7.2, 10
_CHARACTERS_MAX, _LINES_MAX = 44, 8
_BOX_GAP = 70
_BOLD = ' font-weight="bold"'


@dataclass(frozen=True, slots=True)
class Placed:
    """A transaction's box: where its middle is, how large it is, and its lines."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]


def placed(texts: Sequence[tuple[str, Sequence[str]]]) -> list[Placed]:
    """Boxes with these names and lines, around a circle, the first at the top."""
    boxes = [_lines(name, micros) for name, micros in texts]
    width = max(max(map(len, lines)) for lines in boxes) * _CHARACTER_WIDTH + 2 * _PADDING
    height = max(map(len, boxes)) * _LINE_HEIGHT + 2 * _PADDING
    radius = max((hypot(width, height) + _BOX_GAP) / (2 * sin(pi / max(len(boxes), 2))), height)
    centre_x, centre_y = radius + width / 2 + 20, radius + height / 2 + 20
    return [
        Placed(
            centre_x + radius * sin(2 * pi * at / len(boxes)),
            centre_y - radius * cos(2 * pi * at / len(boxes)),
            max(map(len, lines)) * _CHARACTER_WIDTH + 2 * _PADDING,
            len(lines) * _LINE_HEIGHT + 2 * _PADDING,
            lines,
        )
        for at, lines in enumerate(boxes)
    ]


def _lines(name: str, micros: Sequence[str]) -> tuple[str, ...]:
    lines = map(_visible, micros[:_LINES_MAX])
    shown = [it if len(it) <= _CHARACTERS_MAX else f"{it[: _CHARACTERS_MAX - 3]}..." for it in lines]
    return (name, *shown, *(["..."] if len(micros) > _LINES_MAX else []))


def _visible(text: str) -> str:
    """The text with what XML can't hold, or nobody can see, as escapes."""
    return "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in text)


def svg(cycle: Cycle, texts: Sequence[tuple[str, Sequence[str]]]) -> str:
    """The cycle as an SVG document; `texts` are each transaction's name and what it did, in the order of the steps."""
    boxes = placed(texts)
    width = max(it.x + it.width / 2 for it in boxes) + 20
    height = max(it.y + it.height / 2 for it in boxes) + 20
    parts = [_HEAD.format(width=round(width), height=round(height), title=escape(cycle.name))]
    for at, step in enumerate(cycle.steps):
        parts.append(_arrow(boxes[at], boxes[(at + 1) % len(boxes)], step.label, is_pair=len(boxes) == 2))
    parts += map(_box, boxes)
    return "\n".join([*parts, "</svg>\n"])


_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" \
font-family="monospace" font-size="12">
<title>{title}</title>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">\
<path d="M0 0L10 5L0 10z" fill="context-stroke"/></marker></defs>
<rect width="100%" height="100%" fill="white"/>"""


def _box(box: Placed) -> str:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    rows = [
        f'<text x="{left + _PADDING:.1f}" y="{top + _PADDING + _LINE_HEIGHT * (at + 0.75):.1f}"'
        f"{_BOLD if not at else ''}>{escape(line)}</text>"
        for at, line in enumerate(box.lines)
    ]
    frame = (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="6" '
        f'fill="#fbfcfc" stroke="#34495e"/>'
    )
    return "\n".join([frame, *rows])


def _arrow(source: Placed, target: Placed, label: int, *, is_pair: bool) -> str:
    """From edge to edge of the boxes; of two boxes the arrows there and back are side by side."""
    aside = 22.0 if is_pair else 0.0
    along_x, along_y = target.x - source.x, target.y - source.y
    length = hypot(along_x, along_y) or 1.0
    shift_x, shift_y = -along_y / length * aside, along_x / length * aside
    start = _edge(source, along_x, along_y, shift_x, shift_y)
    end = _edge(target, -along_x, -along_y, shift_x, shift_y)
    colour, word = COLOURS[label], LABELS[label]
    middle_x, middle_y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" stroke="{colour}" '
        f'stroke-width="1.8" marker-end="url(#tip)"/>\n'
        f'<text x="{middle_x + 6:.1f}" y="{middle_y - 4:.1f}" fill="{colour}" font-weight="bold">{word}</text>'
    )


def _edge(box: Placed, to_x: float, to_y: float, shift_x: float, shift_y: float) -> tuple[float, float]:
    """Where a line from the box's middle, moved aside, leaves the box."""
    scale_x = (box.width / 2 + 3) / abs(to_x) if to_x else float("inf")
    scale_y = (box.height / 2 + 3) / abs(to_y) if to_y else float("inf")
    scale = min(scale_x, scale_y)
    return box.x + shift_x + to_x * scale, box.y + shift_y + to_y * scale
