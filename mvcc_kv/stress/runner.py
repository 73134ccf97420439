"""A run: clients work on a target while a nemesis breaks it; then everything is read once more, and put in order.

    prepare    |=== clients ===|  heal   restart?   audit    judge
               |=== nemesis ===|
               |=== feed ======================|

All clients' notes, each with its time on one clock, become one history: sorted by time, beginnings before ends where
two are of the same nanosecond, so that nothing is taken to have come before something that it may have met. The audit
is a step like others, by a process of its own: one snapshot of all keys, after everything was acknowledged.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from mvcc_kv.api import Database, Isolation, TransactionOptions
from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.stress.client import Connect, Note, Pace
from mvcc_kv.stress.crew import Crew, RemoteCrew, counted, shared_counter
from mvcc_kv.stress.feed import FeedFollower
from mvcc_kv.stress.history import Event, Micro
from mvcc_kv.stress.nemesis import FaultEvent, Nemesis
from mvcc_kv.stress.plan import Workload
from mvcc_kv.stress.target import Target

__all__ = ["PREPARER", "Load", "Progress", "Run", "run"]

_TICK_S = 0.25
_COME_BACK_S = 30.0
_STOP_S = 60.0
_COME_BACK_INTERRUPTED_S = 3.0
_AUDITOR = -1
PREPARER = -3
"""The client that connects first, of all: what it can't do, none can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much work by how many. `clients` of each of the `processes`; none of those: threads of this process."""

    clients: int = 8
    processes: int = 0
    seconds: float = 10.0
    transactions: int | None = None
    rate: float = 0.0
    pause_s: float = 0.0
    isolation: Isolation = "snapshot"
    is_labelled: bool = True

    @property
    def clients_total(self) -> int:
        """Clients of all processes together."""
        return self.clients * max(self.processes, 1)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: the newest notes, how many there are of each outcome, and what the nemesis does."""

    elapsed_s: float
    outcomes: Mapping[str, int]
    news: Sequence[Note]
    fault: str | None
    faults: int


@dataclass(slots=True, kw_only=True)
class Run:
    """What a run brought. `final` is what the audit read, None if it couldn't; `errors` are failures of the harness, or
    of a target that is away, so that there is less to judge; not what it did wrong."""

    events: list[Event]
    notes: list[Note]
    faults: list[FaultEvent]
    final: dict[str, Any] | None
    elapsed_s: float
    feed: FeedFollower | None = None
    complaints: list[str] = field(default_factory=list)
    is_interrupted: bool = False
    errors: list[str] = field(default_factory=list)


def run(
    work: Workload,
    target: Target,
    load: Load,
    *,
    nemesis: Nemesis | None = None,
    feed: FeedFollower | None = None,
    is_killed_at_end: bool = False,
    come_back_s: float = _COME_BACK_S,
    on_tick: Callable[[Progress], None] = lambda _: None,
    is_interrupted: Callable[[], bool] = lambda: False,
) -> Run:
    """Run it; `on_tick` is told now and then how it goes. As soon as it `is_interrupted`, the clients stop, and what
    there is goes the way of every run. A target that is gone in the end is waited for, `come_back_s`. Raises
    `UnavailableError` if there was none to begin with."""
    direct: Connect = getattr(target, "direct", target.connect)
    with ExitStack() as resources:
        with direct(PREPARER) as db:
            work.prepare(db)
        if feed is not None:
            resources.callback(feed.close)
            feed.start()
        crews = _hire(work, target, load)
        for crew in crews:
            resources.callback(crew.close)
        pace = _begin(crews, load)
        if nemesis is not None:
            nemesis.start(pace.started_ns)
            resources.callback(nemesis.stop)
        errors = _watch(crews, pace, nemesis, on_tick, is_interrupted)
        was_interrupted = is_interrupted()
        elapsed_s = (time.monotonic_ns() - pace.started_ns) / 1e9
        if nemesis is not None:
            nemesis.stop()
        try:
            if is_killed_at_end:
                target.kill()
                target.restart()
            patience_s = min(come_back_s, _COME_BACK_INTERRUPTED_S) if was_interrupted else come_back_s
            final, audit = _audit(work, direct, pace, load.isolation, patience_s)
            if feed is not None:
                feed.finish()
        except Error as error:
            errors.append(f"nobody could look at the end, so the workloads' own checks are left out: {error.message}")
            final, audit = None, []
    notes = [note for crew in crews for note in crew.notes] + audit
    return Run(
        events=list(_events(notes, load.isolation)),
        notes=notes,
        faults=[] if nemesis is None else nemesis.events,
        final=final,
        elapsed_s=elapsed_s,
        feed=feed,
        complaints=target.complaints(),
        is_interrupted=was_interrupted,
        errors=[*errors, *(error for crew in crews for error in crew.errors), *(nemesis.errors if nemesis else ())],
    )


def _hire(work: Workload, target: Target, load: Load) -> Sequence[Crew | RemoteCrew]:
    if not load.processes:
        return [Crew(range(load.clients), target.connect, work)]
    counter = shared_counter()
    numbers = [range(at, load.clients_total, load.processes) for at in range(load.processes)]
    crews = [RemoteCrew(theirs, target.connect, work, counter) for theirs in numbers]
    for crew in crews:
        crew.wait_until_ready()
    return crews


def _begin(crews: Sequence[Crew | RemoteCrew], load: Load) -> Pace:
    started_ns = time.monotonic_ns()
    pace = Pace(
        started_ns=started_ns,
        until_ns=started_ns + int(load.seconds * 1e9),
        clients=load.clients_total,
        rate=load.rate,
        pause_s=load.pause_s,
        isolation=load.isolation,
        is_labelled=load.is_labelled,
    )
    for crew in crews:
        if isinstance(crew, Crew):
            crew.start(pace, counted(load.transactions))
        else:
            crew.start(pace, load.transactions)
    return pace


def _watch(
    crews: Sequence[Crew | RemoteCrew],
    pace: Pace,
    nemesis: Nemesis | None,
    on_tick: Callable[[Progress], None],
    is_interrupted: Callable[[], bool],
) -> list[str]:
    """Tell how it goes until all clients have ended. Errors, if some didn't."""
    outcomes: Counter[str] = Counter()
    looked_at = [0] * len(crews)
    until_ns, is_stopped = pace.until_ns, False
    while working := [crew for crew in crews if crew.is_working]:
        working[0].join(_TICK_S)
        news: list[Note] = []
        for at, crew in enumerate(crews):
            news += crew.notes[looked_at[at] :]
            looked_at[at] = len(crew.notes)
        outcomes.update(note.type if note.type != "fail" else f"fail {note.error}" for note in news)
        now_ns = time.monotonic_ns()
        doing, done = (None, 0) if nemesis is None else (nemesis.doing, len(nemesis.events))
        on_tick(Progress((now_ns - pace.started_ns) / 1e9, dict(outcomes), news, doing, done))
        if not is_stopped and is_interrupted():
            until_ns, is_stopped = min(until_ns, now_ns), True
            for crew in crews:
                crew.stop()
        if now_ns > until_ns + _STOP_S * 1e9:
            return [f"clients had not ended {_STOP_S:g} s after they should have"]
    return []


