"""Findings: what `verify` says of a directory, file by file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mvcc_kv.durability.records import segment_ts

__all__ = ["CheckpointReport", "Damage", "Inspection", "SegmentReport", "State"]

State = Literal["ok", "torn", "not needed", "history", "damaged history", "detached", "damaged"]


@dataclass(frozen=True, slots=True)
class Damage:
    """Why a start is refused. `commits` is the range that can't be read, as far as that is known.

    `is_final`: the files are a newer version's, and not for this one to repair.
    """

    reason: str
    file: str | None = None
    offset: int | None = None
    commits: tuple[int, int] | None = None
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class CheckpointReport:
    """A checkpoint file. `error` says why it can't be used; then `commit_ts` is only what it claims."""

    file: str
    size_bytes: int
    commit_ts: int = 0
    keys: int = 0
    error: str | None = None
    is_newer: bool = False


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """A segment of the log: its whole commits from the start, and what lies behind them.

    "torn": what a crash left unfinished; nobody was told of it, and the next start cuts it off. "not needed": the
    checkpoint holds all of it, and it is never read again. "history": the checkpoint holds all of it, and it is kept
    for reads in the past; a damage there costs such reads, and no data. "detached": whole, but what it goes on from is
    missing.
    """

    file: str
    size_bytes: int
    state: State
    first_ts: int | None
    last_ts: int | None
    offset: int  # where the whole records end
    rest_bytes: int  # what lies behind, less the zeros at its end
    known_ts: int  # the newest commit that it tells of
    bound_ts: int  # and the newest that may have been in what can't be read


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a directory holds. `commit_ts` is how far a start, or a repair, would come.

    `is_log_missing`: see `Recovery`; then nobody can tell whether there were commits after the checkpoint.
    `repairable_ts`: of a damaged one, the commit that a repair keeps everything up to; None if it can keep nothing.
    `is_cut_short`: a repair or a restore was, and the next one finishes it.
    """

    path: str
    checkpoint: CheckpointReport | None
    segments: list[SegmentReport]
    commit_ts: int
    damage: Damage | None
    is_log_missing: bool = False
    repairable_ts: int | None = None
    is_cut_short: bool = False

    @property
    def known_ts(self) -> int:
        """The newest commit that the files tell of, readable or not."""
        damaged_to = 0 if self.damage is None or self.damage.commits is None else self.damage.commits[1]
        claimed_ts = 0 if self.checkpoint is None else self.checkpoint.commit_ts
        return max([self.commit_ts, claimed_ts, damaged_to, *(segment.known_ts for segment in self.segments)])

    @property
    def bound_ts(self) -> int:
        """No commit whose traces are in the files, readable or not, can have had a later timestamp."""
        return max([self.known_ts, *(segment.bound_ts for segment in self.segments)])

    @property
    def is_end_known(self) -> bool:
        """Whether `known_ts` is where the log ended, as far as the files tell: not if its end is what can't be read."""
        last = self.segments[-1] if self.segments else None
        if last is None or self.bound_ts > self.known_ts:
            return False
        return last.state != "damaged" or last.known_ts > (last.last_ts or (segment_ts(last.file) or 1) - 1)
