"""The transcripts in the documents are true: each is played again and compared, word for word.

A transcript is a fenced block whose first line is a command:

    ```console
    $ mvcc-kv play tests/golden/lost_update.txt --show-chains
    ...
    ```

`UPDATE_GOLDEN=1 pytest tests/test_walkthrough.py` writes what is printed now into the documents.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mvcc_kv.cli.app import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.joinpath("docs").glob("*.md"))]
UPDATES = os.environ.get("UPDATE_GOLDEN") == "1"

_TRANSCRIPT = re.compile(
    r"(?P<opening>^```console\n\$ mvcc-kv (?P<arguments>play [^\n]*)\n)(?P<output>.*?)(?P<closing>^```$)", re.M | re.S
)


def _transcripts(document: Path) -> list[re.Match[str]]:
    return list(_TRANSCRIPT.finditer(document.read_text())) if document.exists() else []


@pytest.fixture(autouse=True)
def plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_transcripts_are_what_is_printed(document: Path) -> None:
    if UPDATES and _transcripts(document):
        document.write_text(_TRANSCRIPT.sub(_played_again, document.read_text()))
    for transcript in _transcripts(document):
        assert transcript["output"] == _printed(transcript["arguments"]), f"$ mvcc-kv {transcript['arguments']}"


def test_the_walkthrough_is_played() -> None:
    design = ROOT / "docs" / "design.md"
    if "$ mvcc-kv play" in (design.read_text() if design.exists() else ""):
        assert _transcripts(design), "docs/design.md shows a play in a block that is not of the form above"


def test_a_transcript_is_found_and_written_anew() -> None:
    arguments = "play tests/golden/lost_update.txt"
    text = f"Look:\n\n```console\n$ mvcc-kv {arguments}\nlong ago\n```\n\n```python\n$ mvcc-kv play nothing\n```\n"
    updated = _TRANSCRIPT.sub(_played_again, text)
    assert "long ago" not in updated
    assert "CONFLICT a (start_ts 0, won by commit_ts 1)" in updated
    assert _TRANSCRIPT.sub(_played_again, updated) == updated
    assert updated.endswith("```\n\n```python\n$ mvcc-kv play nothing\n```\n")


def _played_again(transcript: re.Match[str]) -> str:
    return transcript["opening"] + _printed(transcript["arguments"]) + transcript["closing"]


def _printed(arguments: str) -> str:
    result = CliRunner().invoke(app, shlex.split(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout
