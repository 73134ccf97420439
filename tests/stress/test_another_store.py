"""The harness on a store that is not ours, as docs/testing.md shows it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mvcc_kv.errors import ConflictError
from mvcc_kv.stress.mixture import Mixture
from mvcc_kv.stress.verdict import Summary
from mvcc_kv.stress.workloads import WORKLOADS, ListAppend

DOCUMENT = Path(__file__).parents[2] / "docs" / "testing.md"
_EXAMPLE = re.compile(r"^### Another store, from Python$.*?^```python\n(.*?)^```", re.M | re.S)


class Shelf:
    """The least that the document asks of a store: all of it in one dict, whoever comes second has lost."""

    def __init__(self, *, checks: bool = True) -> None:
        self.lock = threading.Lock()
        self.content: dict[str, Any] = {}
        self.checks = checks

    def begin(self, options: Any) -> Borrowed:
        assert (options.at, options.label) == (None, None)
        return Borrowed(self)

    def get(self, key: str) -> Any:
        return self.content.get(key)

    def put(self, key: str, value: Any) -> None:
        with self.lock:
            self.content = {**self.content, key: value}

    def add(self, key: str, by: int) -> int:
        with self.lock:
            total: int = self.content.get(key, 0) + by
            self.content = {**self.content, key: total}
            return total


class Borrowed:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._found = shelf.content
        self._content = dict(self._found)

    def get(self, key: str) -> Any:
        return self._content.get(key)

    def put(self, key: str, value: Any) -> None:
        self._content[key] = value

    def delete(self, key: str) -> bool:
        return self._content.pop(key, None) is not None

    def add(self, key: str, by: int) -> None:
        self._content[key] = self._content.get(key, 0) + by

    def scan(self, *, prefix: str, limit: int | None = None) -> Iterator[tuple[str, Any]]:
        keys = sorted(key for key in self._content if key.startswith(prefix))
        return iter([(key, self._content[key]) for key in keys[:limit]])

    def commit(self) -> int:
        if self._content == self._found:
            return 0
        with self._shelf.lock:
            if self._shelf.checks and self._shelf.content is not self._found:
                raise ConflictError("somebody else was here first")
            self._shelf.content = self._content
        return 0

    def rollback(self) -> None:
        pass


@pytest.fixture(scope="module")
def stress() -> Callable[..., Summary]:
    """The document's example."""
    found = _EXAMPLE.search(DOCUMENT.read_text())
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)
    example: Callable[..., Summary] = names["stress"]
    return example


def test_a_store_with_no_more_than_the_document_says_can_be_stressed(
    stress: Callable[..., Summary], tmp_path: Path
) -> None:
    parts = tuple(WORKLOADS[name](prefix=f"{name}/", seed=1) for name in WORKLOADS if name != "pairs")
    summary = stress(Shelf, Mixture(parts, (1.0,) * len(parts), seed=1), tmp_path, seconds=0.8)
    assert summary.status == "held", (summary.violations, summary.reasons)
    assert (tmp_path / "report.html").exists()


def test_one_that_loses_updates_is_found_out(stress: Callable[..., Summary], tmp_path: Path) -> None:
    summary = stress(lambda: Shelf(checks=False), ListAppend(seed=1), tmp_path, seconds=0.1)
    assert summary.status == "violated"
