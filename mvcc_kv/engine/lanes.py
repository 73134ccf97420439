"""Lanes: gets, blind writes and plain transactions, by the batch, as work on the index itself.

    a session's commands     GET a   SET b 1   SET c 2   GET b      one call of a `Lane`, under one lock
    commits                            8         9                  each write one of its own; told to the log at once
    another's                START   GET b   SET b 2   COMMIT       in a `Transaction` as any other
    commits                  (9)                         10         if it can be; else the store is asked, and says why

A lane may write only while nothing is to be noted of a write but its versions (`_is_calm`). Whatever it can't do is
done one by one, by the slow twin of each command, through the store.

A transaction that a lane begins is open at once, for all to see. One that it commits is over for its client at once,
and leaves the books when the lane is through, just before its commits are published: those who commit in one go need
nothing kept for each other.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias, TypeVar

from sortedcontainers import SortedDict

from mvcc_kv.api import PLAINLY
from mvcc_kv.engine.chains import Version
from mvcc_kv.engine.freeing import SupersededVersion
from mvcc_kv.engine.home import TransactionHome
from mvcc_kv.engine.section import CommitSection
from mvcc_kv.engine.transaction import Transaction

__all__ = ["Lane", "LaneOutcome", "Permit", "Permits", "Written", "run_lane"]

Written: TypeAlias = "tuple[bytes, bytes] | list[tuple[bytes, bytes]] | dict[bytes, bytes]"
"""What a commit of a lane put: a key and its value, or several; as a dict, if it has the lane's label."""


class LaneOutcome(Protocol):
    """What a lane has done: the newest commit_ts there is now, and how many keys are new.

    `transactions`: which of the commits have the lane's label, each with how many keys it wrote; at least if there was
    a list for what is superseded.
    """

    @property
    def commit_ts(self) -> int: ...
    @property
    def new_keys(self) -> int: ...
    @property
    def transactions(self) -> list[tuple[int, int]]: ...


Permit: TypeAlias = "tuple[list[SupersededVersion] | None, list[Written] | None]"
"""A list for what is superseded, and one for what is written."""

T = TypeVar("T", bound=LaneOutcome)
T_co = TypeVar("T_co", bound=LaneOutcome, covariant=True)


class Permits(Protocol):
    """What a lane may do beside reading: None, or its lists, which stay the same once they are there."""

    def __call__(self) -> Permit | None:
        """Leave to write."""
        ...

    def beside(self) -> Permit | None:
        """Leave to write, with somebody's snapshot to be minded: so there is a list for what is superseded."""
        ...

    def begin(self, start_ts: int, client: str | None) -> Transaction:
        """Open a plain transaction, of somebody who has leave to write `beside` it."""
        ...

    def end(self, transaction: Transaction, commit_ts: int) -> bool:
        """The lane commits it at once, or there is nothing to commit; False if that takes more than a lane can do."""
        ...


class Lane(Protocol[T_co]):
    """Work on the index itself: gets, blind writes of single keys or several, and commits of plain transactions.

    Reads are of `heads` at `seen_ts`, or at the newest commit of the same client. Before its first write it asks for a
    `permit`: `None` if it must not, or a list for what is superseded and a list for what is written. Each commit takes
    the next number after `commit_ts` and is a new head of its key: on top of the older versions where there is a list
    for what is superseded, alone where it is None and nobody can see those any more. What is written is for the log, in
    order; None: there is none, and each commit is seen by everybody at once.
    """

    def __call__(
        self,
        heads: SortedDict[bytes, Version],
        seen_ts: int,
        commit_ts: int,
        permit: Permits,
        /,
    ) -> T_co: ...


