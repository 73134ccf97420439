"""Retries: run a transaction again until it commits, within bounds.

Optimistic transactions lose races by design: the first committer wins, and the loser learns it from an
error that says `retryable`, with nothing applied. The answer is always the same, so it lives here once:

    attempt 1       attempt 2                  attempt 3
    |----- lost     |----- lost                |----- committed
           |= turn =|      |~ pause ~|= turn ==|
    |<-------------- at most deadline_s ------------->|

A retry asks for its *turn* on the key that was lost: others that lost it too begin before it or after it, not with
it, so that a crowd on one key needs about one attempt each (`engine/turns.py`). If the key is lost all the same, to
somebody who asks for no turn, it pauses before it asks again, as it does after any other error. A pause is drawn
evenly from nought up to a ceiling that doubles with each ("full jitter", Marc Brooker, "Exponential Backoff And
Jitter", 2015): two that clashed are unlikely to meet again. No pause is begun that would end after the deadline; a
turn, which is waited for a second at most, may come after it.

The runs of one function have a hunch in common (`hunch.py`): while they keep losing a key, they ask for their turn on
it with the first attempt already.

Rules:
- Retried are exactly the errors with `retryable`, from the beginning, the block or its commit. A
  `CommitUnknownError` is not one of them: to run it again could apply it twice. Nor is anything
  retried once the block has committed by itself.
- When the bounds are reached the last error is raised as it is, with a note of what was tried.
"""

from __future__ import annotations

import functools
import inspect
import random
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Concatenate, ParamSpec, TypeVar, cast, overload

from mvcc_kv.api import PLAINLY, Database, Durability, Isolation, Transaction, TransactionOptions
from mvcc_kv.errors import BadRequestError, ConflictError, Error
from mvcc_kv.hunch import Hunch, hunch_of

