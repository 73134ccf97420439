"""Early notice: a transaction that has lost already is told so by the next command that succeeds.

    t1: START          t2: PUT a 9 (commit 7)
    t1: PUT a 1        Ok, "this transaction has lost key 'a' to commit 7 already; ROLLBACK and run it again"

What it does until COMMIT is in vain, and only the client can stop. To look costs what the commit's validation costs, by
the size of what was read and written; so it is not done at each command, but when an eighth of that is new:

    looks at so many keys   1 2 3 4 5 6 7 8 10 12 14 16 19 22 26 ... 92 106 122 ... 920 1052 ...

All looks together are at eight times as many keys as there are, at most.

PING looks each time, and once the client was told so does DEL, which can take a key back and the loss with it. Of a
commit that isn't visible yet nothing is said: a transaction that began now would lose to it again.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["EarlyNotice"]

_NEW_AT_LOOK = 8  # one key in so many


class _Losing(Protocol):
    """What is asked of a transaction."""

    @property
    def start_ts(self) -> int: ...
    def clash(self) -> tuple[bytes, int] | None: ...


class EarlyNotice:
    """What to say to the client of an open transaction. `keys`: how many it has read and written, roughly."""

    __slots__ = ("_text", "_transaction", "_unseen", "keys")

    def __init__(self, transaction: _Losing) -> None:
        self._transaction = transaction
        self._unseen = 0
        self._text: str | None = None
        self.keys = 0

    @property
    def is_given(self) -> bool:
        """Whether the client was told, and nothing else since."""
        return self._text is not None

    def after(self, keys: int, visible_ts: int, *, exactly: bool) -> str | None:
        """What to say after a command that read or wrote so many keys; None if it isn't known to have lost.

        `exactly`: look now. What was said once is said again without looking.
        """
        self.keys += keys
        self._unseen += keys
        if visible_ts <= self._transaction.start_ts:
            return None
        if exactly or (self._text is None and self._unseen * _NEW_AT_LOOK >= self.keys):
            self._look(visible_ts)
        return self._text

    def _look(self, visible_ts: int) -> None:
        self._unseen = 0
        clash = self._transaction.clash()
        if clash is None or clash[1] > visible_ts:
            self._text = None
            return
        key, commit_ts = clash
        self._text = (
            f"this transaction has lost key {key.decode()!r} to commit {commit_ts} already; ROLLBACK and run it again"
        )
