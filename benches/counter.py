"""The crowd: threads that each add one to a counter, again and again, in a transaction that reads it and writes it.

Run as a process, it prints as JSON how many attempts each commit took. The threads of one process share the
interpreter's lock, so they run one at a time: between computers they would meet more often than here. Where that
matters, a crowd is spread over processes of one thread each.
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

    Of `keys` counters the n-th is as likely as 1/n; with `apart`, each thread has one of its own.
    """

    client: str
    address: str
    threads: int
    keys: int
    seconds: float
    turns: bool = True
    apart: bool = False


@dataclass(slots=True)
class Tally:
    """What a crowd did: `attempts` maps a number of attempts to how many commits took so many."""

    seconds: float = 0.0
    attempts: Counter[int] = field(default_factory=Counter)

    @property
    def commits(self) -> int:
        return sum(self.attempts.values())

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
    """One tally of crowds that ran beside each other, or one after the other."""
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


def run(crowd: Crowd) -> Tally:
    """Let the crowd count for its time."""
    tallies = [Tally() for _ in range(crowd.threads)]
    ready = Barrier(crowd.threads)

    def count(number: int, increment: Increment) -> None:
        chance = random.Random(number)
        names = [f"counter:{number}"] if crowd.apart else [f"counter:{n}" for n in range(crowd.keys)]
        weights = [1 / n for n in range(1, len(names) + 1)]
        chosen = chance.choices(names, weights, k=1000)
        ready.wait()
        tally, began = tallies[number], time.perf_counter()
        while (now := time.perf_counter()) < began + crowd.seconds:
            tally.attempts[increment(chosen[int(now * 1e6) % 1000])] += 1
        tally.seconds = time.perf_counter() - began

    with _incrementing(crowd) as increment:
        threads = [Thread(target=count, args=(number, increment)) for number in range(crowd.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return merged(tallies)


def main(arguments: list[str]) -> None:
    """Be the crowd that the only argument describes."""
    tally = run(Crowd(**json.loads(arguments[0])))
    json.dump({"seconds": tally.seconds, "attempts": tally.attempts}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
