"""Registers: which levels a history allows whose version orders nobody saw.

Every value is written once, so who read from whom is known. Which of two writes came first mostly isn't, and a level
holds if the writes can be ordered so that it does. Up to causal consistency what follows is forced, and it is enough to
see whether that goes in a circle (Biswas and Enea, OOPSLA 2019):

    T1 wrote x, T3 read x from T2, and T3 must have seen T1          then T1 came before T2

What T3 must have seen is what tells the levels apart:

    monotonic-atomic-view   whom it had read from before
    read-atomic             whom it read from, and who is before it in the order that counts
    causal                  and all that these must have seen

The levels above are searched for an order (placing.py, after saturation.py where none is found at once), and
parallel-snapshot-isolation for an orientation of each pair of writers. Without an order that counts there are no
sessions for the search to go along; where it would take too long, the verdict says that it isn't known.

What is bounded is bounded by work, never by time, so the same history gets the same verdict on every machine.
"""

from __future__ import annotations

from mvcc_kv.stress.checker.forced import Forced
from mvcc_kv.stress.checker.models import ORDERS, Dialect, Level, stronger, weaker
from mvcc_kv.stress.checker.orientation import can_be_oriented, goes_in_a_circle
from mvcc_kv.stress.checker.placing import BUDGET_STEPS, Step, can_be_placed
from mvcc_kv.stress.checker.register_columns import Registers
from mvcc_kv.stress.checker.saturation import saturate

__all__ = ["register_levels"]

CAUSAL_TRANSACTIONS_MAX = 12_000
ORIENTED_TRANSACTIONS_MAX = 200
SATURATED_STEPS_MAX = 2000
_FIRST_BUDGET_PER_STEP = 40
_WINDOW = 24

_SEARCHED = ("serializable", "snapshot-isolation", "prefix")
_FORCED = ("read-committed", "monotonic-atomic-view", "read-atomic", "causal")

_Known = dict[Level, bool | None]


def register_levels(registers: Registers, excluded: frozenset[Level], dialect: Dialect = "elle") -> _Known:
    """Each level with whether it holds, where those in `excluded` don't; None where that isn't known."""
    known: _Known = dict.fromkeys(excluded, False)
    for order in ORDERS:
        _learn(known, Level("read-uncommitted", order), True)  # whatever order the transactions had, the writes have
    if Level("serializable", "realtime") not in known:
        _learn(known, Level("serializable", "realtime"), _search(registers, "serializable", "realtime"))
    if dialect == "dbcop" and Level("causal", "session") not in known and goes_in_a_circle(registers, "session"):
        _learn(known, Level("causal", "session"), False)
    _learn_what_is_forced(known, registers)
    for base in _SEARCHED:
        for order in reversed(ORDERS):
            if Level(base, order) not in known:
                _learn(known, Level(base, order), _search(registers, base, order))
    for order in reversed(ORDERS):
        level = Level("parallel-snapshot-isolation", order)
        if level not in known and len(registers) <= ORIENTED_TRANSACTIONS_MAX:
            _learn(known, level, can_be_oriented(registers, order))
        repeatable, serializable = Level("repeatable-read", order), Level("serializable", order)
        if repeatable not in known:  # the same for what touches single keys only, whatever is wrong inside of one
            is_open = serializable in excluded
            _learn(known, repeatable, _search(registers, "serializable", order) if is_open else known.get(serializable))
    return known


def _learn(known: _Known, level: Level, holds: bool | None) -> None:
    if holds is None:
        return
    for it in weaker(level) if holds else stronger(level):
        known.setdefault(it, holds)


def _learn_what_is_forced(known: _Known, registers: Registers) -> None:
    for order in ORDERS:
        forced = Forced(registers, order)
        for base in _FORCED:
            level = Level(base, order)
            if level not in known and (base != "causal" or len(registers) <= CAUSAL_TRANSACTIONS_MAX):
                _learn(known, level, forced.holds(base))


def _search(registers: Registers, base: str, order: str) -> bool | None:
    steps, first, last = _steps(registers, base)
    for instant in range(len(registers.instants()) if order == "realtime" else 0):
        first.append(len(steps))
        last.append(len(steps))
        steps.append(Step(instant))
    for before, after in (*registers.order_edges(order), *registers.read_from()):
        steps[last[before]].then.append(first[after])
    initial = registers.observations.initial_of
    budget = _FIRST_BUDGET_PER_STEP * len(steps)
    if len(steps) > SATURATED_STEPS_MAX and can_be_placed(steps, initial, budget=budget, window=_WINDOW):
        return True
    holds = can_be_placed(steps, initial, budget=budget)
    if holds is not None or budget >= BUDGET_STEPS:
        return holds
    if len(steps) > SATURATED_STEPS_MAX:
        return can_be_placed(steps, initial)
    return saturate(steps, initial) and can_be_placed(steps, initial)


def _steps(registers: Registers, base: str) -> tuple[list[Step], list[int], list[int]]:
    """The steps, and which is the first and the last of each transaction."""
    steps: list[Step] = []
    first, last = [], []
    ended = list(registers.ended)
    for writer, reader in registers.read_from():  # who was read from was done, though nobody may have told it
        ended[writer] = min(ended[writer], registers.ended[reader])
    for it in range(len(registers)):
        reads = tuple({element for _, element in registers.reads[it]})
        writes = tuple(registers.writes[it].items())
        keys = tuple(registers.writes[it]) if base == "snapshot-isolation" else ()
        first.append(len(steps))
        if base == "serializable" or not reads or not writes:
            steps.append(Step(ended[it], reads, writes))
        else:
            steps.append(Step(registers.begun[it], reads, locks=keys, then=[len(steps) + 1]))
            steps.append(Step(ended[it], writes=writes, frees=keys))
        last.append(len(steps) - 1)
    return steps, first, last
