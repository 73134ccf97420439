"""What a run comes to: `held`, `violated`, or `invalid` because too little happened to say anything.

violated    something was seen that the level, the feed or durability forbids          exit status 1
invalid     no violation; but few commits, no conflict where clients fight over keys,
            a kind of fault or a workload that never came, a target that was gone in
            the end, or a harness that failed                                          exit status 2
held        neither                                                                    exit status 0

Of a run that was interrupted what there is has been judged; its exit status is 130 unless something was violated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mvcc_kv.stress.history import Event
from mvcc_kv.stress.plan import Checked, Operation, Workload, operations
from mvcc_kv.stress.runner import Load, Run

__all__ = ["CHECKED", "Expected", "Judge", "Judged", "Summary", "latencies", "part_events", "percentile", "summarize"]

Status = Literal["held", "violated", "invalid"]
CHECKED = ("list-append", "register")
"""The workloads whose histories a checker can make a graph of."""
EXIT_STATUS: dict[str, int] = {"held": 0, "violated": 1, "invalid": 2}
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Judged:
    """What the checker says of one workload's history: violations, what it looked at, and what it couldn't tell."""

    workload: str
    violations: list[str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    undecided: str | None = None


Judge = Callable[[str, Sequence[Event], str], "Judged | None"]
"""Checks a history (of that workload, at that level); None if it can't check that kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What has to happen for a run to say something."""

    commits: int = 100
    conflicts: int = 1
    faults: Sequence[str] = ()


@dataclass(slots=True, kw_only=True)
class Summary:
    """The verdict, and the figures of a run."""

    status: Status
    violations: list[str]
    reasons: list[str]
    workload: str
    isolation: str
    elapsed_s: float
    commits: int
    conflicts: int
    outcomes: dict[str, int]
    latency_ms: dict[str, float]
    faults: dict[str, int]
    checked: dict[str, int]
    judged: list[dict[str, Any]]
    is_interrupted: bool = False

    @property
    def exit_status(self) -> int:
        """What the command ends with."""
        return _INTERRUPTED if self.is_interrupted and self.status != "violated" else EXIT_STATUS[self.status]


def summarize(run: Run, work: Workload, load: Load, expected: Expected, judge: Judge | None = None) -> Summary:
    """The verdict over a run: the workload's own checks, the feed's, the target's complaints and the checker's."""
    steps = operations([event for event in run.events if event.f != "audit"])
    checked = Checked() if run.final is None else work.check(steps, run.final, load.isolation)
    if run.feed is not None:
        checked.include(run.feed.check(run.notes))
    for complaint in run.complaints:
        checked.violated("target", complaint)
    judged = [it for it in _judged(run.events, work, load, judge) if it is not None]
    violations = checked.violations + [f"{it.workload}: {violation}" for it in judged for violation in it.violations]
    outcomes = _outcomes(run.events)
    faults = Counter(fault.kind for fault in run.faults)
    reasons = [*_too_little(outcomes, faults, expected), *_idle(steps, work), *run.errors, *_surprises(outcomes)]
    reasons += [f"{it.workload}: {it.undecided}" for it in judged if it.undecided is not None]
    return Summary(
        status="violated" if violations else "invalid" if reasons else "held",
        violations=violations,
        reasons=reasons,
        workload=work.name,
        isolation=load.isolation,
        elapsed_s=round(run.elapsed_s, 3),
        commits=outcomes.get("ok", 0),
        conflicts=outcomes.get("fail CONFLICT", 0),
        outcomes=outcomes,
        latency_ms=_latencies_ms(run.events),
        faults=dict(faults),
        checked=checked.counts,
        judged=[{"workload": it.workload, "violations": len(it.violations), **it.facts} for it in judged],
        is_interrupted=run.is_interrupted,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of the ordered values lies; 0 if there are none."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def part_events(events: Sequence[Event], prefix: str) -> list[Event]:
    """The events of the workload whose keys begin so, with the indexes that all have; of the audit what concerns it."""
    found: list[Event] = []
    for event in events:
        value = [it for it in event.value if str(it[1]).startswith(prefix)]
        if value:
            found.append(
                Event(
                    index=event.index,
                    time=event.time,
                    process=event.process,
                    type=event.type,
                    f="txn",
                    value=value,
                    isolation=event.isolation,
                    error=event.error,
                )
            )
    return found


def _judged(events: Sequence[Event], work: Workload, load: Load, judge: Judge | None) -> list[Judged | None]:
    if judge is None:
        return []
    return [judge(part.name, part_events(events, part.prefix), load.isolation) for part in _parts(work)]


def _parts(work: Workload) -> Sequence[Workload]:
    """The workloads of a mixture, or the one."""
    parts: Sequence[Workload] = getattr(work, "parts", (work,))
    return parts


def _idle(steps: Sequence[Operation], work: Workload) -> list[str]:
    """Workloads of which no step committed: nothing was seen of what they are for."""
    committed = [step.asked[0][1] for step in steps if step.type == "ok"]
    idle = [part.name for part in _parts(work) if not any(key.startswith(part.prefix) for key in committed)]
    return [f"no step of {', '.join(idle)} committed, so nothing was tested by it; give it more time"] if idle else []


def _outcomes(events: Sequence[Event]) -> dict[str, int]:
    """How many steps ended how: `ok`, `fail CONFLICT`, `info COMMIT_UNKNOWN`, ... The audit doesn't count."""
    ends = [event for event in events if event.type != "invoke" and event.f != "audit"]
    return dict(Counter(event.type if event.error is None else f"{event.type} {event.error}" for event in ends))


_USUAL = {"CONFLICT", "ROLLBACK", "UNAVAILABLE", "COMMIT_UNKNOWN", "TIMEOUT", "SNAPSHOT_GONE", "TRANSACTION_DOOMED"}


def _surprises(outcomes: Mapping[str, int]) -> list[str]:
    """Errors that no step should meet: a limit that is too low for the workload, a harness that asks nonsense."""
    strange = {what: n for what, n in outcomes.items() if " " in what and what.split(" ")[1] not in _USUAL}
    return [f"{number} steps ended with {what}" for what, number in strange.items()]


def _too_little(outcomes: Mapping[str, int], faults: Mapping[str, int], expected: Expected) -> list[str]:
    reasons = []
    if outcomes.get("ok", 0) < expected.commits:
        reasons.append(f"only {outcomes.get('ok', 0)} steps committed; at least {expected.commits} should have")
    if outcomes.get("fail CONFLICT", 0) < expected.conflicts:
        reasons.append("no conflict: the clients never met; use more clients, fewer keys or more time")
    missing = [kind for kind in expected.faults if not faults.get(kind)]
    if missing:
        reasons.append(f"there was no fault of the kind {', '.join(missing)}; give it more time")
    return reasons


def _latencies_ms(events: Sequence[Event]) -> dict[str, float]:
    taken = sorted(ms for _, ms, _ in latencies(events))
    return {
        name: round(percentile(taken, share), 3)
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1))
    }


def latencies(events: Sequence[Event]) -> list[tuple[float, float, Event]]:
    """Of each step that committed: when it ended in seconds, how long it took in milliseconds, and its end."""
    begun: dict[int, int] = {}
    found = []
    for event in events:
        if event.type == "invoke":
            begun[event.process] = event.time
        elif event.type == "ok" and event.f != "audit":
            found.append((event.time / 1e9, (event.time - begun[event.process]) / 1e6, event))
    return found
