"""Lanes: gets and blind writes of single keys, by the batch, as work on the index itself.

    a session's commands     GET a   SET b 1   SET c 2   GET b      one call of a `Lane`, under one lock
    commits                            8         9                  each write one of its own; told to the log at once

A lane may write only while a write is nothing but a new head (`_is_calm`). Whatever it can't do is done one by one, by
the slow twin of each command, through the store.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias, TypeVar

from sortedcontainers import SortedDict

from mvcc_kv.engine.chains import Version
from mvcc_kv.engine.section import CommitSection

__all__ = ["Lane", "LaneOutcome", "SupersededVersion", "run_lane"]

SupersededVersion: TypeAlias = tuple[int, int, bytes, int]
"""By which commit, its own commit_ts, its key, and how many bytes its value has."""


class LaneOutcome(Protocol):
    """What a lane has done: the newest commit_ts there is now, and how many keys are new."""

    @property
    def commit_ts(self) -> int: ...
    @property
    def new_keys(self) -> int: ...


T = TypeVar("T", bound=LaneOutcome)
T_co = TypeVar("T_co", bound=LaneOutcome, covariant=True)


class Lane(Protocol[T_co]):
    """Work on the index itself: gets, and blind writes of single keys, each a commit of its own.

    Reads are of `heads` at `read_ts`, or at the newest commit of its own. If it `may_write`, each commit takes the next
    number after `commit_ts` and is a new head of its key: on top of the older versions where there is a list for what
    is `superseded`, alone where it is None and nobody can see those any more. `writes` is for the log, in order.
    """

    def __call__(
        self,
        heads: SortedDict[bytes, Version],
        read_ts: int,
        commit_ts: int,
        may_write: bool,
        superseded: list[SupersededVersion] | None,
        writes: list[tuple[bytes, bytes]] | None,
        /,
    ) -> T_co: ...


def run_lane(section: CommitSection, run: Lane[T], seen_ts: int) -> T:
    """Let `run(heads, read_ts, commit_ts, may_write, superseded, writes)` work on the index itself; see `Lane`."""
    with section.lock:
        log = section.log
        read_ts = max(section.versions.visible_ts, seen_ts)
        superseded: list[SupersededVersion] | None = None if log is None else []
        writes: list[tuple[bytes, bytes]] | None = None if log is None else []
        outcome = run(section.versions.heads, read_ts, section.commit_ts, _is_calm(section), superseded, writes)
        if outcome.commit_ts != section.commit_ts:
            _take_in(section, outcome, superseded or [], writes or [])
    return outcome


def _is_calm(section: CommitSection) -> bool:
    """Whether a write is nothing but a new head: nobody reads an older state, and nothing else wants to know."""
    versions, opened, log = section.versions, section.opened, section.log
    is_alone = not len(opened) and not opened.abandoned and not opened.recent.wants_keys
    is_plain = versions.history is None and versions.marks.is_empty and not section.may_expire
    return is_alone and is_plain and (log is None or (log.failure is None and hasattr(log, "append_lane")))


def _take_in(
    section: CommitSection,
    outcome: LaneOutcome,
    superseded: list[SupersededVersion],
    writes: list[tuple[bytes, bytes]],
) -> None:
    """What a lane has committed: tell the log, count it, and publish it unless the log says to wait."""
    first_ts, time_us = section.commit_ts + 1, max(section.time_us(), section.newest_us)
    if section.log is not None:
        section.log.append_lane(first_ts, writes, time_us)  # type: ignore[attr-defined]  # see `_is_calm`
    section.commits_total += outcome.commit_ts - section.commit_ts
    section.commit_ts, section.newest_us = outcome.commit_ts, time_us
    section.versions.take_in(outcome.new_keys, superseded)
    if section.log is None:
        section.publish(outcome.commit_ts)