def run_lane(section: CommitSection, home: TransactionHome, run: Lane[T], label: str | None) -> T:
    """Let `run(heads, seen_ts, commit_ts, permit)` work on the index itself; see `Lane`.

    `home`: of the transactions that it begins. `label`: what those are called that are begun and committed at once.
    """
    versions, permits = section.versions, _Permits(section, home)
    with section.lock:
        if section.opened.abandoned:
            section.reap()
        outcome = run(versions.heads, versions.visible_ts, section.commit_ts, permits)
        if permits.ended:
            _let_go(section, permits.ended)
        if outcome.commit_ts != section.commit_ts:
            _take_in(section, outcome, permits.superseded, permits.writes or [], label)
    return outcome


class _Permits:
    """Gives leave, if there is nothing to say against it; has the lists then, and who was `ended`. See `Permits`."""

    __slots__ = ("_home", "_section", "ended", "superseded", "writes")

    def __init__(self, section: CommitSection, home: TransactionHome) -> None:
        self._section = section
        self._home = home
        self.superseded: list[SupersededVersion] | None = None
        self.writes: list[Written] | None = None
        self.ended: list[Transaction] = []

    def __call__(self) -> Permit | None:
        return (None, None) if _is_alone(self._section) else self.beside()

    def beside(self) -> Permit | None:
        section = self._section
        if not _is_calm(section):
            return None
        self.superseded = []
        if section.log is not None:
            self.writes = []
        return self.superseded, self.writes

    def begin(self, start_ts: int, client: str | None) -> Transaction:
        section = self._section
        transaction = Transaction(self._home, start_ts, PLAINLY, section.time_us(), client, False, False, False)
        section.opened.begin(transaction, section.commit_ts)
        return transaction

    def end(self, transaction: Transaction, commit_ts: int) -> bool:
        if not transaction.is_plain:
            return False
        self.ended.append(transaction)
        transaction.close(commit_ts)
        return True


def _is_alone(section: CommitSection) -> bool:
    """Whether nobody is to be told of a commit that puts nothing that expires, and nobody sees what it supersedes."""
    return section.log is None and section.versions.is_calm and not section.may_expire and not len(section.opened)


def _is_calm(section: CommitSection) -> bool:
    """Whether of a commit that puts nothing is to be noted but its versions, what they supersede, and its label."""
    versions, log = section.versions, section.log
    if section.may_expire or versions.history is not None or versions.marks.has_keys:
        return False
    if section.opened.recent.wants_keys:
        return False
    return log is None or (log.failure is None and hasattr(log, "append_lane"))


def _let_go(section: CommitSection, ended: list[Transaction]) -> None:
    """These are over; their commits are told of by the lane, but for those of nothing."""
    for transaction in ended:
        section.opened.end(transaction)
        section.commits_total += not transaction.writes
    if section.versions.ending:
        section.versions.collect()


def _take_in(
    section: CommitSection,
    outcome: LaneOutcome,
    superseded: list[SupersededVersion] | None,
    writes: list[Written],
    label: str | None,
) -> None:
    """What a lane has committed: tell the log, count it, and publish it unless the log says to wait."""
    first_ts = section.commit_ts + 1
    section.commits_total += outcome.commit_ts - section.commit_ts
    section.commit_ts = outcome.commit_ts
    if superseded is None:
        _show(section, outcome)
        return
    section.newest_us = time_us = max(section.time_us(), section.newest_us)
    if section.log is not None:
        section.log.append_lane(first_ts, writes, time_us, label)  # type: ignore[attr-defined]  # see `_is_calm`
    section.versions.take_in(outcome.new_keys, superseded)
    if label is not None:
        section.versions.marks.take_in(label, outcome.transactions, superseded)
    if section.log is None:
        section.publish(outcome.commit_ts)


def _show(section: CommitSection, outcome: LaneOutcome) -> None:
    """Everybody sees the commits of one who was alone."""
    versions = section.versions
    versions.visible_ts = outcome.commit_ts
    versions.index.keys += outcome.new_keys
    versions.index.versions += outcome.new_keys
    if section.gates:
        section.open_gates()
