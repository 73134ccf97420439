"""A program: what is set up, the clients, and what must hold afterwards; and how one schedule of it is played.

open, setup  ->  clients, step by step  ->  checks
\\______________ anew for every schedule _________/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

from mvcc_kv.api import Database, Isolation, Store
from mvcc_kv.stress.schedule.choosing import Schedule
from mvcc_kv.stress.schedule.interleaver import Actor, Choose, EndlessError, Interleaver, Step, StuckError
from mvcc_kv.stress.schedule.stepped import SteppedStore

__all__ = ["STEPS_MAX", "STUCK_S", "Client", "Failure", "OpenDatabase", "Program", "Run", "play"]

STEPS_MAX = 10_000
STUCK_S = 10.0


class Steppable(Protocol):
    """A database whose requests can be led through another store, as those of `mvcc_kv.open` and `connect` can."""

    def through(self, wrap: Callable[[Store], Store]) -> Database: ...
    def close(self) -> None: ...


OpenDatabase: TypeAlias = "Callable[[], Steppable]"


class Client:
    """One of those that are interleaved. In a check, what became of it: `result`, or the `error` that was expected.

    `isolation`: its transactions run at this level, whatever they ask for. `raises`: errors that it may end with.
    """

    def __init__(
        self,
        run: Callable[[Database], object],
        name: str,
        isolation: Isolation | None = None,
        raises: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.run = run
        self.name = name
        self.isolation = isolation
        self.raises = raises
        self.result: Any = None
        self.error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<client {self.name}>"


@dataclass(slots=True)
class Program:
    """`failures`: the exceptions that a check or a client fails with; others end the whole search.

    `stuck_s` bounds what a client does between two steps, in real time; `steps_max` how long one schedule may be.
    """

    open: OpenDatabase
    clients: list[Client] = field(default_factory=list)
    setups: list[Callable[[Database], object]] = field(default_factory=list)
    checks: list[Callable[[Database], object]] = field(default_factory=list)
    failures: tuple[type[BaseException], ...] = (Exception,)
    steps_max: int = STEPS_MAX
    stuck_s: float = STUCK_S

    @property
    def names(self) -> list[str]:
        """The clients' names, by their numbers."""
        return [client.name for client in self.clients]


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, and `where`: with a client, in a check, or that it didn't end."""

    where: str
    error: BaseException

    def is_like(self, other: Failure | None) -> bool:
        """Whether it is the same thing that goes wrong."""
        return other is not None and self.where == other.where and type(self.error) is type(other.error)


@dataclass(frozen=True, slots=True)
class Run:
    """One schedule, played: who took part, which steps there were, and what failed, if anything."""

    clients: Schedule
    schedule: Schedule
    trace: tuple[Step, ...]
    failure: Failure | None

    @property
    def switches(self) -> int:
        """How often another client went on than the one that took the step before."""
        return sum(before != after for before, after in pairwise(self.schedule))

    @property
    def cost(self) -> tuple[int, int]:
        """How hard it is to read."""
        return self.switches, len(self.schedule)


def play(program: Program, choose: Choose, clients: Iterable[int] | None = None) -> Run:
    """Play one schedule, with these clients or all of them, on a database of its own."""
    taking_part = tuple(range(len(program.clients)) if clients is None else clients)
    interleaver = Interleaver(choose, steps_max=program.steps_max, stuck_s=program.stuck_s)
    levels = {n: level for n in taking_part if (level := program.clients[n].isolation) is not None}
    opened = program.open()
    try:
        db = opened.through(lambda store: SteppedStore(store, interleaver, levels))
        for setup in program.setups:
            setup(db)
        failure = _clients_failure(program, interleaver, db, taking_part) or _checks_failure(program, db)
    finally:
        opened.close()
    return Run(taking_part, tuple(interleaver.schedule), tuple(interleaver.trace), failure)


def _clients_failure(program: Program, stage: Interleaver, db: Database, numbers: Schedule) -> Failure | None:
    for client in program.clients:
        client.result = client.error = None
    actors = [Actor(n, program.clients[n].name, partial(program.clients[n].run, db)) for n in numbers]
    try:
        failed = stage.play(actors, lambda it: isinstance(it.error, program.clients[it.number].raises))
    except StuckError as error:
        return Failure("stuck", error)
    except EndlessError as error:
        return Failure("endless", error)
    for actor in actors:
        program.clients[actor.number].result = actor.result
        program.clients[actor.number].error = actor.error
    if failed is None or failed.error is None:
        return None
    if not isinstance(failed.error, program.failures):
        raise failed.error
    return Failure(f"client {failed.name}", failed.error)


def _checks_failure(program: Program, db: Database) -> Failure | None:
    for check in program.checks:
        try:
            check(db)
        except program.failures as error:
            return Failure(f"check {getattr(check, '__name__', repr(check))!r}", error)
    return None
