"""What is said of a failing schedule: its steps as a table, how it was found, and how to have it again.

    t1: GET alice            100
        t2: GET alice        100
        t2: PUT alice 95     Ok
    t1: PUT alice 90         Ok

A client's steps stand in its own column of indents, the answers beside them, as in `mvcc-kv play`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mvcc_kv.stress.schedule.choosing import written
from mvcc_kv.stress.schedule.interleaver import EndlessError, Step, StuckError
from mvcc_kv.stress.schedule.program import Run

__all__ = ["Finding", "InterleavingError", "told"]

_INDENT = 4
_COLUMN_MAX = 60
_STEPS_SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """A schedule that fails: as it was found, and `shrunk`, None if it didn't fail a second time."""

    found: Run
    number: int
    shrunk: Run | None
    runs: int
    origin: str  # which search it was, such as "seed 5"

    @property
    def run(self) -> Run:
        """The one to look at."""
        return self.shrunk or self.found


class InterleavingError(AssertionError):
    """A schedule of the clients fails; its cause is the exception. The message has the steps, and how to replay them.

    `schedule`: the shrunk one, as `replay` takes it. `lines`: its steps. `seed`: of the search, if there was one.
    """

    def __init__(self, finding: Finding, names: Sequence[str], seed: int | None) -> None:
        self.schedule = written(finding.run.schedule, names)
        self.lines = tuple(told(finding.run.trace, names))
        self.seed = seed
        super().__init__(_report(finding, self.lines, self.schedule))


def told(trace: Sequence[Step], names: Sequence[str]) -> list[str]:
    """The steps as a table."""
    taking_part = sorted({step.client for step in trace})
    lanes = {client: lane for lane, client in enumerate(taking_part)}
    said = [f"{' ' * (_INDENT * lanes[it.client])}{names[it.client]}: {it.operation.text}" for it in trace]
    width = max((len(text) for text in said if len(text) <= _COLUMN_MAX), default=_COLUMN_MAX)
    return [f"{text:{width}}  {step.answer}".rstrip() for text, step in zip(said, trace, strict=True)]


def _report(finding: Finding, lines: Sequence[str], schedule: str) -> str:
    failure = finding.run.failure
    assert failure is not None, "only what failed is reported"
    shown = lines if len(lines) <= _STEPS_SHOWN_MAX else [f"... {len(lines)} steps, the last:", *lines[-40:]]
    return "\n".join(
        [
            f"{failure.where}: {_words(failure.error)}",
            *(["", *(f"    {line}" for line in shown)] if shown else []),
            "",
            _how_found(finding),
            *([f'Have it again with run(replay="{schedule}").'] if schedule else []),
        ]
    )


def _words(error: BaseException) -> str:
    """The error in a line; what is more of it, the cause of the exception tells. Ours say where somebody stands."""
    if isinstance(error, StuckError | EndlessError):
        return str(error)
    first, *_ = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _how_found(finding: Finding) -> str:
    which = f"Schedule {finding.number} of {finding.origin}"
    if finding.runs == 0:
        return f"{which}."
    if finding.shrunk is None:
        return (
            f"{which}. Played again it did not fail: the code depends on something besides the schedule, such as the "
            "time, chance, or what an earlier schedule has left behind."
        )
    if not finding.shrunk.schedule:
        return f"{which}. It fails before any client's first operation: there is no race."
    if finding.shrunk.switches < len(set(finding.shrunk.schedule)):
        return f"{which}. It fails even when the clients run one after the other."
    before, after = finding.found, finding.shrunk
    if before.cost == after.cost:
        return f"{which}. No smaller one was found."
    return (
        f"{which}, shrunk by {finding.runs} more from {before.switches} switches in {len(before.schedule)} steps "
        f"to {after.switches} in {len(after.schedule)}."
    )
