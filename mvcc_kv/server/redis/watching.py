"""WATCH: which keys must not change until EXEC.

    key at WATCH     since then           lost?    because its newest version
    there, at 4      nothing              no       is still that of 4
    there, at 4      deleted, forgotten   yes      is none
    there, at 4      written again        yes      is another, though the value may be the same, as in Redis
    absent           written              yes      is younger than the watch
    absent           came and went        yes      is a tombstone, younger than the watch

A key that is there needs nothing but its commit_ts to be known again: those only grow. One that is absent would look
the same when it has come and gone and its tombstone with it. So, if there is such a key, a transaction that never reads
or writes is open meanwhile, and as long as it is no tombstone that is newer goes away.
"""

from __future__ import annotations

from collections.abc import Iterable

from mvcc_kv.api import TransactionOptions
from mvcc_kv.server.served import ServedStore, ServedTransaction

__all__ = ["Watch"]

_OPTIONS = TransactionOptions(label="WATCH")


class Watch:
    """The keys that a client watches, each from the moment on when it said so.

    `there`: those that have a value. `in_lane`: the same for the quick lane, which knows no others; None if there are.
    """

    __slots__ = ("_absent", "_client", "_store", "_transaction", "in_lane", "there")

    def __init__(self, store: ServedStore, client: str | None) -> None:
        self._store = store
        self._client = client
        self.there: dict[bytes, int] = {}  # the commit_ts of the value that the client could see
        self.in_lane: dict[bytes, int] | None = self.there
        self._absent: dict[bytes, int] = {}  # the newest commit that it may have seen
        self._transaction: ServedTransaction | None = None

    def add(self, newest: Iterable[tuple[bytes, int]], seen_ts: int) -> None:
        """Watch these keys too, from now on; each comes with its newest commit, which may be on its way still.

        A key that is watched already is watched from then on still.
        """
        get = self._store.get
        now_ts = max(self._store.visible_ts, seen_ts)
        for key, newest_ts in newest:
            if key in self.there or key in self._absent:
                continue
            if get(key, seen_ts) is None:
                self._add_absent(key, now_ts)
            else:
                self.there[key] = min(newest_ts, now_ts)  # if that is older, the watch is lost already

    def _add_absent(self, key: bytes, now_ts: int) -> None:
        """A key that this client doesn't see. If it went, it is gone for all, whether or not that is visible yet.

        So it is with one that has expired: its time is past for everybody.
        """
        if self._transaction is None:
            self._transaction = self._store.begin(_OPTIONS, now_ts, client=self._client)
        is_gone = self._store.newest(key) is None
        self.in_lane = None
        self._absent[key] = max(now_ts, self._store.newest_ts(key)) if is_gone else now_ts

    @property
    def is_lost(self) -> bool:
        """Whether one of them has changed, or nobody can say because the server ended the watch."""
        newest_ts = self._store.newest_ts
        for key, commit_ts in self.there.items():
            if newest_ts(key) != commit_ts:
                return True
        if self._transaction is None:
            return False
        return self._transaction.ended is not None or any(newest_ts(key) > ts for key, ts in self._absent.items())

    def end(self) -> None:
        """Nothing is watched any more."""
        self.there.clear()
        self.in_lane = self.there
        self._absent.clear()
        if self._transaction is not None:
            self._transaction.rollback()
            self._transaction = None
