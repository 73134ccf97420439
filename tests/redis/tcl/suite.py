"""One unit of the suite, on one server: what passed, what failed, what was not run."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ...e2e.processes import serving

__all__ = ["Outcome", "run"]

_TIMEOUT_S = 120
_SAVING = ("other",)
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
    with TemporaryDirectory() as place, serving(*_served(unit), cwd=Path(place)) as server:
        skipfile = Path(place) / "skipped"
        skipfile.write_text("\n".join(skipped))
        where = ["--host", server.address[0], "--port", str(server.address[1])]
        where += ["--baseport", str(_base_port())]
        command = ["tclsh", "tests/test_helper.tcl", *where, *_OPTIONS, "--skipfile", str(skipfile)]
        status, output = _said([*command, "--single", f"unit/{unit}"], source, timeout_s)
    outcome = judged(output)
    if (status != 0 and not outcome.failed) or "The End" not in output:
        outcome.failed.append(f"the suite ended before its end, with status {status}: {outcome.output[-2000:]}")
    return outcome


def _served(unit: str) -> list[str]:
    """The server's options. One unit has a test of SAVE, which wants a disk."""
    return ["--data-dir", "data", "--fsync", "never"] if unit in _SAVING else ["--in-memory"]


def _said(command: list[str], folder: Path, timeout_s: float) -> tuple[int, str]:
    """The exit status and what was printed. The suite is several processes: whatever happens, none is left."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output


def _base_port() -> int:
    """The suite's own server listens 32 ports below this, and wants the port 10,000 above too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 50_000:
            return port + 32


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
