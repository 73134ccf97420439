"""What a workload is: a numbered sequence of steps, how one is taken, and what must hold of what was seen.

    ticket   0     1     2     3     4   ...        step n is a function of the seed and n, and of nothing else
    client   A     B     A     C     B              whoever is free takes the next one

So a seed replays every choice; only who meets whom when is the machine's doing. Values that have to be unique are
made of the ticket, and keys that grow are given up after so many tickets, without anybody having to be asked.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal, Protocol

from mvcc_kv.api import Isolation
from mvcc_kv.stress.history import Event, EventType, Micro

__all__ = ["Cells", "Checked", "KeyChoice", "Mode", "Operation", "Plan", "Workload", "operations", "step_random"]

Mode = Literal["transaction", "read_only", "auto"]
VALUES_A_STEP = 16
_VIOLATIONS_MAX = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """A step: its micro-operations as its invocation tells them, and how they are run.

    `auto`: as commands that are each a transaction of their own. `rolls_back`: to be given up at its end, on purpose.
    `ago`: it reads the state so many commits before the newest one.
    """

    f: str
    micros: tuple[Micro, ...]
    mode: Mode = "transaction"
    rolls_back: bool = False
    ago: int = 0

    def __post_init__(self) -> None:
        assert not (self.rolls_back and self.mode == "auto"), "what commits by itself can't be given up"
        assert not self.ago or self.mode == "read_only", "the past is only read"


class Cells(Protocol):
    """What a database and a transaction of it have in common."""

    def get(self, key: str, default: Any = None) -> Any: ...
    def put(self, key: str, value: Any) -> None: ...
    def delete(self, key: str) -> bool: ...
    def add(self, key: str, by: int | float = 1) -> Any: ...
    def scan(
        self,
        *,
        prefix: str = "",
        start: str = "",
        end: str | None = None,
        limit: int | None = None,
        reverse: bool = ...,
    ) -> Iterator[tuple[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Operation:
    """A step as its client saw it. `invoked` and `completed` are events' indexes; an `info` one never completed.

    `asked` is the invocation's value, `value` what came of it: for a step that did not commit, what was asked.
    """

    process: int
    f: str
    type: EventType
    invoked: int
    completed: int
    asked: list[Micro]
    value: list[Micro]


def operations(events: Sequence[Event]) -> list[Operation]:
    """The steps of a history, in the order of their invocations. Those that never completed are `info`."""
    open_by_process: dict[int, tuple[int, Event]] = {}
    found: dict[int, Operation] = {}
    for event in events:
        if event.type == "invoke":
            open_by_process[event.process] = (len(found), event)
            found[len(found)] = _operation(event, None)
        else:
            at, invoked = open_by_process.pop(event.process)
            found[at] = _operation(invoked, event)
    return list(found.values())


def _operation(invoked: Event, completed: Event | None) -> Operation:
    if completed is None or completed.type == "info":
        never = 1 << 62
        return Operation(invoked.process, invoked.f, "info", invoked.index, never, invoked.value, invoked.value)
    value = completed.value if completed.type == "ok" else invoked.value
    return Operation(invoked.process, invoked.f, completed.type, invoked.index, completed.index, invoked.value, value)


@dataclass(slots=True)
class Checked:
    """What a check found: violations in words, how much it looked at, and what was seen that the level allows."""

    violations: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    violations_total: int = 0

    def violated(self, kind: str, message: str) -> None:
        """Note a violation. The first few are kept in words, all are counted."""
        self.violations_total += 1
        if len(self.violations) < _VIOLATIONS_MAX:
            self.violations.append(f"{kind}: {message}")

    def count(self, what: str, by: int = 1) -> None:
        """Count something that was looked at, or seen."""
        self.counts[what] = self.counts.get(what, 0) + by

    def include(self, other: Checked) -> None:
        """Add what another check found."""
        self.violations += other.violations[: _VIOLATIONS_MAX - len(self.violations)]
        self.violations_total += other.violations_total
        for what, number in other.counts.items():
            self.count(what, number)


class Workload(Protocol):
    """A kind of work. All keys begin with `prefix`. Can be pickled, so that other processes do the same work."""

    @property
    def name(self) -> str: ...
    @property
    def prefix(self) -> str: ...

    def prepare(self, cells: Cells) -> None:
        """Write the state that the work begins with."""
        ...

    def plan(self, ticket: int) -> Plan:
        """The step of this number; the same for the same seed."""
        ...

    def perform(self, cells: Cells, plan: Plan, pause: Callable[[], None]) -> list[Micro]:
        """Take the step, `pause` being called between its operations; what was done and read."""
        ...

    def check(self, ops: Sequence[Operation], final: Mapping[str, Any], isolation: Isolation) -> Checked:
        """What must hold at that level, of all steps and of the state after the last one."""
        ...


class KeyChoice:
    """Chooses one of so many things, the i-th with a weight of 1/(i+1)**skew: Zipf's law; evenly with a skew of 0."""

    def __init__(self, count: int, skew: float) -> None:
        self._sums = list(accumulate((rank + 1) ** -skew for rank in range(count)))

    def pick(self, rng: random.Random) -> int:
        """One of them, from 0 on."""
        return min(bisect(self._sums, rng.random() * self._sums[-1]), len(self._sums) - 1)


def step_random(seed: int, ticket: int) -> random.Random:
    """The chance of one step."""
    return random.Random((seed << 48) ^ ticket)
