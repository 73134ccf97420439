"""docs/isolation.md and the scripts in tests/golden/isolation agree: what one claims, the other shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "isolation.md"
SCRIPTS = sorted(ROOT.joinpath("tests", "golden", "isolation").glob("*.txt"))
ANOMALIES = [path.stem.removesuffix("_snapshot") for path in SCRIPTS if path.stem.endswith("_snapshot")]

_LINK = re.compile(r"\[(?P<words>[^\]]*)\]\((?P<target>[^)]*\.txt)\)")
_VERDICTS = {"prevented": "prevents it", "possible": "allows it"}

each_anomaly = pytest.mark.parametrize("anomaly", ANOMALIES)


def test_every_script_that_the_document_names_exists() -> None:
    links = [link["target"] for link in _LINK.finditer(DOCUMENT.read_text())]
    assert len(links) >= 30
    for link in links:
        assert DOCUMENT.parent.joinpath(link).resolve().is_file(), link


def test_every_isolation_script_is_linked_from_the_document() -> None:
    links = {Path(link["target"]).name for link in _LINK.finditer(DOCUMENT.read_text())}
    assert [path.name for path in SCRIPTS if path.name not in links] == []


def test_every_published_anomaly_has_its_scripts() -> None:
    hermitage = "g0 g1a g1b g1c otv pmp pmp_write p4 g_single g_single_predicate g_single_write g2_item g2 g2_two_edges"
    assert set(ANOMALIES) == {f"hermitage_{name}" for name in hermitage.split()} | {"read_only_anomaly"}


@each_anomaly
def test_both_levels_are_asked_the_same(anomaly: str) -> None:
    assert _asked(anomaly, "snapshot") == _asked(anomaly, "serializable")


@each_anomaly
@pytest.mark.parametrize("level", ["snapshot", "serializable"])
def test_the_cell_says_what_the_script_says(anomaly: str, level: str) -> None:
    cells = [
        link["words"]
        for link in _LINK.finditer(DOCUMENT.read_text())
        if link["target"].endswith(f"/{anomaly}_{level}.txt")
    ]
    about = " ".join(line[2:] for line in _script(anomaly, level).splitlines() if line.startswith("# "))
    assert len(cells) == 1
    assert f"{level.upper()} {_VERDICTS[cells[0]]}" in about


def test_every_footnote_is_there_and_is_used() -> None:
    text = DOCUMENT.read_text()
    defined = re.findall(r"^\[\^([\w-]+)\]: ", text, re.M)
    used = set(re.findall(r"(?<=.)\[\^([\w-]+)\]", text))
    assert len(defined) == len(set(defined))
    assert set(defined) == used


def _script(anomaly: str, level: str) -> str:
    return ROOT.joinpath("tests", "golden", "isolation", f"{anomaly}_{level}.txt").read_text()


def _asked(anomaly: str, level: str) -> list[str]:
    steps = _script(anomaly, level).partition("\n---\n")[0].splitlines()
    assert any(f'"isolation": "{level}"' in step for step in steps)
    return [step.replace(f'"{level}"', '"level"') for step in steps if not step.startswith("#")]
