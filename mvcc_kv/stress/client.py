"""One client: takes step after step, and notes what it asked and what it was told.

    before           invoke, with the time
    the step         begin, its operations, commit
    after            ok, fail or info, with the time

A step is never run again: what failed has failed, and the next ticket is another step. What an error means depends on
where it struck. Before the commit nothing can have been applied. At the commit the server may have done it, and if it
can't be asked nobody knows: that is `info`, after which this client counts as crashed. It comes back on a new
connection, as a new process.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from typing import Protocol

import msgspec

from mvcc_kv.api import Database, Isolation, TransactionOptions
from mvcc_kv.errors import CommitUnknownError, Error, UnavailableError
from mvcc_kv.stress.history import EventType, Micro
from mvcc_kv.stress.plan import Plan, Workload

__all__ = ["Client", "Connect", "Note", "Pace", "Tickets"]

_PAUSE_WHEN_REFUSED_S = 0.05

Connect = Callable[[int], "AbstractContextManager[Database]"]
"""A connection for the client of that number, put away by the end of it. Raises `UnavailableError` while there is no
server."""


class Note(msgspec.Struct, frozen=True, array_like=True):
    """What a client noted down: an event, before it has its place among the others'.

    `commit_ts` is the server's, of a transaction that was acknowledged and carries its ticket as its label.
    """

    time: int
    process: int
    type: EventType
    f: str
    value: list[Micro]
    ticket: int
    error: str | None = None
    commit_ts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When a client stops, and how fast it is until then. Times are of the monotonic clock, in nanoseconds.

    `rate`: steps a second of all clients together, 0 being as fast as they can. `pause_s`: between two operations of a
    step, at most; drawn evenly. With 0 another thread is let in, no more.
    """

    started_ns: int
    until_ns: int
    clients: int
    rate: float = 0.0
    pause_s: float = 0.0
    isolation: Isolation = "snapshot"
    is_labelled: bool = True


class Tickets(Protocol):
    """Hands out the numbers of steps, each once; None when there are no more."""

    def __call__(self) -> int | None: ...


class Client:
    """The client of that number."""

    def __init__(self, number: int, connect: Connect, work: Workload, pace: Pace, note: Callable[[Note], None]) -> None:
        self._number = number
        self._process = number
        self._connect = connect
        self._work = work
        self._pace = pace
        self._note = note
        self._db: Database | None = None
        self._connection = ExitStack()
        self._taken = 0
        self._stopped = threading.Event()
        self._chance = random.Random(number)

    def run(self, tickets: Tickets) -> None:
        """Take steps until there are no more, or it is time."""
        try:
            while self._may_go_on() and (db := self._database()) is not None:
                if (ticket := tickets()) is None:
                    return
                self._take(db, ticket)
        finally:
            self._disconnect()

    def stop(self) -> None:
        """Let it end with the step that it is at."""
        self._stopped.set()

    def _may_go_on(self) -> bool:
        """Whether there is time for another step; after the wait that the rate asks for."""
        pace = self._pace
        if pace.rate > 0:
            due_ns = pace.started_ns + (self._taken * pace.clients + self._number) / pace.rate * 1e9
            self._stopped.wait(max(0.0, min(due_ns, pace.until_ns) - time.monotonic_ns()) / 1e9)
        self._taken += 1
        return self._has_time()

    def _has_time(self) -> bool:
        return not self._stopped.is_set() and time.monotonic_ns() < self._pace.until_ns

    def _database(self) -> Database | None:
        """The connection, made anew if there is none; None if it is too late for that."""
        while self._db is None and self._has_time():
            try:
                self._db = self._connection.enter_context(self._connect(self._number))
            except UnavailableError:
                time.sleep(_PAUSE_WHEN_REFUSED_S)
        return self._db

    def _take(self, db: Database, ticket: int) -> None:
        plan = self._work.plan(ticket)
        self._tell("invoke", plan, list(plan.micros), ticket)
        step = _Step(db, self._work, plan, ticket, self._pace, self._pause)
        try:
            value, commit_ts = step.take()
        except Error as error:
            self._failed(plan, ticket, error, is_in_doubt=step.is_in_doubt(error))
            return
        if plan.rolls_back:
            self._tell("fail", plan, list(plan.micros), ticket, error="ROLLBACK")
        else:
            self._tell("ok", plan, value, ticket, commit_ts=commit_ts)

    def _failed(self, plan: Plan, ticket: int, error: Error, *, is_in_doubt: bool) -> None:
        self._tell("info" if is_in_doubt else "fail", plan, list(plan.micros), ticket, error=error.code)
        if is_in_doubt:
            self._process += self._pace.clients
            self._disconnect()
        elif isinstance(error, UnavailableError):
            time.sleep(_PAUSE_WHEN_REFUSED_S)
            if not error.retryable:  # whoever is at the other end is no use any more
                self._disconnect()

    def _tell(
        self,
        event_type: EventType,
        plan: Plan,
        value: list[Micro],
        ticket: int,
        *,
        error: str | None = None,
        commit_ts: int | None = None,
    ) -> None:
        time_ns = time.monotonic_ns() - self._pace.started_ns
        self._note(Note(time_ns, self._process, event_type, plan.f, value, ticket, error, commit_ts))

    def _pause(self) -> None:
        time.sleep(self._pace.pause_s * self._chance.random())

    def _disconnect(self) -> None:
        self._db = None
        with suppress(Error):
            self._connection.close()


class _Step:
    """One step on its way."""

    def __init__(
        self, db: Database, work: Workload, plan: Plan, ticket: int, pace: Pace, pause: Callable[[], None]
    ) -> None:
        self._db = db
        self._work = work
        self._plan = plan
        self._ticket = ticket
        self._pace = pace
        self._pause = pause
        self._may_be_applied = False

    def take(self) -> tuple[list[Micro], int | None]:
        """Take it; what was done, and the commit's timestamp if it was a transaction that wrote."""
        if self._plan.mode == "auto":
            self._may_be_applied = _writes(self._plan)
            return self._work.perform(self._db, self._plan, self._pause), None
        tx = self._db.begin(
            TransactionOptions(
                isolation=self._pace.isolation,
                read_only=self._plan.mode == "read_only",
                at=self._past_ts() if self._plan.ago else None,
                label=str(self._ticket) if self._pace.is_labelled and _writes(self._plan) else None,
            )
        )
        try:
            done = self._work.perform(tx, self._plan, self._pause)
        except BaseException:
            tx.rollback()
            raise
        if self._plan.rolls_back:
            tx.rollback()
            return done, None
        self._may_be_applied = _writes(self._plan)
        commit_ts = tx.commit()
        return done, commit_ts if self._pace.is_labelled and commit_ts != tx.start_ts else None

    def _past_ts(self) -> int:
        """Where a step that looks back begins: so many commits before what is the newest now."""
        tx = self._db.begin(TransactionOptions(read_only=True))
        tx.rollback()
        return max(tx.start_ts - self._plan.ago, 0)

    def is_in_doubt(self, error: Error) -> bool:
        """Whether it may have been applied, in spite of the error."""
        if not self._may_be_applied:
            return False
        return isinstance(error, CommitUnknownError) or (isinstance(error, UnavailableError) and not error.retryable)


def _writes(plan: Plan) -> bool:
    return any(f not in ("r", "scan") for f, _, _ in plan.micros)