__all__ = ["Attempt", "RetryPolicy", "Timing", "attempts", "run", "timed_by", "transactional"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, how long and how patiently a transaction is run again; with `turns` in turn with others.

    >>> [RetryPolicy().pause_s(failed, jitter=1.0) for failed in (1, 2, 3, 20)]
    [0.002, 0.004, 0.008, 0.25]
    """

    attempts_max: int = 20
    deadline_s: float = 10.0
    backoff_base_s: float = 0.002
    backoff_cap_s: float = 0.25
    turns: bool = True

    def __post_init__(self) -> None:
        if self.attempts_max < 1:
            raise BadRequestError(f"attempts_max is at least 1, not {self.attempts_max}")
        if min(self.deadline_s, self.backoff_base_s, self.backoff_cap_s) < 0:
            raise BadRequestError(f"deadline_s and the backoff are not negative: {self}")

    def pause_s(self, failed: int, jitter: float) -> float:
        """The pause after `failed` attempts, for a `jitter` drawn evenly from 0 to 1."""
        doublings = min(failed - 1, 64)  # enough for any cap, and no overflow
        return jitter * min(self.backoff_cap_s, self.backoff_base_s * 2.0**doublings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where retries get their time and their chance from; tests hand in their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


DEFAULT_POLICY = RetryPolicy()
REAL_TIMING = Timing()

_timing_here: ContextVar[Timing] = ContextVar("mvcc_kv.retry.timing", default=REAL_TIMING)


@contextmanager
def timed_by(timing: Timing) -> Iterator[None]:
    """Within it, in this thread, retries that were given no timing of their own go by this one."""
    token = _timing_here.set(timing)
    try:
        yield
    finally:
        _timing_here.reset(token)


class _Course:
    """What one transaction, over all of its attempts, has spent of its policy, and how the next attempt is to begin."""

    def __init__(self, policy: RetryPolicy, timing: Timing | None, options: TransactionOptions, hunch: Hunch) -> None:
        self._policy = policy
        self._timing = _timing_here.get() if timing is None else timing
        self._hunch = hunch
        self._started_s = self._timing.now()
        self._failed = 0
        self._lost = 0
        self._pauses = 0
        self._pause_s = 0.0
        turn = hunch.turn if policy.turns else None
        self.options = options if turn is None else replace(options, turn=turn)

    def allows_another(self, error: BaseException) -> bool:
        """Whether another attempt may answer `error`. Counts it; if only the bounds say no, a note on it says so."""
        if not (isinstance(error, Error) and error.retryable):
            self.over()
            return False
        self._failed += 1
        self._pause_s = 0.0 if self._asks_for_turn(error) else self._next_pause_s()
        spent_s = self._timing.now() - self._started_s
        if self._failed < self._policy.attempts_max and spent_s + self._pause_s <= self._policy.deadline_s:
            return True
        self.over()
        error.add_note(self._note(spent_s))
        return False

    def pause(self) -> None:
        if self._pause_s:
            self._timing.sleep(self._pause_s)

    def committed(self, tx: Transaction) -> None:
        """The attempt that `tx` was is the last one."""
        self.over()
        if self._failed or not self._policy.turns:
            return
        if self.options.turn is None:
            self._hunch.won()
        else:
            self._hunch.took_turn(wrote_key=tx.wrote_turn, is_contended=tx.is_contended)

    def over(self) -> None:
        """There will be no other attempt."""
        if self._lost:
            self._hunch.is_over(self)

    def _asks_for_turn(self, error: Error) -> bool:
        """Have the next attempt ask for its turn, if a key was lost; whether that will do, without a pause."""
        keys = error.evidence.get("keys") if isinstance(error, ConflictError) else None
        if not keys or not self._policy.turns:
            return False
        turn = min(keys).encode()  # of several, the one that all who lost them choose
        if self._failed == 1:
            self._hunch.lost(turn)
        self._hunch.retries(self, turn)
        self._lost += 1
        self.options = replace(self.options, turn=turn, lost=self._lost)
        return self._lost == 1

    def _next_pause_s(self) -> float:
        self._pauses += 1
        return self._policy.pause_s(self._pauses, self._timing.random())

    def _note(self, spent_s: float) -> str:
        tries = "1 attempt" if self._failed == 1 else f"{self._failed} attempts"
        bounds = f"attempts_max={self._policy.attempts_max}, deadline_s={self._policy.deadline_s:g}"
        return f"gave up after {tries} over {spent_s:.3f} s ({bounds})"


class Attempt:
    """One try of a transaction: a context manager, entered once, that keeps a retryable loss to itself."""

    def __init__(self, tx: Transaction, course: _Course) -> None:
        self._tx = tx
        self._course = course
        self.entered = False
        self.lost: BaseException | None = None

    def __enter__(self) -> Transaction:
        if self.entered:
            raise BadRequestError("an attempt can be entered once only; the loop hands out the next one")
        self.entered = True
        return self._tx.__enter__()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        try:
            self._tx.__exit__(kind, error, traceback)
        except Error as refused:
            if not self._swallows(refused):
                raise
            return True
        if self._tx.commit_ts is not None:
            self._course.committed(self._tx)
        return error is not None and self._swallows(error)

    def _swallows(self, error: BaseException) -> bool:
        if self._tx.commit_ts is not None or not self._course.allows_another(error):
            return False
        self.lost = error
        return True

    def discard(self) -> None:
        """For an attempt that was not entered: end its transaction."""
        self._tx.rollback()


def attempts(
    db: Database,
    *,
    policy: RetryPolicy = DEFAULT_POLICY,
    timing: Timing | None = None,
    options: TransactionOptions = PLAINLY,
) -> Iterator[Attempt]:
    """Attempts at one transaction, ending with the one that commits.

    Each has its own new snapshot. Raises the last error when the policy is exhausted, and
    `BadRequestError` for a loop that does not enter its attempts.

    Leave the block at its end. Python gives a block no way to stop a `return` or `break` in it, should
    the commit then be lost: so commit first (`tx.commit(); return total`), or let `run` pass the value
    on. A loss that nobody retried because of that is reported as a `RuntimeWarning`.

    >>> import mvcc_kv
    >>> db = mvcc_kv.open(":memory:")
    >>> for attempt in attempts(db):
    ...     with attempt as tx:
    ...         tx["visits"] = tx.get("visits", 0) + 1
    >>> db["visits"]
    1
    """
    return _attempts(db, _Course(policy, timing, options, hunch_of(db, options.label)))


def _attempts(db: Database, course: _Course) -> Iterator[Attempt]:
    try:
        while True:
            attempt = Attempt(_begin(db, course), course)
            try:
                yield attempt
            except GeneratorExit:
                _warn_if_lost(attempt)
                raise
            if not attempt.entered:
                attempt.discard()
                raise BadRequestError("the loop did not enter its attempt: write `with attempt as tx:` inside it")
            if attempt.lost is None:
                return
            course.pause()
    finally:
        course.over()


def _begin(db: Database, course: _Course) -> Transaction:
    while True:
        try:
            return db.begin(course.options)
        except Error as error:
            if not course.allows_another(error):
                raise
        course.pause()


def _warn_if_lost(attempt: Attempt) -> None:
    if attempt.lost is not None:
        warnings.warn(
            f"a transaction was lost and not retried, because `break` or `return` left its block: {attempt.lost} "
            "(call tx.commit() before leaving)",
            RuntimeWarning,
            stacklevel=3,
        )


def run(db: Database, fn: Callable[Concatenate[Transaction, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """What `fn(tx, *args, **kwargs)` returned in the transaction that committed.

    `fn` may run several times, so what it does besides `tx` should bear repeating.

    >>> import mvcc_kv
    >>> db = mvcc_kv.open(":memory:")
    >>> run(db, lambda tx, key: tx.get(key, "nothing yet"), "greeting")
    'nothing yet'
    """
    course = _Course(DEFAULT_POLICY, None, PLAINLY, hunch_of(db, fn))
    return _run(db, course, fn, args, kwargs)


def _run(db: Database, course: _Course, fn: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
    for attempt in _attempts(db, course):
        with attempt as tx:
            result = fn(tx, *args, **kwargs)
    return result


@overload
def transactional(
    fn: Callable[Concatenate[Transaction, P], R], /
) -> Callable[Concatenate[Database | Transaction, P], R]: ...
@overload
def transactional(
    *,
    policy: RetryPolicy = ...,
    timing: Timing | None = ...,
    isolation: Isolation = ...,
    read_only: bool = ...,
    label: str | None = ...,
    durability: Durability = ...,
) -> Callable[[Callable[Concatenate[Transaction, P], R]], Callable[Concatenate[Database | Transaction, P], R]]: ...
def transactional(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    policy: RetryPolicy = DEFAULT_POLICY,
    timing: Timing | None = None,
    isolation: Isolation = "snapshot",
    read_only: bool = False,
    label: str | None = None,
    durability: Durability = "default",
) -> Callable[..., Any]:
    """A function whose first argument is a transaction, made to be called with a database as well.

    Called with a database it opens a transaction, commits it, and retries; called with a transaction it
    joins that one, whose opener commits and retries (the options given here are not used then).

    >>> import mvcc_kv
    >>> @transactional(label="transfer")
    ... def transfer(tx, source, target, amount):
    ...     tx[source] = tx[source] - amount
    ...     tx[target] = tx[target] + amount
    >>> db = mvcc_kv.open(":memory:")
    >>> db["alice"], db["bob"] = 100, 0
    >>> transfer(db, "alice", "bob", 30)
    >>> with db.transaction() as tx:
    ...     transfer(tx, "alice", "bob", 20)
    ...     transfer(tx, "bob", "alice", 5)
    >>> db["alice"], db["bob"]
    (55, 45)
    """
    options = TransactionOptions(isolation=isolation, read_only=read_only, label=label, durability=durability)

    def decorate(fn: Callable[..., R]) -> Callable[..., R]:
        _refuse_unfinished(fn)

        @functools.wraps(fn)
        def call(target: Database | Transaction, /, *args: Any, **kwargs: Any) -> R:
            if _is_transaction(target, fn):
                return fn(target, *args, **kwargs)
            db = cast(Database, target)
            return _run(db, _Course(policy, timing, options, hunch_of(db, fn)), fn, args, kwargs)

        return call

    return decorate if fn is None else decorate(fn)


def _refuse_unfinished(fn: Callable[..., object]) -> None:
    """Calling these only makes an object that would run later, after the commit."""
    if inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(f"{fn.__qualname__} can't be transactional: it is a generator or coroutine function")


def _is_transaction(target: object, fn: Callable[..., object]) -> bool:
    if hasattr(target, "transaction"):
        return False
    if hasattr(target, "rollback"):
        return True
    name = getattr(fn, "__qualname__", "a transactional function")
    raise TypeError(f"{name} takes a Database or a Transaction first, not {type(target).__name__}")
