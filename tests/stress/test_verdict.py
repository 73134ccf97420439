"""The verdict over a run: held, violated, or invalid because too little happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mvcc_kv.stress.history import Event, EventType
from mvcc_kv.stress.mixture import Mixture
from mvcc_kv.stress.nemesis import FaultEvent
from mvcc_kv.stress.report import render
from mvcc_kv.stress.runner import Load, Run
from mvcc_kv.stress.verdict import Expected, Judged, Summary, part_events, percentile, summarize
from mvcc_kv.stress.workloads import ListAppend, Register

WORK = ListAppend(prefix="list/")


def history(*ends: tuple[EventType, str | None]) -> list[Event]:
    """An append for each end, one after the other."""
    events = []
    for number, (event_type, error) in enumerate(ends):
        value: Any = [("append", "list/x", number)]
        told = {"process": number, "value": value}
        events.append(Event(index=2 * number, time=2_000_000 * number, type="invoke", **told))
        at_ns = 2_000_000 * number + 1_000_000
        events.append(Event(index=2 * number + 1, time=at_ns, type=event_type, error=error, **told))
    return events


def run_of(events: list[Event], **more: Any) -> Run:
    final = [event.value[0][2] for event in events if event.type == "ok"]
    told = {"events": events, "notes": [], "faults": [], "final": {"list/x": final}, "elapsed_s": 1.0}
    return Run(**{**told, **more})


GOOD = history(("ok", None), ("fail", "CONFLICT"), ("info", "COMMIT_UNKNOWN"))


def summary(run: Run, expected: Expected | None = None, judge: Any = None) -> Summary:
    return summarize(run, WORK, Load(), expected or Expected(commits=1), judge)


def test_a_run_in_which_all_held() -> None:
    it = summary(run_of(GOOD))
    assert (it.status, it.exit_status, it.violations, it.reasons) == ("held", 0, [], [])
    assert it.outcomes == {"ok": 1, "fail CONFLICT": 1, "info COMMIT_UNKNOWN": 1}
    assert it.latency_ms["p50"] == 1.0


def test_a_violation_counts_for_more_than_what_makes_it_invalid() -> None:
    it = summary(run_of(GOOD, final={}, errors=["a client died"]))
    assert (it.status, it.exit_status) == ("violated", 1)
    assert it.violations[0].startswith("lost write")


def test_few_commits_no_conflict_or_a_missing_fault_make_it_invalid() -> None:
    assert summary(run_of(GOOD), Expected(commits=2)).status == "invalid"
    assert summary(run_of(history(("ok", None)))).status == "invalid"
    assert summary(run_of(history(("ok", None))), Expected(commits=1, conflicts=0)).status == "held"
    assert summary(run_of(GOOD), Expected(commits=1, faults=["kill"])).reasons == [
        "there was no fault of the kind kill; give it more time"
    ]
    killed = run_of(GOOD, faults=[FaultEvent("kill", 1, 2)])
    assert summary(killed, Expected(commits=1, faults=["kill"])).status == "held"


def test_a_harness_that_failed_and_errors_that_no_step_should_meet_make_it_invalid() -> None:
    assert summary(run_of(GOOD, errors=["a client died"])).exit_status == 2
    it = summary(run_of([*GOOD, *_later(history(("fail", "LIMIT_EXCEEDED")))]))
    assert (it.status, it.reasons) == ("invalid", ["1 steps ended with fail LIMIT_EXCEEDED"])


def test_what_the_target_did_by_itself_is_a_violation() -> None:
    assert summary(run_of(GOOD, complaints=["the server ended by itself"])).status == "violated"


def test_the_checker_has_its_say() -> None:
    def judge(workload: str, events: Sequence[Event], isolation: str) -> Judged:
        assert (workload, len(events), isolation) == ("list-append", len(GOOD), "snapshot")
        return Judged(workload, ["G1c: a circle"], {"transactions": 3})

    it = summary(run_of(GOOD), judge=judge)
    assert it.status == "violated" and it.violations == ["list-append: G1c: a circle"]


def test_what_the_checker_cannot_tell_has_not_held() -> None:
    it = summary(run_of(GOOD), judge=lambda workload, *_: Judged(workload, [], {}, "it would take too long"))
    assert (it.status, it.reasons) == ("invalid", ["list-append: it would take too long"])


def test_each_part_of_a_mixture_is_judged_by_its_own_events() -> None:
    mixture = Mixture((WORK, Register(prefix="register/")), (1.0, 1.0))
    judged: dict[str, int] = {}

    def judge(workload: str, events: Sequence[Event], _: str) -> None:
        judged[workload] = len(events)

    summarize(run_of(GOOD), mixture, Load(), Expected(commits=1), judge)
    assert judged == {"list-append": len(GOOD), "register": 0}


def test_a_part_keeps_its_share_of_the_audit_under_the_index_that_it_has() -> None:
    value: Any = [("r", "list/x", [0]), ("r", "bank/1", 7)]
    audit = Event(index=9, time=9, process=9, type="ok", f="audit", value=value)
    [found] = part_events([replace_index(audit, 9)], "bank/")
    assert (found.index, found.f, found.value) == (9, "txn", [("r", "bank/1", 7)])


def replace_index(event: Event, index: int) -> Event:
    return Event(index=index, time=event.time, process=event.process, type=event.type, f=event.f, value=event.value)


def test_percentiles_are_of_what_is_there() -> None:
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 4.0, 4.0]
    assert percentile([], 0.5) == 0.0


def test_a_report_shows_nothing_as_markup() -> None:
    it = replace(summary(run_of(GOOD)), violations=["<script>alert(1)</script>"])
    page = render(it, [FaultEvent("kill", 0, 10**9, "<b>")], {}, {"command": ["<i>"]})
    assert "<script>" not in page and "<b>" not in page and "<i>" not in page
    assert "pip install mvcc-kv[stress]" in page


def _later(events: list[Event]) -> list[Event]:
    return [
        Event(
            index=event.index + 100,
            time=event.time + 10**9,
            process=event.process + 100,
            type=event.type,
            value=[("append", "list/y", 1)],
            error=event.error,
        )
        for event in events
    ]
