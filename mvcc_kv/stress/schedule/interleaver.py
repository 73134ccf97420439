"""The interleaver: threads of which exactly one runs, and that stand still before every operation on the store.

    t1   runs | GET a  runs |.............................| PUT a  runs ...
    t2   .....|.............| GET a  runs | PUT a  runs   |..............
                            ^             ^               ^
                            each is a step: somebody *chooses* who takes the next one

A client is ordinary blocking code, so each has a thread. It is parked when it is about to do an operation; the thread
that parks asks the chooser who goes on, opens that one's gate, and waits at its own. (If it is to go on itself, no
thread is switched.) What a client does between two operations belongs to the first of them; what it does before its
first, and all clients are brought as far as that one after the other, belongs to no step. So all that happens follows
from the choices, and the same choices give the same run, unless the code itself depends on the time or on chance.

What would make a client wait is made a step like the others: a retry's pause passes on a clock that only the pauses
move. Turns aren't waited for (`SteppedStore.begin`).

Nothing here can stop a thread. A client that doesn't come back in real time is told of, and left behind.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from threading import Lock, Thread, get_ident
from types import FrameType
from typing import TypeAlias, TypeVar

from mvcc_kv.errors import BadRequestError, Error
from mvcc_kv.retry import Timing, timed_by
from mvcc_kv.stress.script import refusal

__all__ = ["STREAK_MAX", "Actor", "Choose", "EndlessError", "Interleaver", "Operation", "Step", "StuckError", "Touch"]

STREAK_MAX = 200
"""So many steps in a row one client may take while others wait: code that polls isn't to poll for ever."""

T = TypeVar("T")


class Touch(Enum):
    """What an operation has to do with other clients: that decides which steps may change places."""

    NOTHING = "nothing"  # reads its transaction's snapshot, or fills its buffer
    SEES = "sees"  # its answer depends on what others have committed
    COMMITS = "commits"  # others may see what it did
    ANYTHING = "anything"  # looks at other transactions, or ends them

    def is_independent_of(self, other: Touch) -> bool:
        """Whether two operations of different clients do the same in either order."""
        if Touch.ANYTHING in (self, other):
            return False
        return Touch.NOTHING in (self, other) or self is other is Touch.SEES


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client is about to do, in a golden script's words."""

    text: str
    touch: Touch


@dataclass(frozen=True, slots=True)
class Step:
    """An operation that the client of that number did, and what came of it."""

    client: int
    operation: Operation
    answer: str


Choose: TypeAlias = "Callable[[Mapping[int, Operation], int | None], int]"
"""Who takes the next step: one of those with an operation before them. The last one was taken by the second."""


class StuckError(Exception):
    """A client did not come back from what it does between two operations."""


class EndlessError(Exception):
    """The clients did not end."""


class _Abandoned(BaseException):
    """Unwinds a client that isn't to go on. Not an `Exception`: the code under test should let it pass."""


class Actor:
    """A client on the stage: its thread, the gate that it waits at, and what became of it."""

    __slots__ = ("error", "gate", "is_over", "name", "number", "pending", "result", "run", "thread")

    def __init__(self, number: int, name: str, run: Callable[[], object]) -> None:
        self.number = number
        self.name = name
        self.run = run
        self.gate = Lock()
        self.gate.acquire()
        self.thread: Thread | None = None
        self.pending: Operation | None = None
        self.is_over = False
        self.result: object = None
        self.error: BaseException | None = None


