"""The checker as the judge of a run: was the level that was asked for the one that the clients saw?

Both levels promise real time (docs/isolation.md), so a run at `snapshot` is held to strong snapshot isolation, and one
at `serializable` to strict serializability.
"""

from __future__ import annotations

from collections.abc import Sequence

from mvcc_kv.stress.checker.checking import check
from mvcc_kv.stress.checker.histories import pair
from mvcc_kv.stress.checker.models import Level
from mvcc_kv.stress.checker.verdict import Verdict
from mvcc_kv.stress.history import Event
from mvcc_kv.stress.verdict import CHECKED, Judged

__all__ = ["judge"]

PROMISED = {
    "snapshot": Level("snapshot-isolation", "realtime"),
    "serializable": Level("serializable", "realtime"),
}
_ALLOWED: tuple[str, ...] = ("G2",)  # of snapshots: write skew


def judge(workload: str, events: Sequence[Event], isolation: str) -> Judged | None:
    """What the checker says of the history of that workload; None if it is of a kind that it doesn't know."""
    if workload not in CHECKED:
        return None
    wanted = PROMISED[isolation]
    verdict = check(pair(events))
    holds = verdict.holds(wanted)
    facts = {
        "transactions": verdict.counts.transactions,
        "unknown": verdict.counts.unknown,
        wanted.name: {True: "holds", False: "does not hold", None: "not known"}[holds],
    }
    undecided = f"whether {wanted.name} holds would take the checker too long" if holds is None else None
    return Judged(workload, _violations(verdict, wanted) if holds is False else [], facts, undecided)


def _violations(verdict: Verdict, wanted: Level) -> list[str]:
    """One of each kind of anomaly that the level forbids, in words."""
    allowed: tuple[str, ...] = _ALLOWED if wanted == PROMISED["snapshot"] else ()
    told = [f"{name}: {found[0].words}" for name, found in verdict.anomalies.items() if not name.startswith(allowed)]
    strongest = ", ".join(level.name for level in verdict.strongest) or "nothing"
    return told or [f"{wanted.name} doesn't hold; the strongest that do: {strongest}"]
