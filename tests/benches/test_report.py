"""Tables and the document that is made of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benches.report import Results, merged, write_report
from benches.tables import Table, table
from benches.targets import Comparison

MACHINE = {
    "cpu": "A Processor",
    "cores": 2,
    "memory_bytes": 8 << 30,
    "system": "Linux",
    "load_before": 0.1,
    "lane": "compiled",
    "mvcc_kv": "0.1.0",
    "python": "CPython 3.11.2",
    "interpreter": "/usr/bin/python3.11",
    "debians": True,
    "pgo": True,
}


def _run(name: str, title: str, *, at: str = "2026-01-01", target: str = "memory") -> dict[str, Any]:
    """The results of a run of one part."""
    made = table(title, "which", "bytes", left=("which",))
    made.add_row("written", "210")
    part = {"at": at, "seconds": 1.0, "rounds": 2, "keys": 1000, "table": made.to_json(), "rows": []}
    comparisons = [Comparison(target, "written", [2.0, 2.2]).to_json()]
    parts = {name: {**part, "comparisons": comparisons}}
    return {"machine": MACHINE, "peers": {"etcd": "3.4"}, "missing": ["strace"], "parts": parts}


def test_a_table_is_rendered_in_markdown() -> None:
    made = table("Title", "which", "bytes", left=("which",))
    made.add_row("a|b", "1")
    made.caption = "and so on"
    assert made.to_markdown() == "| which | bytes |\n| --- | ---: |\n| a\\|b | 1 |\n\nand so on\n"


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="1 cells for the 2 columns of 'Title'"):
        table("Title", "which", "bytes").add_row("a")


def test_a_table_comes_back_from_json() -> None:
    made = table("Title", "which", left=("which",))
    made.add_row("a", end_section=True)
    assert Table.from_json(made.to_json()) == made and made.ends == [0]


def test_the_document_says_where_and_how_and_what_was_reached(tmp_path: Path) -> None:
    written = write_report(Results(_run("memory", "Memory")), tmp_path / "benchmarks.md")
    text = written[0].read_text()
    assert "| memory per key | redis-server | written | 2.10 | 2.00 to 2.20 | ≤ 2.5 | ≤ 1.5 | reached |" in text
    assert "| Python | CPython 3.11.2 (/usr/bin/python3.11, Debian's package; profile-optimised) |" in text
    assert "| etcd | 3.4 |" in text and "| strace | not installed |" in text
    assert "## Memory\n\n| which | bytes |" in text
    assert "`make bench ARGS='--only memory'`, 2026-01-01, 2 rounds of 1 s, 1,000 keys" in text
    assert "Memory for a key: how much the server's resident memory grows" in text


def test_the_picture_is_beside_the_document(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = write_report(Results(_run("memory", "Memory")), tmp_path / "benchmarks.md")
    assert written == [tmp_path / "benchmarks.md", tmp_path / "benchmarks.svg"]
    assert "memory per key, to redis-server" in written[1].read_text()
    assert "](benchmarks.svg)" in written[0].read_text()


def test_runs_under_different_interpreters_are_not_one() -> None:
    other = _run("embedded", "Embedded", target="embedded")
    other["machine"] = {**MACHINE, "interpreter": "/opt/python"}
    with pytest.raises(ValueError, match="interpreter is /opt/python and /usr/bin/python3"):
        merged([_run("memory", "Memory"), other])


def test_of_several_runs_the_latest_figures_of_each_part_count() -> None:
    runs = [
        _run("memory", "Old"),
        _run("embedded", "Embedded", target="embedded"),
        _run("memory", "New", at="2026-01-02"),
    ]
    sections = list(Results(merged(runs)).sections())
    assert [section.splitlines()[0] for section in sections] == ["## Embedded", "## New"]
    assert "2026-01-02" in sections[1]
