"""One unit of the suite, on one server: what passed, what failed, what was not run."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ...e2e.processes import serving

__all__ = ["Outcome", "run"]

_TIMEOUT_S = 120
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_VERDICT = re.compile(r"\[(ok|err|skip|ignore|exception|TIMEOUT)\]: (.*)")
_TOOK = re.compile(r" \(\d+ ms\)$")
_OPTIONS = (
    "--singledb",
    "--durable",
    "--ignore-encoding",
    "--ignore-digest",
    "--tags",
    "-needs:repl -needs:debug -slow",
)


@dataclass
class Outcome:
    """The tests' names by what became of them. `ignored`: by their tags. `output`: all that was printed."""

    passed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    output: str = ""


def run(unit: str, skipped: Sequence[str], source: Path, *, timeout_s: float = _TIMEOUT_S) -> Outcome:
    """Run `unit/<unit>`, but for the tests named. A suite that stops before its end is one more failure."""
    with TemporaryDirectory() as place, serving("--in-memory", cwd=Path(place)) as server:
        skipfile = Path(place) / "skipped"
        skipfile.write_text("\n".join(skipped))
        where = ["--host", server.address[0], "--port", str(server.address[1])]
        command = ["tclsh", "tests/test_helper.tcl", *where, *_OPTIONS, "--skipfile", str(skipfile)]
        status, output = _said([*command, "--single", f"unit/{unit}"], source, timeout_s)
    outcome = judged(output)
    if status != 0 and not outcome.failed or "The End" not in output:
        outcome.failed.append(f"the suite ended before its end, with status {status}: {output[-2000:]}")
    return outcome


def _said(command: list[str], folder: Path, timeout_s: float) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, cwd=folder, timeout=timeout_s, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    except subprocess.TimeoutExpired as late:
        return -1, (late.stdout or b"").decode(errors="replace")
    return done.returncode, done.stdout.decode(errors="replace")


def judged(output: str) -> Outcome:
    """What the suite's output tells.

    >>> judged("[ok]: GET (0 ms)\\n[err]: SET in x.tcl\\nwhy\\n[skip]: LPUSH").passed
    ['GET']
    """
    outcome = Outcome(output=_COLOURS.sub("", output))
    kinds = {"ok": outcome.passed, "skip": outcome.skipped, "ignore": outcome.ignored}
    for line in outcome.output.splitlines():
        if (verdict := _VERDICT.match(line)) is not None:
            kinds.get(verdict[1], outcome.failed).append(_TOOK.sub("", verdict[2]))
    return outcome
