"""What a load of transactions is, what came of it, and which keys it takes."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

__all__ = ["Connection", "Done", "Job", "Script", "System", "apart", "choices", "incremented", "key_name"]

_CHOICES = 4096
_DIGITS = 32

Script: TypeAlias = Generator[Any, Any, bool]
"""One attempt: yields requests, is given their replies, and returns whether it was committed."""


@dataclass(frozen=True, slots=True)
class Job:
    """So many connections to a system, each with transactions on some of so many keys.

    `is_skewed`: the first key is taken most, the n-th 1/n as often. `is_apart`: a command in each round trip.
    """

    system: str
    port: int
    connections: int
    keys: int
    keys_each: int
    is_skewed: bool
    seconds: float
    is_apart: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it. `conflicts`: attempts that lost to another. `cpu_s`: the generator's own processor time."""

    commits: int
    conflicts: int
    seconds: float
    cpu_s: float


class Connection(Protocol):
    """A connection with one request under way at a time."""

    def fileno(self) -> int: ...

    def begin(self, request: Any) -> None:
        """Send the request."""
        ...

    def take(self) -> Any:
        """Receive what is there; the replies, or None as long as they are not whole."""
        ...

    def attempt(self, keys: Sequence[bytes]) -> Script:
        """The script of a transaction that adds one to each of these."""
        ...

    def close(self) -> None: ...


class System(Protocol):
    """How to connect to a system, to set its counters to nothing and to sum them up."""

    def connect(self, port: int) -> Connection: ...

    def stock(self, port: int, keys: int) -> None:
        """Set so many counters to zero."""
        ...

    def total(self, port: int, keys: int) -> int:
        """Their sum."""
        ...


def apart(script: Script) -> Script:
    """The script with each command of a list in a round trip of its own; what it yields in a tuple stays together."""
    try:
        request = next(script)
        while True:
            replies = []
            if isinstance(request, list):
                for command in request:
                    replies += yield [command]
            else:
                replies = yield request
            request = script.send(replies)
    except StopIteration as ended:
        return bool(ended.value)


def key_name(number: int) -> bytes:
    """A key of 16 bytes."""
    return b"key:%012d" % number


def incremented(value: bytes) -> bytes:
    """One more, in 32 bytes."""
    return b"%0*d" % (_DIGITS, int(value) + 1)


def choices(job: Job) -> list[tuple[bytes, ...]]:
    """The keys of one transaction after the other; in order within each, or those who lock could block each other."""
    choose = random.Random(job.keys_each)
    weights = [1 / (number + 1) if job.is_skewed else 1.0 for number in range(job.keys)]
    numbers = choose.choices(range(job.keys), weights, k=_CHOICES * job.keys_each)
    made = []
    for start in range(0, len(numbers), job.keys_each):
        picked = set(numbers[start : start + job.keys_each])
        while len(picked) < min(job.keys_each, job.keys):
            picked.add(choose.choices(range(job.keys), weights)[0])
        made.append(tuple(key_name(number) for number in sorted(picked)))
    return made
