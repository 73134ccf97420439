"""The progress bar: for people, and only when there is something to wait for."""

from __future__ import annotations

import io
import sys

import pytest

from mvcc_kv.cli.progress import watched


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("patience_s", [0.0, 3600.0])
@pytest.mark.parametrize("count", [0, 1, 10])
def test_nothing_is_lost_or_changed(monkeypatch: pytest.MonkeyPatch, patience_s: float, count: int) -> None:
    monkeypatch.setattr(sys, "stderr", _Terminal())
    items = list(range(count))
    assert list(watched(items, "Counting", count, patience_s=patience_s)) == items


def test_a_bar_is_drawn_when_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    batches = [["a", "b"], ["c"], ["d", "e"]]
    assert list(watched(batches, "Loading", 5, size_of=len, patience_s=0.0)) == batches
    assert "Loading" in terminal.getvalue()
    assert "5/5" in terminal.getvalue()


def test_nothing_is_drawn_for_what_is_quick_or_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, patience_s in ((_Terminal(), 3600.0), (io.StringIO(), 0.0)):
        monkeypatch.setattr(sys, "stderr", stream)
        assert len(list(watched(range(10), "Counting", 10, patience_s=patience_s))) == 10
        assert stream.getvalue() == ""
