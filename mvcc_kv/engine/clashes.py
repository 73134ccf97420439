"""What open transactions can still clash with: the marks that recent commits leave on their keys.

    labels        what a commit was called, for the conflict report of whoever loses to it
    tombstones    a deleted key with nothing below it looks like one that never was; but who has seen it alive, or has
                  found it absent before it came and went, must clash with its deletion
    sums          a key whose newest version was made by ADD: other ADDs don't clash with that, only with the newest
                  commit that was not an ADD. a: PUT 4, ADD 5, ADD 6: an ADD that started at 4 or later wins
    recent        the keys of the last commits while serializable transactions are open: a shortcut when one has read
                  a range with many keys, of which few can have changed

Rule: marks are in the order of commits, and go when no open transaction started before them: then nobody can clash
with them any more. That, and so everything here, is bounded by what is committed while a transaction is open.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, takewhile

from mvcc_kv.engine.chains import Version
from mvcc_kv.engine.freeing import SupersededVersion
from mvcc_kv.errors import Winner

__all__ = ["Marks", "RecentKeys"]

RECENT_KEYS_MAX = 50_000
MARK_BYTES = 250  # what a mark takes beside its key or label, with the tombstone's own node


class _Label:
    """What a commit is called, and how many heads of it are left to clash with."""

    __slots__ = ("heads", "text")

    def __init__(self, text: str, heads: int) -> None:
        self.text = text
        self.heads = heads


class Marks:
    """The marks on the newest versions. `note` is told of each write before it is linked."""

    def __init__(self) -> None:
        self.used_bytes = 0
        self._labels: OrderedDict[int, _Label] = OrderedDict()  # by commit_ts
        self._tombstones: OrderedDict[bytes, int] = OrderedDict()  # by commit_ts, heads only
        self._sums: OrderedDict[bytes, tuple[int, int]] = OrderedDict()  # (head's commit_ts, newest other commit_ts)

    def name(self, commit_ts: int, label: str, keys: int) -> None:
        """The commit, of so many keys, is called so."""
        self._labels[commit_ts] = _Label(label, keys)
        self.used_bytes += MARK_BYTES + len(label)

    def winner(self, commit_ts: int) -> Winner:
        label = self._labels.get(commit_ts)
        return Winner(commit_ts, None if label is None else label.text)

    def note(self, key: bytes, head: Version | None, commit_ts: int, *, deletes: bool, adds: bool) -> None:
        """The commit supersedes the key's `head`."""
        if head is not None:
            if self._labels:
                self._unname(head[0])
            if head[1] is None:
                self.forget_tombstone(key)
        if deletes:
            self.remember_tombstone(key, commit_ts)
        if adds:
            self.used_bytes += 0 if key in self._sums else MARK_BYTES + len(key)
            self._sums[key] = commit_ts, self.written_ts(key, head)
            self._sums.move_to_end(key)
        elif self._sums and self._sums.pop(key, None) is not None:
            self.used_bytes -= MARK_BYTES + len(key)

    def written_ts(self, key: bytes, head: Version | None) -> int:
        """The newest commit of the key that wasn't an ADD, as far as one can clash with it; 0 if there is none."""
        if key in self._sums:
            return self._sums[key][1]
        return 0 if head is None else head[0]

    def remember_tombstone(self, key: bytes, commit_ts: int) -> None:
        """The key was deleted, by the newest commit so far."""
        self._tombstones[key] = commit_ts
        self.used_bytes += MARK_BYTES + len(key)

    def note_clear(self, below: Iterable[Version]) -> None:
        """A commit supersedes these heads, which are all that have a value. Its tombstones are not listed here."""
        if self._labels:
            for head in below:
                self._unname(head[0])
        self.used_bytes -= _weight(self._sums)
        self._sums.clear()  # each was a key's newest version, and a value

    def take_in(self, label: str, commits: Iterable[tuple[int, int]], superseded: Iterable[SupersededVersion]) -> None:
        """Commits have this label, each of so many keys; these versions are heads no more. No marks are on keys."""
        for commit_ts, keys in commits:
            self.name(commit_ts, label, keys)
        if self._labels:
            for _, commit_ts, _, _ in superseded:
                self._unname(commit_ts)

    def _unname(self, commit_ts: int) -> None:
        """A head of this commit was superseded; with its last one goes its label."""
        label = self._labels.get(commit_ts)
        if label is not None:
            label.heads -= 1
            if not label.heads:
                del self._labels[commit_ts]
                self.used_bytes -= MARK_BYTES + len(label.text)

    @property
    def has_keys(self) -> bool:
        """Whether there are marks on keys, not only labels of commits."""
        return bool(self._tombstones or self._sums)

    @property
    def is_empty(self) -> bool:
        return not (self._labels or self._tombstones or self._sums)

    def has_expired(self, horizon: int) -> bool:
        """Whether there are marks that nobody can clash with, all open transactions being from `horizon` or later."""
        return any(ts <= horizon for ts in self._oldest())

    def _oldest(self) -> Iterator[int]:
        if self._tombstones:
            yield next(iter(self._tombstones.values()))
        if self._labels:
            yield next(iter(self._labels))
        if self._sums:
            yield next(iter(self._sums.values()))[0]

    def expire(self, horizon: int) -> tuple[bytes, int] | None:
        """Forget the oldest mark of each kind, if it has expired; the tombstone's key and commit_ts if one was."""
        if self._labels and next(iter(self._labels)) <= horizon:
            _, label = self._labels.popitem(last=False)
            self.used_bytes -= MARK_BYTES + len(label.text)
        if self._sums and next(iter(self._sums.values()))[0] <= horizon:
            key, _ = self._sums.popitem(last=False)
            self.used_bytes -= MARK_BYTES + len(key)
        if self._tombstones and next(iter(self._tombstones.values())) <= horizon:
            key, commit_ts = self._tombstones.popitem(last=False)
            self.used_bytes -= MARK_BYTES + len(key)
            return key, commit_ts
        return None

    def bytes_up_to(self, ts: int | None) -> int:
        """What the marks of commits up to `ts` take, all of them if it is None; cost by how many they are."""
        if ts is None:
            return self.used_bytes
        texts = chain(
            (key for key, _ in takewhile(lambda it: it[1] <= ts, self._tombstones.items())),
            (label.text for _, label in takewhile(lambda it: it[0] <= ts, self._labels.items())),
            (key for key, _ in takewhile(lambda it: it[1][0] <= ts, self._sums.items())),
        )
        return sum(MARK_BYTES + len(text) for text in texts)

    def clear(self) -> None:
        """Forget all marks."""
        self._labels.clear()
        self._tombstones.clear()
        self._sums.clear()
        self.used_bytes = 0

    def forget_tombstone(self, key: bytes) -> None:
        """The key is out of the index, or has a value again."""
        if self._tombstones.pop(key, None) is not None:
            self.used_bytes -= MARK_BYTES + len(key)

    def check(self, heads: dict[bytes, Version], horizon: int, cleared: Collection[int]) -> None:
        """Verify that every head that can be clashed with is marked as it should be, unless by a `cleared` commit."""
        assert self.used_bytes == self._weight()
        tombstones = {key: head[0] for key, head in heads.items() if head[1] is None}
        assert self._tombstones.items() <= tombstones.items(), "only heads are listed"
        assert self._tombstones.items() >= {
            (key, ts) for key, ts in tombstones.items() if ts > horizon and ts not in cleared
        }
        assert list(self._tombstones.values()) == sorted(self._tombstones.values())
        committed = [head[0] for head in heads.values()]
        for ts, label in self._labels.items():
            assert ts <= horizon or label.heads == committed.count(ts), "a label stays while a head can be lost to it"
        for key, (head_ts, written_ts) in self._sums.items():
            assert written_ts < head_ts == heads[key][0], "a sum is the newest version of its key"

    def _weight(self) -> int:
        names = [label.text for label in self._labels.values()]
        return _weight(self._tombstones) + _weight(self._sums) + _weight(names)


