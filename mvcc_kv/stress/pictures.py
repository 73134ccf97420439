"""Pictures of a run, drawn by matplotlib: throughput and latency over time with the faults marked, and percentiles.

matplotlib comes with `pip install mvcc-kv[stress]`. Without it there are no pictures, and the report says so.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from mvcc_kv.stress.history import Event
from mvcc_kv.stress.nemesis import FaultEvent
from mvcc_kv.stress.verdict import latencies, percentile

__all__ = ["PICTURES", "can_draw", "draw"]

PICTURES = ("throughput", "latency", "percentiles")

_SLICES = 60
_PIXELS_AN_INCH = 110
_COLOURS = {"ok": "#2e8b57", "fail": "#e0a030", "info": "#c03030"}
_SHARES = [0.0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999]


def can_draw() -> bool:
    """Whether matplotlib is there."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(events: Sequence[Event], faults: Sequence[FaultEvent], elapsed_s: float) -> dict[str, bytes]:
    """Each picture's PNG by its name; none without matplotlib."""
    if not can_draw():
        return {}
    return {
        "throughput": _png(lambda axes: _throughput(axes, events, elapsed_s), faults),
        "latency": _png(lambda axes: _latency(axes, events, elapsed_s), faults),
        "percentiles": _png(lambda axes: _percentiles(axes, events), ()),
    }


def _png(fill: Callable[[Any], None], faults: Sequence[FaultEvent]) -> bytes:
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.add_subplot()
    fill(axes)
    _mark(axes, faults)
    axes.grid(alpha=0.3)
    written = BytesIO()
    figure.savefig(written, format="png", dpi=_PIXELS_AN_INCH)
    return written.getvalue()


def _mark(axes: Any, faults: Sequence[FaultEvent]) -> None:
    """A band for each fault, with its name."""
    for fault in faults:
        begun_s, ended_s = fault.begun_ns / 1e9, fault.ended_ns / 1e9
        axes.axvspan(begun_s, max(ended_s, begun_s + 0.02), color="#8060c0", alpha=0.18, linewidth=0)
        place = {"xycoords": ("data", "axes fraction"), "rotation": 90, "va": "top", "fontsize": 7, "color": "#604090"}
        axes.annotate(fault.kind, (begun_s, 0.98), **place)


def _throughput(axes: Any, events: Sequence[Event], elapsed_s: float) -> None:
    width_s = _width_s(elapsed_s)
    for kind, label in (("ok", "committed"), ("fail", "failed"), ("info", "unknown")):
        ends = [event for event in events if event.type == kind and event.f != "audit"]
        counts = Counter(int(event.time / 1e9 / width_s) for event in ends)
        if counts:
            slices = range(int(elapsed_s / width_s) + 1)
            heights = [counts[at] / width_s for at in slices]
            axes.step([at * width_s for at in slices], heights, where="post", label=label, color=_COLOURS[kind])
    _finish(axes, "seconds", "steps a second", "Throughput")
    axes.set_ylim(bottom=0)


def _latency(axes: Any, events: Sequence[Event], elapsed_s: float) -> None:
    width_s = _width_s(elapsed_s)
    slices: dict[int, list[float]] = {}
    for at_s, ms, _ in latencies(events):
        slices.setdefault(int(at_s / width_s), []).append(ms)
    moments = [at * width_s for at in sorted(slices)]
    ordered = [sorted(slices[at]) for at in sorted(slices)]
    for share, label in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99")):
        axes.plot(moments, [percentile(taken, share) for taken in ordered], label=label, linewidth=1, marker=".")
    axes.set_yscale("log")
    _finish(axes, "seconds", "milliseconds", "Latency of what committed")


def _percentiles(axes: Any, events: Sequence[Event]) -> None:
    taken = sorted(ms for _, ms, _ in latencies(events))
    shares = [share for share in _SHARES if share < 1 - 1 / max(len(taken), 2)]
    axes.plot(range(len(shares)), [percentile(taken, share) for share in shares], marker="o", label="committed")
    axes.set_xticks(range(len(shares)), [f"{share:.4%}".rstrip("0%").rstrip(".") + "%" for share in shares])
    axes.set_yscale("log")
    _finish(axes, "share of the steps", "milliseconds", "Percentiles of latency")


def _finish(axes: Any, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=10)
    if axes.has_data():
        axes.legend(loc="lower right", fontsize=8)


def _width_s(elapsed_s: float) -> float:
    return max(elapsed_s / _SLICES, 0.05)
