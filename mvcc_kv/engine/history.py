"""Retained history: what the last commits changed, for reads in the past, HISTORY, and the change feed.

Version chains keep what live snapshots see, to the version; they know nothing of time. Who wants to look back further,
or to be told of every commit, reads here:

    commit_ts       ...  41   42 | 43       44       45           base_ts = 42: everything after it is here
    commits                      | a=3      b=1,a=4  a deleted
    by key          a            | base: a=2 (of 40), then 43 a=3, 44 a=4, 45 deleted
                    b            | no base, then 44 b=1

A key that no commit in here wrote has been the same all along: its newest version is what the past saw. Any other has
its *base*, the version that its first commit in here superseded. So the state at every timestamp from base_ts on can be
read, at the cost of a binary search a key.

Rule: base_ts only goes up, a commit at a time. What a commit wrote becomes the base of its keys then, unless it is
their newest version, which the chains have.

This is bounded by age and by size, and the size wins. Sizes are those of keys and values, with what Python takes
beside them as measured on CPython 3.11.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from math import ceil, isfinite
from typing import NamedTuple

from mvcc_kv.api import CommittedWrites
from mvcc_kv.errors import BadRequestError

__all__ = ["CommitHistory", "Superseded", "retained_history"]

COMMIT_BYTES = 250
WRITE_BYTES = 250
RETAIN_BYTES = 256 * 1024 * 1024  # where only an age is asked for
EXPIRED_AT_ONCE = 100  # how many commits a new one may make the oldest give way to
_COMPACT_AT = 64

Superseded = tuple[int, bytes]
"""The commit_ts and the value of the version that a write superseded."""


class _KeyHistory:
    """A key's retained versions, ascending, and what it held before them."""

    __slots__ = ("base", "first", "timestamps", "values")

    def __init__(self, base: Superseded | None) -> None:
        self.base = base
        self.timestamps: list[int] = []
        self.values: list[bytes | None] = []
        self.first = 0  # those before are gone; taking each out of the lists as it goes would cost too much

    def __len__(self) -> int:
        return len(self.timestamps) - self.first

    def append(self, commit_ts: int, value: bytes | None) -> None:
        self.timestamps.append(commit_ts)
        self.values.append(value)

    def trim(self) -> None:
        """The oldest version becomes the base."""
        first = self.first
        value = self.values[first]
        self.base = None if value is None else (self.timestamps[first], value)
        self.values[first] = None
        self.first = first = first + 1
        if first >= _COMPACT_AT and first * 2 > len(self.timestamps):
            del self.timestamps[:first], self.values[:first]
            self.first = 0

    def at(self, ts: int) -> Superseded | None:
        """The version that a snapshot at `ts` sees; None if there was none, or a deletion."""
        found = bisect_right(self.timestamps, ts, self.first) - 1
        if found < self.first:
            return self.base
        value = self.values[found]
        return None if value is None else (self.timestamps[found], value)

    def newest_first(self, before_ts: int) -> Iterator[tuple[int, bytes | None]]:
        for at in range(bisect_right(self.timestamps, before_ts - 1, self.first) - 1, self.first - 1, -1):
            yield self.timestamps[at], self.values[at]
        if self.base is not None and self.base[0] < before_ts:
            yield self.base


_Once = tuple[Superseded | None, int, bytes | None]
"""A key that one commit in here wrote: its base, then that commit_ts and value. Most are so."""


class CommitInfo(NamedTuple):
    """When a commit was, and what it was called."""

    time_us: int
    label: str | None