def _weight(texts: Collection[bytes | str]) -> int:
    return MARK_BYTES * len(texts) + sum(map(len, texts))


class RecentKeys:
    """The keys that the last commits wrote, as far back as `base_ts`; only kept while somebody asks."""

    def __init__(self, keys_max: int = RECENT_KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._users = 0
        self._base_ts = 0
        self._commits: dict[int, tuple[bytes, ...]] = {}  # by commit_ts, which go up by one
        self._count = 0

    def begin(self, commit_ts: int) -> None:
        """Somebody may ask what comes after `commit_ts`."""
        if not self._users:
            self._base_ts = commit_ts
        self._users += 1

    def end(self) -> None:
        self._users -= 1
        if not self._users:
            self._commits.clear()
            self._count = 0

    def note(self, commit_ts: int, keys: tuple[bytes, ...]) -> None:
        """The commit wrote these keys."""
        if not self._users:
            return
        self._commits[commit_ts] = keys
        self._count += len(keys)
        while self._count > self._keys_max:
            self._base_ts += 1
            self._count -= len(self._commits.pop(self._base_ts))

    @property
    def wants_keys(self) -> bool:
        return self._users > 0

    def covers(self, ts: int) -> bool:
        """Whether every commit after `ts` is here."""
        return ts >= self._base_ts

    def __len__(self) -> int:
        """How many keys are here, with repetitions."""
        return self._count

    def after(self, ts: int) -> Iterator[bytes]:
        """The keys of every commit after `ts`, the newest first."""
        for commit_ts in range(self._base_ts + len(self._commits), ts, -1):
            yield from self._commits[commit_ts]
