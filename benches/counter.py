"""The crowd: threads that each add one to a counter, again and again, in a transaction that reads it and writes it.

Run as a process, it says that it is ready, waits for a line, counts, and prints as JSON how many attempts each commit
took. The threads of one process share the interpreter's lock, so they run one at a time; processes of one thread each
don't.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from threading import Barrier, Thread
from typing import Any, TypeAlias

import mvcc_kv
from mvcc_kv.database import StoreDatabase
from mvcc_kv.retry import RetryPolicy

__all__ = ["Crowd", "Tally", "main", "merged"]

Increment: TypeAlias = "Callable[[str], int]"
"""Adds one to the counter of that name; how many attempts that took."""

_BARELY_BOUNDED = 100_000
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who counts where: `address` is a server's, a directory, or ":memory:".

    Of `keys` counters the n-th is as likely as 1/n; with none, each thread has one of its own. `first`: the number of
    the first of these threads, where other crowds count beside this one.
    """

    client: str
    address: str
    threads: int
    keys: int
    seconds: float
    turns: bool = True
    first: int = 0


@dataclass(slots=True)
class Tally:
    """What a crowd did: `attempts` maps a number of attempts to how many commits took so many."""

    seconds: float = 0.0
    attempts: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of_process(cls, output: str) -> Tally:
        """What a crowd has printed."""
        told = json.loads(output)
        return cls(told["seconds"], Counter(dict(told["attempts"])))

    @property
    def commits(self) -> int:
        return sum(self.attempts.values())

    @property
    def commits_per_second(self) -> float:
        return self.commits / self.seconds if self.seconds else 0.0

    @property
    def mean(self) -> float:
        return sum(tries * commits for tries, commits in self.attempts.items()) / max(self.commits, 1)

    @property
    def worst(self) -> int:
        return max(self.attempts, default=0)

    def percentile(self, share: float) -> int:
        """The attempts that this share of the commits did with."""
        left = share * self.commits
        for tries, commits in sorted(self.attempts.items()):
            left -= commits
            if left <= 0:
                return tries
        return self.worst


def merged(tallies: list[Tally]) -> Tally:
    """One tally of crowds that ran beside each other."""
    attempts = sum((it.attempts for it in tallies), Counter[int]())
    return Tally(max((it.seconds for it in tallies), default=0.0), attempts)


def _of_mvcc_kv(db: StoreDatabase, turns: bool) -> Increment:
    policy = RetryPolicy(attempts_max=_BARELY_BOUNDED, deadline_s=_PATIENCE_S, turns=turns)

    def add_one(tx: Any, name: str, tries: list[int]) -> None:
        tries.append(1)
        tx[name] = tx.get(name, 0) + 1

    add = mvcc_kv.transactional(policy=policy)(add_one)

    def increment(name: str) -> int:
        tries: list[int] = []
        add(db, name, tries)
        return len(tries)

    return increment


def _of_redis(client: Any) -> Increment:
    def increment(name: str) -> int:
        tries: list[int] = []

        def add_one(pipe: Any) -> None:
            tries.append(1)
            value = int(pipe.get(name) or 0) + 1
            pipe.multi()
            pipe.set(name, value)

        client.transaction(add_one, name)
        return len(tries)

    return increment


@contextmanager
def _incrementing(crowd: Crowd) -> Iterator[Increment]:
    if crowd.client == "redis-py":
        import redis

        host, _, port = crowd.address.rpartition(":")
        with redis.Redis(host=host, port=int(port)) as client:
            yield _of_redis(client)
        return
    remote = ":" in crowd.address and crowd.address != ":memory:"
    with mvcc_kv.connect(crowd.address) if remote else mvcc_kv.open(crowd.address) as db:
        yield _of_mvcc_kv(db, crowd.turns)


def run(crowd: Crowd, on_ready: Callable[[], None] = lambda: None) -> Tally:
    """Let the crowd count for its time, when `on_ready` has returned."""
    tallies = [Tally() for _ in range(crowd.threads)]
    ready = Barrier(crowd.threads, action=on_ready)

    def count(number: int, increment: Increment) -> None:
        chance = random.Random(number)
        names = [f"counter:{n}" for n in range(crowd.keys)] or [f"counter of {number}"]
        weights = [1 / n for n in range(1, len(names) + 1)]
        chosen = cycle(chance.choices(names, weights, k=1000))
        ready.wait()
        tally, began = tallies[number - crowd.first], time.perf_counter()
        while time.perf_counter() < began + crowd.seconds:
            tally.attempts[increment(next(chosen))] += 1
        tally.seconds = time.perf_counter() - began

    numbers = range(crowd.first, crowd.first + crowd.threads)
    with _incrementing(crowd) as increment:
        threads = [Thread(target=count, args=(number, increment)) for number in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return merged(tallies)


def main(arguments: list[str]) -> None:
    """Be the crowd that the only argument describes."""

    def wait() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    tally = run(Crowd(**json.loads(arguments[0])), wait)
    json.dump({"seconds": tally.seconds, "attempts": sorted(tally.attempts.items())}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