class Interleaver:
    """Runs clients step by step, once. `stuck_s`: how long, in real time, a client may take between two steps."""

    def __init__(self, choose: Choose, *, steps_max: int, stuck_s: float) -> None:
        self._choose = choose
        self._steps_max = steps_max
        self._stuck_s = stuck_s
        self._actors: dict[int, Actor] = {}  # by their thread
        self._order: Sequence[Actor] = ()
        self._is_expected: Callable[[Actor], bool] = lambda _: False
        self._back = Lock()  # released when the thread that plays is to go on
        self._back.acquire()
        self._moves = 0
        self._streak = 0
        self._clock_s = 0.0
        self._is_starting = False
        self._is_abandoned = False
        self._crash: BaseException | None = None
        self.schedule: list[int] = []
        self.trace: list[Step] = []

    def play(self, actors: Sequence[Actor], is_expected: Callable[[Actor], bool]) -> Actor | None:
        """Run them to their ends; the first that ended with an error that isn't expected, with which all ends.

        Raises `StuckError`, `EndlessError`, and what the chooser raises.
        """
        self._order = actors
        self._is_expected = is_expected
        try:
            return self._played()
        finally:
            self._is_abandoned = True
            self._unwind()

    def _played(self) -> Actor | None:
        self._is_starting = True
        for actor in self._order:
            actor.thread = Thread(target=self._act, args=(actor,), name=actor.name, daemon=True)
            actor.thread.start()
            self._wait()
            if actor.error is not None and not self._is_expected(actor):
                return actor
        self._is_starting = False
        first = self._next(None)
        if first is not None:
            first.gate.release()
            self._wait()
        if self._crash is not None:
            raise self._crash
        return next((it for it in self._order if it.error is not None and not self._is_expected(it)), None)

    def _wait(self) -> None:
        moves = -1
        while not self._back.acquire(timeout=self._stuck_s):
            if moves == self._moves:
                raise StuckError(self._where_it_stands())
            moves = self._moves

    def _unwind(self) -> None:
        """Have those that are still parked leave, one after the other. A stuck one is left behind."""
        for actor in self._order:
            if actor.thread is not None and not actor.is_over and actor.pending is not None:
                actor.gate.release()
                actor.thread.join(self._stuck_s)

    # In a client's thread

    def _act(self, actor: Actor) -> None:
        self._actors[get_ident()] = actor
        try:
            with timed_by(Timing(now=lambda: self._clock_s, sleep=self._pause, random=lambda: 0.5)):
                actor.result = actor.run()
        except _Abandoned:
            pass
        except BaseException as error:  # noqa: BLE001 (a loop's edge: it is told of by whoever plays)
            actor.error = error
        actor.is_over = True
        del self._actors[get_ident()]
        if not self._is_abandoned:
            self._leave(actor)

    def _leave(self, actor: Actor) -> None:
        self._moves += 1
        is_end = self._is_starting or (actor.error is not None and not self._is_expected(actor))
        following = None if is_end else self._next(actor.number)
        (self._back if following is None else following.gate).release()

    def step(self, operation: Operation, do: Callable[[], T], answer: Callable[[T], str]) -> T:
        """What `do` returned, when it was the calling client's turn. Called by nobody's thread, it is done at once."""
        actor = self._actors.get(get_ident())
        if actor is None:
            self._refuse_strangers()
            return do()
        self._park(actor, operation)
        try:
            done = do()
        except Exception as error:
            told = refusal(error.to_result()) if isinstance(error, Error) else f"{type(error).__name__}: {error}"
            self.trace.append(Step(actor.number, operation, told))
            raise
        self.trace.append(Step(actor.number, operation, answer(done)))
        return done

    @property
    def running(self) -> Actor | None:
        """The client whose thread this is."""
        return self._actors.get(get_ident())

    def _refuse_strangers(self) -> None:
        if any(actor.thread is not None and not actor.is_over for actor in self._order):
            raise BadRequestError(
                "this operation comes from a thread that a client has started; make what it does a client of its own"
            )

    def _pause(self, pause_s: float) -> None:
        until_s = self._clock_s + pause_s
        self.step(Operation(f"(pauses {pause_s:.3f} s)", Touch.NOTHING), lambda: None, lambda _: "")
        self._clock_s = max(self._clock_s, until_s)

    def _park(self, actor: Actor, operation: Operation) -> None:
        """Stand still until it is this client's turn to do the operation."""
        if self._is_abandoned:
            raise _Abandoned
        actor.pending = operation
        self._moves += 1
        if self._is_starting:
            self._back.release()
            actor.gate.acquire()
        else:
            self._hand_over(actor)
        if self._is_abandoned:
            raise _Abandoned
        actor.pending = None
        self._streak = self._streak + 1 if self.schedule and self.schedule[-1] == actor.number else 1
        self.schedule.append(actor.number)

    def _hand_over(self, actor: Actor) -> None:
        following = self._next(actor.number)
        if following is actor:
            return
        (self._back if following is None else following.gate).release()
        actor.gate.acquire()

    def _next(self, last: int | None) -> Actor | None:
        """Who goes on; None if all is over, or is to end here."""
        pending = {it.number: it.pending for it in self._order if not it.is_over and it.pending is not None}
        if not pending:
            return None
        if len(self.schedule) >= self._steps_max:
            self._crash = EndlessError(f"the clients took {self._steps_max} steps and did not end")
            return None
        if last is not None and self._streak >= STREAK_MAX and len(pending) > 1:
            pending.pop(last, None)
        try:
            chosen = self._choose(pending, last)
        except BaseException as error:  # noqa: BLE001 (raised again by `play`)
            self._crash = error
            return None
        return next(it for it in self._order if it.number == chosen)

    def _where_it_stands(self) -> str:
        """Which client holds everybody up, and where in its code."""
        stuck = next((it for it in self._order if not it.is_over and it.pending is None), None)
        if stuck is None or stuck.thread is None or stuck.thread.ident is None:
            return f"no client came back within {self._stuck_s:g} s"
        frame: FrameType | None = sys._current_frames().get(stuck.thread.ident)
        stack = "".join(traceback.format_stack(frame)[-6:]) if frame is not None else ""
        return (
            f"{stuck.name} did not come back to the database within {self._stuck_s:g} s; it may wait for a lock that "
            f"another client holds over an operation. It is at:\n{stack.rstrip()}"
        )