class CommitHistory:
    """The last commits: those of `retain_us` microseconds, 0 being no limit, as far as `retain_bytes` reach.

    Not thread-safe: the store calls it under its lock.
    """

    def __init__(self, *, retain_us: int = 0, retain_bytes: int) -> None:
        self.base_ts = 0
        self.used_bytes = 0
        self._retain_us = retain_us
        self._retain_bytes = retain_bytes
        self._commits: dict[int, CommittedWrites] = {}  # by commit_ts, which go up by one
        self._keys: dict[bytes, _KeyHistory | _Once] = {}

    def __len__(self) -> int:
        return len(self._commits)

    @property
    def newest_ts(self) -> int:
        """The newest commit in here; base_ts if there is none."""
        return self.base_ts + len(self._commits)

    def begin(self, ts: int) -> None:
        """Forget everything: what was before the commit at `ts` is not known, what comes after it will be."""
        self.base_ts, self.used_bytes = ts, 0
        self._commits.clear()
        self._keys.clear()

    def append(
        self,
        commit: CommittedWrites,
        superseded: Mapping[bytes, Superseded],
    ) -> None:
        """Take in the next commit, with the versions that its writes superseded, tombstones left out."""
        assert commit.commit_ts == self.newest_ts + 1, "commits come in order, and all of them"
        self._commits[commit.commit_ts] = commit
        self.used_bytes += _size(commit.writes)
        keys, commit_ts = self._keys, commit.commit_ts
        for key, value in commit.writes:
            if key in keys:
                self._of(key).append(commit_ts, value)
                continue
            base = superseded.get(key)
            keys[key] = (base, commit_ts, value)
            if base is not None:
                self.used_bytes += WRITE_BYTES + len(base[1])

    def _of(self, key: bytes) -> _KeyHistory:
        """The history of a key that is here."""
        found = self._keys[key]
        if isinstance(found, tuple):
            base, commit_ts, value = found
            found = self._keys[key] = _KeyHistory(base)
            found.append(commit_ts, value)
        return found

    def has_expired(self, now_us: int, visible_ts: int) -> bool:
        """Whether the oldest commit is too old, or one too many.

        But not one that isn't visible yet: nobody has been told of it. And the last one stays however large it is, so
        that who follows and has seen all before it is told of it, too.
        """
        if self.base_ts >= visible_ts or not self._commits:
            return False
        if self._retain_us and self._commits[self.base_ts + 1].time_us < now_us - self._retain_us:
            return True
        return self.used_bytes > self._retain_bytes and len(self._commits) > 1

    def trim(self, now_us: int, visible_ts: int, commits_max: int = EXPIRED_AT_ONCE) -> bool:
        """Let go of what has expired, at most so many commits; whether something was."""
        expired = 0
        while expired < commits_max and self.has_expired(now_us, visible_ts):
            self._let_go(self._commits[self.base_ts + 1])
            expired += 1
        return expired > 0

    def _let_go(self, commit: CommittedWrites) -> None:
        self.base_ts = commit.commit_ts
        del self._commits[commit.commit_ts]
        self.used_bytes -= _size(commit.writes)
        for key, _ in commit.writes:
            history = self._keys[key]
            if isinstance(history, tuple):
                self.used_bytes -= _base_size(history[0])
                del self._keys[key]
                continue
            self.used_bytes -= _base_size(history.base)
            if len(history) == 1:
                del self._keys[key]
            else:
                history.trim()
                self.used_bytes += _base_size(history.base)

    def has(self, key: bytes) -> bool:
        """Whether a commit in here wrote the key. If not, it has been as it is since base_ts."""
        return key in self._keys

    def at(self, ts: int, key: bytes) -> Superseded | None:
        """What a key that is in here held at `ts`, which is not before base_ts."""
        return self._of(key).at(ts)

    def newest(self) -> Iterator[tuple[int, bytes, bytes | None]]:
        """The newest version of each key that is in here: commit_ts, key and value."""
        for key, it in self._keys.items():
            yield (it[1], key, it[2]) if isinstance(it, tuple) else (it.timestamps[-1], key, it.values[-1])

    @property
    def newest_us(self) -> int:
        """When the newest commit was; 0 if there is none."""
        return self._commits[self.newest_ts].time_us if self._commits else 0

    def versions(self, key: bytes, before_ts: int) -> Iterator[tuple[int, bytes | None]]:
        """The key's versions before `before_ts`, newest first, as far as they are here."""
        return self._of(key).newest_first(before_ts) if key in self._keys else iter(())

    def info(self, commit_ts: int) -> CommitInfo | None:
        """When the commit was and what it was called; None if it is not here."""
        commit = self._commits.get(commit_ts)
        return None if commit is None else CommitInfo(commit.time_us, commit.label)

    def after(self, ts: int, limit: int) -> list[CommittedWrites]:
        """Up to `limit` commits after `ts`, which is not before base_ts, in order."""
        return [self._commits[at] for at in range(ts + 1, min(ts + limit, self.newest_ts) + 1)]

    def check(self) -> None:
        """Verify that the book-keeping agrees with itself."""
        assert list(self._commits) == list(range(self.base_ts + 1, self.base_ts + 1 + len(self._commits)))
        written: dict[bytes, list[tuple[int, bytes | None]]] = {}
        for commit in self._commits.values():
            for key, value in commit.writes:
                written.setdefault(key, []).append((commit.commit_ts, value))
        kept = {key: self._of(key) for key in self._keys}
        assert written == {
            key: list(zip(it.timestamps[it.first :], it.values[it.first :], strict=True)) for key, it in kept.items()
        }, "each key has what the commits wrote"
        assert all(it.base is None or it.base[0] <= self.base_ts for it in kept.values())
        size = sum(_size(commit.writes) for commit in self._commits.values())
        assert self.used_bytes == size + sum(_base_size(it.base) for it in kept.values())


def retained_history(retain_seconds: float, retain_bytes: int) -> CommitHistory | None:
    """The history that these settings ask for, 0 being none or no limit; None if they ask for none.

    Raises `BadRequestError` for numbers that can't be meant.

    >>> retained_history(0, 0) is None
    True
    """
    if not (isfinite(retain_seconds) and retain_seconds >= 0 and retain_bytes >= 0):
        raise BadRequestError("what is retained, in seconds and in bytes, is a finite number that is not below nought")
    if not retain_seconds and not retain_bytes:
        return None
    return CommitHistory(retain_us=ceil(retain_seconds * 1_000_000), retain_bytes=retain_bytes or RETAIN_BYTES)


def _size(writes: Iterable[tuple[bytes, bytes | None]]) -> int:
    return COMMIT_BYTES + sum(WRITE_BYTES + len(key) + len(value or b"") for key, value in writes)


def _base_size(base: Superseded | None) -> int:
    return 0 if base is None else WRITE_BYTES + len(base[1])
