"""Turns: transactions that would only beat each other begin one after the other.

Whoever has lost a key asks, with the next attempt, for its turn on that key:

    a  |-- wins ---|            |...waits...|-- wins --|
    b  |------ loses -- asks -> |-- wins ---|               begins when nobody has the turn
    c  |------ loses -- asks -> |..........waits.......|-- wins --|
                                ^ a's next run asks at once: it knows that the key is hot

A turn is advice, never a lock. Nothing about conflicts changes; who doesn't ask goes on as ever and may still win; and
nobody is kept waiting by one that is slow, stuck or gone:

- Who has the turn loses it when somebody has watched him have it for a whole `TURN_S`. His transaction goes on, and
  may commit.
- Who has waited for `WAIT_TICKS` times `TURN_S` begins without a turn.

Of those who wait the one that has lost the most attempts is next, then the one that came first.

There is no clock in here. While a ticket waits, its owner calls `tick` every `TURN_S`; a server does so by a timer,
a thread by the timeout of the lock that it waits at (`TurnsOfThreads`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from itertools import count
from threading import Lock
from typing import TypeAlias

__all__ = ["TURN_S", "WAIT_TICKS", "Ticket", "Turns", "TurnsOfThreads"]

TURN_S = 0.1
WAIT_TICKS = 10
LOST_MAX = 20  # who claims to have lost more is no better off

_Begin: TypeAlias = "Callable[[Ticket], None]"


class Ticket:
    """A place in the queue for a key. `waited`: it was not its turn at once."""

    __slots__ = ("_begin", "_left", "_queue", "_rank", "_watched", "waited")

    def __init__(self, queue: _Queue, rank: tuple[int, int], begin: _Begin) -> None:
        self._queue = queue
        self._rank = rank
        self._begin: _Begin | None = begin  # None once it has begun, or was withdrawn
        self._watched: Ticket | None = None  # who had the turn at the last tick
        self._left = WAIT_TICKS
        self.waited = False

    @property
    def key(self) -> bytes:
        """The key that it is for."""
        return self._queue.key

    @property
    def has_turn(self) -> bool:
        """Whether it is its turn now."""
        return self._queue.holder is self

    @property
    def is_waiting(self) -> bool:
        """Whether it has not begun yet."""
        return self._begin is not None

    @property
    def waiting(self) -> int:
        """How many wait for a turn on this key."""
        return len(self._queue.waiting)

    def tick(self) -> None:
        """It has waited for another `TURN_S`: who had the turn all that time loses it, and patience has an end."""
        if not self.is_waiting:
            return
        self._left -= 1
        holder = self._queue.holder
        if self._left <= 0:
            self._queue.leave(self)
            self._start()
        elif holder is self._watched:
            self._queue.hand_on()
        else:
            self._watched = holder

    def end(self) -> None:
        """It is over: if it was its turn, the next one begins; if it waited, it never will. Any time, any often."""
        self._begin, was_waiting = None, self.is_waiting
        if was_waiting:
            self._queue.leave(self)
        elif self.has_turn:
            self._queue.hand_on()

    def _start(self) -> None:
        begin, self._begin = self._begin, None
        assert begin is not None, "it begins once"
        begin(self)


class _Queue:
    """Who has the turn on a key, and who waits for it, the next one first."""

    __slots__ = ("holder", "is_handing_on", "key", "queues", "waiting")

    def __init__(self, queues: dict[bytes, _Queue], key: bytes) -> None:
        self.queues = queues
        self.key = key
        self.holder: Ticket | None = None
        self.is_handing_on = False
        self.waiting: list[tuple[tuple[int, int], Ticket]] = []

    def join(self, ticket: Ticket) -> None:
        if self.holder is None:
            self._hand_to(ticket)
            return
        ticket.waited = True
        ticket._watched = self.holder
        insort(self.waiting, (ticket._rank, ticket))

    def leave(self, ticket: Ticket) -> None:
        del self.waiting[bisect_left(self.waiting, (ticket._rank,))]

    def hand_on(self) -> None:
        """The turn is over: on to the next, if there is one, and on again if that one ends at once."""
        self.holder = None
        if self.is_handing_on:
            return
        self.is_handing_on = True
        while self.holder is None and self.waiting:
            self._hand_to(self.waiting.pop(0)[1])
        self.is_handing_on = False
        if self.holder is None:
            del self.queues[self.key]

    def _hand_to(self, ticket: Ticket) -> None:
        self.holder = ticket
        ticket._start()


class Turns:
    """Who may begin now, key by key. Belongs to one thread, or to one lock.

    >>> turns = Turns()
    >>> first = turns.ask(b"hits", 0, lambda _: print("first"))
    first
    >>> late = turns.ask(b"hits", 1, lambda _: print("lost once"))
    >>> later = turns.ask(b"hits", 2, lambda _: print("lost twice"))
    >>> first.waiting
    2
    >>> first.end()
    lost twice
    """

    def __init__(self) -> None:
        self._queues: dict[bytes, _Queue] = {}
        self._arrivals = count()

    def __len__(self) -> int:
        """How many keys somebody has the turn on."""
        return len(self._queues)

    def ask(self, key: bytes, lost: int, begin: _Begin) -> Ticket:
        """A ticket for the key's turn; `begin(ticket)` is called once: now, or when its turn or its patience has come.

        What `begin` does must not raise. It may end tickets and ask for others.
        """
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(self._queues, key)
        ticket = Ticket(queue, (-min(lost, LOST_MAX), next(self._arrivals)), begin)
        queue.join(ticket)
        return ticket

    def check(self) -> None:
        """Verify every invariant. Raises `AssertionError`."""
        for key, queue in self._queues.items():
            assert queue.key == key
            assert queue.holder is not None and not queue.holder.is_waiting, "a queue is there while a turn is taken"
            ranks = [rank for rank, _ in queue.waiting]
            assert ranks == sorted(set(ranks)), "the next one stands first"
            assert all(ticket.is_waiting and ticket._rank == rank for rank, ticket in queue.waiting)


class TurnsOfThreads:
    """Turns for threads, which stand still until theirs has come. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._turns = Turns()

    def take(self, key: bytes, lost: int) -> Ticket:
        """A ticket that has begun. Blocks while others have their turn, but for `WAIT_TICKS * TURN_S` at most."""
        begun = Lock()  # held until then: a one-shot event
        begun.acquire()
        with self._lock:
            ticket = self._turns.ask(key, lost, lambda _: begun.release())
        try:
            while not begun.acquire(timeout=TURN_S):
                with self._lock:
                    ticket.tick()
        except BaseException:  # Ctrl-C
            self.end(ticket)
            raise
        return ticket

    def end(self, ticket: Ticket) -> None:
        """The ticket's transaction is over: the next one may begin. Any time, any often."""
        with self._lock:
            ticket.end()
