"""What the engine should do, in the simplest form: the whole state as a dict, kept for every commit_ts there was."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    writes: dict[bytes, bytes | None] = field(default_factory=dict)

    def view(self) -> dict[bytes, bytes]:
        """What it sees: its snapshot under its own writes."""
        seen = self.state | self.writes
        return {key: value for key, value in seen.items() if value is not None}

    def put(self, key: bytes, value: bytes) -> None:
        self.writes[key] = value

    def delete(self, key: bytes) -> bool:
        if key not in self.view():
            return False
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

    def begin(self, *, read_only: bool = False, label: str | None = None) -> ModelTransaction:
        transaction = ModelTransaction(self.visible_ts, self.visible, read_only, label)
        self.open.append(transaction)
        return transaction

    def end(self, transaction: ModelTransaction) -> None:
        self.open.remove(transaction)

    def winners(self, transaction: ModelTransaction) -> dict[str, Winner]:
        """Who keeps the transaction from committing, by key in the order of its writes."""
        newest = {key: self.history[key][-1][0] for key in transaction.writes if key in self.history}
        return {key.decode(): Winner(ts, self.labels[ts]) for key, ts in newest.items() if ts > transaction.start_ts}

    def apply(self, writes: dict[bytes, bytes | None], label: str | None = None, *, visible: bool = True) -> int:
        state = self.newest | writes
        self.states.append({key: value for key, value in state.items() if value is not None})
        self.labels[self.commit_ts] = label
        for key, value in writes.items():
            self.history.setdefault(key, []).append((self.commit_ts, value))
        if visible:
            self.publish(self.commit_ts)
        return self.commit_ts

    def publish(self, ts: int) -> None:
        self.visible_ts = max(self.visible_ts, ts)

    # What is to be kept

    @property
    def horizon(self) -> int:
        """Nobody can clash with a commit at or before this."""
        return min([self.visible_ts, *(tx.start_ts for tx in self.open if not tx.read_only)])

    def chains(self) -> dict[bytes, Chain]:
        """The versions, newest first, that a snapshot sees, or may come to see: by brute force from all there were."""
        points = {tx.start_ts for tx in self.open} | set(range(self.visible_ts, self.commit_ts + 1))
        return {key: self._seen_from(points, versions) for key, versions in self.history.items()}

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
