"""Schedules: your transaction code under every interleaving that matters, deterministically.

    def test_transfers_keep_the_total(interleavings):          # the fixture; elsewhere Interleavings(mvcc_kv.open)
        @interleavings.setup
        def accounts(db):
            db["alice"], db["bob"] = 100, 0

        interleavings.client(transfer, "alice", "bob", 10)      # called as transfer(db, "alice", "bob", 10)
        interleavings.client(transfer, "bob", "alice", 5)

        @interleavings.check
        def total(db):
            assert db["alice"] + db["bob"] == 100

        interleavings.run()

Clients are ordinary functions of a database; they run against one that is in memory and made anew for every schedule,
and between any two operations another of them may go on. What fails is shrunk, and raised with its steps.

    interleaver   one runs, the others stand still before their next operation
    stepped       the store that makes each request a step
    choosing      who goes on: by chance, by priorities, by a plan, each way in turn
    program       what is set up, run and checked; one schedule played
    exploring     schedule after schedule
    shrinking     the smallest that fails
    report        what is said of it
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, get_args

from mvcc_kv.api import Database, Isolation
from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.schedule.exploring import (
    EXHAUSTIVE_MAX,
    SCHEDULES,
    Explored,
    explore_by_chance,
    explore_every,
    replay,
)
from mvcc_kv.stress.schedule.program import STEPS_MAX, STUCK_S, Client, OpenDatabase, Program
from mvcc_kv.stress.schedule.report import InterleavingError

__all__ = ["Client", "Explored", "InterleavingError", "Interleavings"]

C = TypeVar("C", bound=Callable[..., object])


class Interleavings:
    """Clients, what is set up before them and checked after them, and the search for a schedule that fails.

    `open` makes a database for each schedule, such as `mvcc_kv.open`. `schedules` and `seed` go before what `run` is
    told: they are for the command line. `failures`: exceptions that count as a failed check.

    >>> import mvcc_kv
    >>> interleavings = Interleavings(mvcc_kv.open)
    >>> def visit(db):
    ...     db["visits"] = db.get("visits", 0) + 1
    >>> first, second = interleavings.client(visit), interleavings.client(visit)
    >>> @interleavings.check
    ... def both_count(db):
    ...     assert db["visits"] == 2, db["visits"]
    >>> try:
    ...     interleavings.run(seed=1)
    ... except InterleavingError as error:
    ...     print(error)
    check 'both_count': AssertionError: 1
    <BLANKLINE>
        t1: GET visits        not there
            t2: GET visits    not there
            t2: PUT visits 1  Ok
        t1: PUT visits 1      Ok
    <BLANKLINE>
    Schedule 3 of 200 (seed 1). No smaller one was found.
    Have it again with run(replay="t1 t2*2 t1").
    """

    def __init__(
        self,
        open: OpenDatabase,
        *,
        schedules: int | None = None,
        seed: int | None = None,
        failures: tuple[type[BaseException], ...] = (Exception,),
    ) -> None:
        self._program = Program(open, failures=failures)
        self._schedules = schedules
        self._seed = seed
        self.was_run = False

    @property
    def clients(self) -> tuple[Client, ...]:
        """Those that are interleaved."""
        return tuple(self._program.clients)

    def setup(self, fn: C) -> C:
        """A decorator: `fn(db)` is called before the clients of every schedule, on the new database."""
        self._program.setups.append(fn)
        return fn

    def check(self, fn: C) -> C:
        """A decorator: `fn(db)` is called when all clients have ended, and raises if something is wrong."""
        self._program.checks.append(fn)
        return fn

    def client(
        self,
        fn: Callable[..., object],
        /,
        *args: Any,
        name: str | None = None,
        isolation: Isolation | None = None,
        raises: type[BaseException] | tuple[type[BaseException], ...] = (),
    ) -> Client:
        """A client, which does `fn(db, *args)`. In a check, its `result` and `error` are those of this schedule.

        `isolation`: its transactions run at that level, whatever they ask for. `raises`: it may end with one of these;
        any other exception is a failure. `name`: what the steps are shown under, one word without *; t1, t2, ... if not
        given.
        """
        name = name if name is not None else f"t{len(self._program.clients) + 1}"
        if name in self._program.names or not name or "*" in name or any(map(str.isspace, name)):
            raise BadRequestError(f"a client's name is one word without *, and its own; {name!r} is not")
        if isolation is not None and isolation not in get_args(Isolation):
            raise BadRequestError(f"an isolation level is {' or '.join(get_args(Isolation))}, not {isolation!r}")
        allowed = raises if isinstance(raises, tuple) else (raises,)
        client = Client(partial(_call, fn, args), name, isolation, allowed)
        self._program.clients.append(client)
        return client

    def run(
        self,
        *,
        schedules: int | None = None,
        seed: int | None = None,
        exhaustive: bool = False,
        preemptions: int | None = None,
        reduced: bool = False,
        replay: str | None = None,
        steps_max: int = STEPS_MAX,
        stuck_s: float = STUCK_S,
    ) -> Explored:
        """What was tried, if all was right. Raises `InterleavingError` with the smallest schedule found to fail.

        By chance: `schedules` of them (200), drawn from the `seed`, a new one each time if there is none.

        `exhaustive`: every schedule there is, `schedules` (20,000) at most: with more it is refused after the first.
        Two clients of n steps have (2n)!/n!^2: 70 for four, 12,870 for eight. There are fewer with `preemptions` in its
        place, which is how often a client that could go on may be kept from it (most bugs need one or two), or with
        `reduced`, which plays one of those schedules that differ only in the order of steps that don't concern each
        other: right if clients share nothing but the database. These know when there are too many only when they are
        played.

        `replay`: this one schedule, as a failure has named it.

        Raises `BadRequestError` for two of these ways at once, or a seed for one that needs none.

        `steps_max` bounds the steps of one schedule. `stuck_s`: how long, in real time, a client may take from one
        operation to the next.
        """
        __tracebackhide__ = True  # for pytest, which then shows the test's own line
        self.was_run = True
        _refuse_two_ways(exhaustive, preemptions, reduced, replay, schedules, seed)
        _refuse_below(("schedules", schedules, 1), ("preemptions", preemptions, 0), ("steps_max", steps_max, 1))
        if not stuck_s > 0:
            raise BadRequestError(f"stuck_s is above nought, not {stuck_s!r}")
        self._program.steps_max, self._program.stuck_s = steps_max, stuck_s
        if not self._program.clients:
            raise BadRequestError("there are no clients: add them with interleavings.client(fn, *args)")
        if replay is not None:
            return _replay(self._program, replay)
        if exhaustive or preemptions is not None or reduced:
            return explore_every(
                self._program, schedules or EXHAUSTIVE_MAX, preemptions_max=preemptions, reduced=reduced
            )
        chosen_seed = next((it for it in (self._seed, seed) if it is not None), None)
        return explore_by_chance(
            self._program,
            self._schedules or schedules or SCHEDULES,
            secrets.randbelow(1_000_000) if chosen_seed is None else chosen_seed,
        )


_replay = replay


def _refuse_two_ways(
    exhaustive: bool,
    preemptions: int | None,
    reduced: bool,
    replay: str | None,
    schedules: int | None,
    seed: int | None,
) -> None:
    ways = {
        "exhaustive": exhaustive,
        "preemptions": preemptions is not None,
        "reduced": reduced,
        "replay": replay is not None,
    }
    chosen = [name for name, is_chosen in ways.items() if is_chosen]
    chosen += ["seed"] if chosen and seed is not None else []
    chosen += ["schedules"] if replay is not None and schedules is not None else []
    if len(chosen) > 1:
        raise BadRequestError(f"{' and '.join(chosen)} exclude each other: there is one way to choose schedules")
    if replay is not None and not isinstance(replay, str):
        raise BadRequestError(f"a schedule is replayed by its name, such as 't1 t2*2', not {replay!r}")


def _refuse_below(*numbers: tuple[str, int | None, int]) -> None:
    for name, number, least in numbers:
        if number is not None and (not isinstance(number, int) or number < least):
            raise BadRequestError(f"{name} is a whole number from {least} on, not {number!r}")


def _call(fn: Callable[..., object], args: tuple[Any, ...], db: Database) -> object:
    return fn(db, *args)
