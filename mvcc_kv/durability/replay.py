"""What a log is replayed on: the items of a checkpoint, and how far they have come since."""

from __future__ import annotations

from collections.abc import Callable

from mvcc_kv.durability.checkpoint import Checkpoint, in_order
from mvcc_kv.durability.records import Commit

__all__ = ["Replay"]

_PROGRESS_COMMITS = 100_000


class Replay:
    """The state that a replay has come to: it stays when the replay ends in damage.

    `items` and `passed` are for commits that only put a key, many at a time; `take` is for all others. `progress` is
    called now and then with the number of commits replayed.
    """

    def __init__(self, checkpoint: Checkpoint, progress: Callable[[int], None] = lambda commits: None) -> None:
        """What the checkpoint holds is taken over, and changed."""
        self.commit_ts = checkpoint.commit_ts
        self.items = checkpoint.items
        self._progress = progress
        self._began_ts = checkpoint.commit_ts

    @property
    def checkpoint(self) -> Checkpoint:
        """The state as a checkpoint."""
        has_moved = self.commit_ts > self._began_ts
        return Checkpoint(self.commit_ts, in_order(self.items) if has_moved else self.items)

    def take(self, commit_ts: int, commit: Commit) -> None:
        """The next commit was this."""
        for key, value in commit.writes:
            if value is None:
                self.items.pop(key, None)
            else:
                self.items[key] = value
        self.passed(commit_ts)

    def passed(self, commit_ts: int) -> None:
        """The items are as of this commit now."""
        before, self.commit_ts = self.commit_ts, commit_ts
        if before // _PROGRESS_COMMITS < commit_ts // _PROGRESS_COMMITS:
            self._progress(commit_ts - self._began_ts)