def _audit(
    work: Workload, connect: Connect, pace: Pace, isolation: Isolation, patience_s: float
) -> tuple[dict[str, Any], list[Note]]:
    """All that is there, from one snapshot, and the notes of having read it."""
    options = TransactionOptions(isolation=isolation, read_only=True)
    until_s = time.monotonic() + patience_s
    while True:
        begun_ns = time.monotonic_ns() - pace.started_ns
        try:
            with connect(_AUDITOR) as db:
                final = _all(db, options, work.prefix)
            break
        except UnavailableError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.1)
    ended_ns = time.monotonic_ns() - pace.started_ns
    process = pace.clients * 1_000_000_000  # no client comes so far
    asked: list[Micro] = [("r", key, None) for key in final]
    told: list[Micro] = [("r", key, value) for key, value in final.items()]
    if not final:
        return {}, []
    return final, [
        Note(begun_ns, process, "invoke", "audit", asked, -1),
        Note(ended_ns, process, "ok", "audit", told, -1),
    ]


def _all(db: Database, options: TransactionOptions, prefix: str) -> dict[str, Any]:
    tx = db.begin(options)
    try:
        found = dict(tx.scan(prefix=prefix))
    except BaseException:
        tx.rollback()
        raise
    tx.commit()
    return found


def _events(notes: Sequence[Note], isolation: Isolation) -> Iterator[Event]:
    """The history: every note at its place."""
    ordered = sorted(notes, key=lambda note: (note.time, note.type != "invoke"))
    for index, note in enumerate(ordered):
        yield Event(
            index=index,
            time=note.time,
            process=note.process,
            type=note.type,
            f=note.f,
            value=note.value,
            isolation=isolation if note.type == "invoke" else None,
            error=note.error,
        )
