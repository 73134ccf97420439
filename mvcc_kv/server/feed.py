"""CHANGES: every commit, told in order as it becomes visible, for as long as the client listens.

    {"ts": 57}                                        at once; and when nothing was said for a while
    {"commit_ts": 58, "time": ..., "changes": [...]}  a commit
    {"lost": [59, 80], "resync_at": 80}               some of these are kept no more; it goes on with 81

A feed is a place in the store's history, and a line is made of it when the client has room for one. So a consumer that
stands still costs its unread output and no more, writers know nothing of it, and the history goes on letting go of
commits. Should it come back too late, the history knows what is gone: that is the lost line.

Rule: `ts` goes up only over commits that were told, passed over because of the prefix, or reported as lost. So every
commit is in exactly one of these, and whoever begins anew from the last one told misses none and sees none twice.
"""

from __future__ import annotations

from collections.abc import Callable

from mvcc_kv.engine.changes import COMMITS_AT_ONCE, ChangeSource, commits_after, has_news
from mvcc_kv.errors import SnapshotGoneError
from mvcc_kv.protocol.replies import changes_reply, result_reply

__all__ = ["Feed"]

_TURN_BYTES = 1024 * 1024
_COMMITS_A_TURN_MAX = 4_000


class Feed:
    """A client's feed: a `Stream` that has no end of its own. `clock` gives seconds."""

    def __init__(self, store: ChangeSource, prefix: bytes, from_ts: int, clock: Callable[[], float]) -> None:
        self.ts = from_ts
        self.said_at = clock()
        self._store = store
        self._prefix = prefix
        self._clock = clock
        self._owes_sign = True  # a line that says how far it is, unless there is something better to say
        self._until_ts: int | None = None
        self._visible_ts = store.visible_ts  # at the last turn

    @property
    def is_over(self) -> bool:
        return self._until_ts is not None and self.ts >= self._until_ts

    @property
    def is_ready(self) -> bool:
        return self._owes_sign or has_news(self._store, self.ts)

    @property
    def gives_way(self) -> bool:
        return True

    def more(self, bytes_max: int) -> bytes:
        """The next lines: of a hundred commits, or as many as keep up. None, if the prefix was left alone."""
        said = self._told(min(bytes_max, _TURN_BYTES))
        if not said and self._owes_sign:
            said = [result_reply({"ts": self.ts})]
        if said:
            self._owes_sign = False
            self.said_at = self._clock()
        return b"".join(said)

    def beat(self) -> None:
        """Nothing was said for a while: give a sign of life when there is room for it."""
        self._owes_sign = True

    def finish(self) -> None:
        """Tell what has been committed by now, and end."""
        self._until_ts = self._store.visible_ts

    def close(self) -> None:
        """There is nothing to put away."""

    def _told(self, bytes_max: int) -> list[bytes]:
        try:
            commits = commits_after(self._store, self.ts, self._helping())
        except SnapshotGoneError:
            return [self._lost(self._store.visible_ts)]
        said: list[bytes] = []
        for commit in commits:
            if bytes_max <= 0:
                break
            self.ts = commit.commit_ts
            told = commit.under(self._prefix)
            if told is not None:
                said.append(changes_reply(told))
                bytes_max -= len(said[-1])
        return said

    def _helping(self) -> int:
        """How many commits it is told in this turn: more than were made in the last one, so that it catches up."""
        visible_ts, self._visible_ts = self._visible_ts, self._store.visible_ts
        return max(COMMITS_AT_ONCE, min(2 * (self._visible_ts - visible_ts), _COMMITS_A_TURN_MAX))

    def _lost(self, resync_ts: int) -> bytes:
        """It has to begin anew: at what is newest, lest it be too late for the next ones as well."""
        line = result_reply({"lost": [self.ts + 1, resync_ts], "resync_at": resync_ts})
        self.ts = resync_ts
        return line
