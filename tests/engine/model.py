"""What the engine should do, in the simplest form: the whole state as a dict, kept for every commit_ts there was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from mvcc_kv.api import KeyRange
from mvcc_kv.errors import Winner

__all__ = ["Chain", "Model", "ModelTransaction", "items_in"]

Chain = list[tuple[int, bytes | None]]


@dataclass(eq=False)
class ModelTransaction:
    """An open transaction: where it reads, and what it wrote so far."""

    start_ts: int
    state: dict[bytes, bytes]
    read_only: bool = False
    label: str | None = None
    serializable: bool = False
    writes: dict[bytes, bytes | None] = field(default_factory=dict)
    added: dict[bytes, int] = field(default_factory=dict)
    reads: set[bytes] = field(default_factory=set)
    ranges: list[KeyRange] = field(default_factory=list)

    def view(self) -> dict[bytes, bytes]:
        """What it sees: its snapshot under its own writes."""
        seen = self.state | self.writes | {key: self.sum(key) for key in self.added}
        return {key: value for key, value in seen.items() if value is not None}

    def sum(self, key: bytes) -> bytes:
        return b"%d" % (int(self.state.get(key, b"0")) + self.added[key])

    def get(self, key: bytes) -> bytes | None:
        """Reading a key that was added to makes that a write."""
        value = self.view().get(key)
        if key not in self.writes:
            self.reads.add(key)
            self._add_no_more([key])
        return value

    def scanned(self, keys: KeyRange) -> None:
        self.ranges.append(keys)
        self._add_no_more([key for key in self.added if key in keys])

    def _add_no_more(self, keys: list[bytes]) -> None:
        for key in keys:
            if key in self.added and not self.read_only:
                self.writes[key] = self.sum(key)
                del self.added[key]

    def has_read(self, key: bytes) -> bool:
        return key in self.reads or any(key in keys for keys in self.ranges)

    def put(self, key: bytes, value: bytes) -> None:
        self.added.pop(key, None)
        self.writes[key] = value

    def add(self, key: bytes, by: int) -> None:
        if key in self.writes:
            self.writes[key] = b"%d" % (int(self.writes[key] or b"0") + by)
            return
        self.added[key] = self.added.get(key, 0) + by
        if self.has_read(key):
            self._add_no_more([key])

    def delete(self, key: bytes) -> bool:
        if self.get(key) is None:
            return False
        self.reads.add(key)
        if key in self.state:
            self.writes[key] = None
        else:
            del self.writes[key]
        return True


class Model:
    """The store: every state it ever had, by commit_ts, and every version, by key."""

    def __init__(self) -> None:
        self.states: list[dict[bytes, bytes]] = [{}]
        self.visible_ts = 0
        self.history: dict[bytes, Chain] = {}  # oldest first
        self.labels: dict[int, str | None] = {}
        self.sums: set[tuple[bytes, int]] = set()  # versions that ADD made
        self.base_ts: int | None = None  # how far back history is retained
        self.open: list[ModelTransaction] = []

    @property
    def commit_ts(self) -> int:
        return len(self.states) - 1

    @property
    def newest(self) -> dict[bytes, bytes]:
        return self.states[-1]

    @property
    def visible(self) -> dict[bytes, bytes]:
        return self.states[self.visible_ts]

    def begin(
        self, *, read_only: bool = False, label: str | None = None, serializable: bool = False
    ) -> ModelTransaction:
        transaction = ModelTransaction(self.visible_ts, self.visible, read_only, label, serializable)
        self.open.append(transaction)
        return transaction

    def end(self, transaction: ModelTransaction) -> None:
        self.open.remove(transaction)

    def winners(self, transaction: ModelTransaction) -> dict[str, Winner]:
        """Who keeps the transaction from committing, by key in the order of its writes."""
        if not transaction.writes and not transaction.added:
            return {}
        newest = {key: self.history[key][-1][0] for key in transaction.writes if key in self.history}
        for key in transaction.added:
            others = [ts for ts, _ in self.history.get(key, []) if (key, ts) not in self.sums]
            newest[key] = max(others, default=0)
        if transaction.serializable:
            read = [key for key in self.history if transaction.has_read(key)]
            newest |= {key: self.history[key][-1][0] for key in read}
        return {key.decode(): Winner(ts, self.labels[ts]) for key, ts in newest.items() if ts > transaction.start_ts}

    def merged(self, transaction: ModelTransaction) -> dict[bytes, bytes | None]:
        """What the transaction writes if it commits now."""
        added = transaction.added.items()
        return transaction.writes | {key: b"%d" % (int(self.newest.get(key, b"0")) + by) for key, by in added}

    def apply(
        self,
        writes: dict[bytes, bytes | None],
        label: str | None = None,
        *,
        visible: bool = True,
        added: Iterable[bytes] = (),
    ) -> int:
        state = self.newest | writes
        self.states.append({key: value for key, value in state.items() if value is not None})
        self.labels[self.commit_ts] = label
        for key, value in writes.items():
            self.history.setdefault(key, []).append((self.commit_ts, value))
        self.sums |= {(key, self.commit_ts) for key in added}
        if visible:
            self.publish(self.commit_ts)
        return self.commit_ts

    def publish(self, ts: int) -> None:
        self.visible_ts = max(self.visible_ts, ts)

    # What is to be kept

    @property
    def horizon(self) -> int:
        """Nobody can clash with a commit at or before this."""
        retained = [] if self.base_ts is None else [self.base_ts]
        return min([self.visible_ts, *retained, *(tx.start_ts for tx in self.open if not tx.read_only)])

    def chains(self) -> dict[bytes, Chain]:
        """The versions, newest first, that a snapshot sees, or may come to see: by brute force from all there were."""
        points = {tx.start_ts for tx in self.open} | set(range(self.visible_ts, self.commit_ts + 1))
        return {key: self._seen_from(points, versions) for key, versions in self.history.items()}

    def pinned(self, kept: dict[bytes, Chain], ts: int | None = None) -> list[tuple[bytes, bytes | None]]:
        """The superseded versions, of those kept, that open snapshots see, or only the one transaction at `ts` does.

        Which are kept differs by tombstones that are the same as nothing.
        """
        points = [tx.start_ts for tx in self.open]
        if ts is not None and points.count(ts) > 1:
            return []
        pinned = []
        for key, versions in self.history.items():
            visible = [version for version in versions if version[0] <= self.visible_ts]
            for (commit_ts, value), (superseded_ts, _) in pairwise(visible):
                seen_by = {point for point in points if commit_ts <= point < superseded_ts}
                is_kept = (commit_ts, value) in kept.get(key, [])
                if is_kept and seen_by and (ts is None or seen_by == {ts}):
                    pinned.append((key, value))
        return pinned

    def needed(self, chains: dict[bytes, Chain]) -> dict[bytes, Chain]:
        """The chains less tombstones that are the same as nothing: those at the bottom.

        But as a chain's newest version a tombstone is needed while an open transaction could clash with it.
        """
        needed = {}
        for key, chain in chains.items():
            kept = list(chain)
            while kept and kept[-1][1] is None and (len(kept) > 1 or kept[0][0] <= self.horizon):
                kept.pop()
            if kept:
                needed[key] = kept
        return needed

    @staticmethod
    def _seen_from(points: set[int], versions: Chain) -> Chain:
        seen = {max((version for version in versions if version[0] <= point), default=None) for point in points}
        return sorted((version for version in seen if version is not None), key=lambda version: -version[0])


def items_in(state: dict[bytes, bytes], keys: KeyRange, *, reverse: bool = False) -> list[tuple[bytes, bytes]]:
    """What a whole scan of the range returns."""
    return sorted(
        (
            (key, value)
            for key, value in state.items()
            if key.startswith(keys.prefix) and key >= keys.start and (keys.end is None or key < keys.end)
        ),
        reverse=reverse,
    )
