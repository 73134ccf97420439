"""Verdicts: whether a history is one that the transactions' isolation levels allow, by the definitions of those levels.

Nothing here knows how an engine does it. All there is is what each transaction was told, and the order of STARTs and
COMMITs.

    snapshot      Every transaction, whatever its level and its end, was told what the state at its START says, under
                  its own writes. A state is what the COMMITs before made of the first one: each all at once, in their
                  order, and those that were refused nothing. Of two transactions that overlap and commit, none wrote
                  a key that the other wrote; unless all that both of them did with it was to add.
                  (Berenson et al. 1995; Adya 1999, PL-SI)
    serializable  There is an order of those that committed, one after the other, in which each serializable one is
                  told what it was told, and which ends as it ended. Who committed before another started comes before
                  it there. Snapshot transactions take part with what they wrote.
                  (Papadimitriou 1979; Herlihy and Wing 1990)
    precision     Who is refused wrote something, and a transaction that overlapped with it committed a write to a key
                  that it wrote too, or, if it is serializable, read: or might have, in the range of a scan. It is
                  told of all these keys and of no others, and for each of them of such a commit.
    timestamps    A transaction starts at the newest commit's, and each commit that writes has the one after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import NamedTuple

from tests.explorer.meaning import Deed, State, perform
from tests.explorer.programs import Program, initial_state
from tests.explorer.stage import History, Outcome

__all__ = ["fault"]


def fault(program: Program, history: History) -> str | None:
    """The first thing that is wrong with the history, in a sentence; None if nothing is."""
    trial = _Trial(program, history)
    return next(trial.faults(), None) or next(_unserializable(program, history, trial), None)


class _Commit(NamedTuple):
    """A commit that wrote: when, who, and what."""

    commit_ts: int
    t: int
    deed: Deed


@dataclass
class _Trial:
    """One walk through a history's events, with the committed state at each."""

    program: Program
    history: History
    commits: list[_Commit] = field(default_factory=list)
    snapshots: dict[int, tuple[State, int]] = field(
        default_factory=dict
    )  # the state at START, and how many commits before
    deeds: dict[int, Deed] = field(default_factory=dict)

    def faults(self) -> Iterator[str]:
        state: State = initial_state(self.program)
        newest_ts = len(self.program.present)
        for kind, t in self.history.events:
            if kind == "START":
                self.snapshots[t] = state, len(self.commits)
                yield from _unless(
                    self.history.start_ts[t] == newest_ts, f"{_name(t)} starts at {self.history.start_ts[t]}"
                )
                continue
            yield from self._faults_of_the_end(t, newest_ts)
            deed = self.deeds[t]
            if self.history.outcomes[t].commit_ts is not None and deed.written:
                newest_ts += 1
                state = deed.applied_to(state)
                self.commits.append(_Commit(newest_ts, t, deed))
        yield from _unless(
            _as_told(state) == self.history.final, f"it ends with {self.history.final}, not with {state}"
        )

    def _faults_of_the_end(self, t: int, newest_ts: int) -> Iterator[str]:
        state, before = self.snapshots[t]
        outcome = self.history.outcomes[t]
        deed = perform(t, self.program.transactions[t], self.history.answers[t], state)
        self.deeds[t] = deed
        if deed.wrong is not None:
            yield f"{_name(t)}, {deed.wrong} (it started with {state})"
        overlapping = self.commits[before:]
        if outcome.commit_ts is None:
            yield from self._needless(t, deed, overlapping, outcome)
            return
        for other in overlapping:
            both = _clashing(deed, other.deed)
            yield from _unless(not both, f"{_name(t)} overlaps with {_name(other.t)}, and both wrote {sorted(both)}")
        expected_ts = newest_ts + 1 if deed.written else self.history.start_ts[t]
        yield from _unless(
            outcome.commit_ts == expected_ts, f"{_name(t)} commits at {outcome.commit_ts}, not {expected_ts}"
        )

    def _needless(self, t: int, deed: Deed, overlapping: Sequence[_Commit], outcome: Outcome) -> Iterator[str]:
        """What is wrong with a refusal: for nothing, or with wrong reasons."""
        reasons = {(key, other.commit_ts) for other in overlapping for key in _clashing(deed, other.deed)}
        if self.program.transactions[t].is_serializable:
            reasons |= {(key, other.commit_ts) for other in overlapping for key in deed.reads & other.deed.written}
        yield from _unless(bool(deed.written), f"{_name(t)} wrote nothing and was refused")
        yield from _unless(bool(reasons), f"{_name(t)} was refused for nothing")
        is_right = set(outcome.winners) <= reasons and _keys(outcome.winners) == _keys(reasons)
        told = f"{_name(t)} was told that it lost {outcome.winners}, but it lost {sorted(reasons)}"
        yield from _unless(is_right, told)


def _keys(lost: Iterable[tuple[str, int]]) -> set[str]:
    return {key for key, _ in lost}


def _clashing(one: Deed, other: Deed) -> frozenset[str]:
    """The keys that both wrote, less those to which both only added."""
    return frozenset((one.written & other.written) - (one.adds.keys() & other.adds.keys()))


def _unserializable(program: Program, history: History, trial: _Trial) -> Iterator[str]:
    committed = [t for kind, t in history.events if kind == "COMMIT" and history.outcomes[t].commit_ts is not None]
    if not any(program.transactions[t].is_serializable for t in committed):
        return
    orders = (order for order in permutations(committed) if _in_real_time(order, history))
    if not any(_gives(order, program, history, trial) for order in orders):
        yield "no serial order of " + ", ".join(map(_name, sorted(committed))) + " gives these answers and ends so"


def _in_real_time(order: tuple[int, ...], history: History) -> bool:
    """Whether nobody comes after somebody who only started when he had committed."""
    at = history.events.index
    return all(at(("COMMIT", later)) > at(("START", earlier)) for earlier, later in combinations(order, 2))


def _gives(order: tuple[int, ...], program: Program, history: History, trial: _Trial) -> bool:
    """Whether this serial order gives each serializable transaction its answers, and the same end."""
    state: State = initial_state(program)
    for t in order:
        if not program.transactions[t].is_serializable:
            state = trial.deeds[t].applied_to(state)
            continue
        deed = perform(t, program.transactions[t], history.answers[t], state)
        if deed.wrong is not None:
            return False
        state = deed.after
    return _as_told(state) == history.final


def _as_told(state: State) -> tuple[bytes | None, ...]:
    return tuple(None if value is None else b"%d" % value for value in state)


def _name(t: int) -> str:
    return f"t{t + 1}"


def _unless(is_right: bool, otherwise: str) -> Iterator[str]:
    if not is_right:
        yield otherwise
