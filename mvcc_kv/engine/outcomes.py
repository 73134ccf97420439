"""What became of commits whose client may ask again.

A client that loses its connection during COMMIT can't know whether it was applied. So it may give the commit
an id, a token of its own making, and ask on another connection:

    COMMIT {"id": "x"}  -- connection lost --   COMMIT {"id": "x"} outside a transaction
                                                  remembered: the same answer as the first time
                                                  not known:  it was not applied, and never will be

The second promise takes care twice. The first COMMIT may still be on its way, and arrive later: so who asks for an
unknown token *fences* it, and a commit that comes with it afterwards is refused. And no memory is endless:

    commit_ts   ... 41   42   43 | 44   45   46 ...
    remembered                   | all that carried a token
                        forgotten_ts = 43

A token that isn't among the remembered ones was not applied *after* `forgotten_ts`. Before, nobody can tell. So a
client that wants to be sure says which timestamp its commit must have come after, such as its snapshot's; if that is
past remembering, the answer is that there is none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from mvcc_kv.errors import NoTransactionError, UnavailableError

__all__ = ["FORGOTTEN", "OUTCOMES_KEPT", "CommitOutcomes"]

OUTCOMES_KEPT = 10_000
FENCES_KEPT = 10_000

# Where tokens are written down, forgotten_ts is the commit_ts of this one, which no client can send.
FORGOTTEN = ""


class CommitOutcomes:
    """The outcomes of the last commits that carried a token, oldest first."""

    def __init__(self, kept_max: int = OUTCOMES_KEPT, fences_max: int = FENCES_KEPT) -> None:
        self.forgotten_ts = 0
        self._kept_max = kept_max
        self._fences_max = fences_max
        self._commit_ts: OrderedDict[str, int] = OrderedDict()
        self._fences: OrderedDict[str, None] = OrderedDict()

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """What a log has to keep, for `restore`."""
        forgotten = [(FORGOTTEN, self.forgotten_ts)] if self.forgotten_ts else []
        return iter([*forgotten, *self._commit_ts.items()])

    def restore(self, tokens: Mapping[str, int]) -> None:
        """Take over what a log has kept."""
        for token, commit_ts in sorted(tokens.items(), key=lambda pair: pair[1]):
            if token == FORGOTTEN:
                self.forgotten_ts = max(self.forgotten_ts, commit_ts)
            else:
                self.keep(token, commit_ts)

    def find(self, token: str, after_ts: int | None = None) -> int | None:
        """The commit_ts of the commit with this token; None if there is none, and there will be none.

        Raises `UnavailableError` if it would be forgotten by now; that takes `after_ts`, which it came after.
        """
        commit_ts = self._commit_ts.get(token)
        if commit_ts is None and after_ts is not None and after_ts < self.forgotten_ts:
            raise UnavailableError(
                f"whether the commit {token!r} was applied can't be told any more: the outcomes of commits up to "
                f"{self.forgotten_ts} are forgotten",
                retryable=False,
                forgotten_ts=self.forgotten_ts,
            )
        if commit_ts is None:
            self._fences[token] = None
            if len(self._fences) > self._fences_max:
                self._fences.popitem(last=False)
        return commit_ts

    def applied(self, token: str) -> int | None:
        """The commit_ts if a commit with this token was applied already. Raises `NoTransactionError` for a fence."""
        if token in self._fences:
            raise NoTransactionError(
                f"the commit {token!r} was asked for before it came, and taken for lost; nothing of it is applied"
            )
        return self._commit_ts.get(token)

    def keep(self, token: str, commit_ts: int) -> None:
        """Remember that the commit with this token was applied."""
        self._commit_ts[token] = commit_ts
        if len(self._commit_ts) > self._kept_max:
            _, self.forgotten_ts = self._commit_ts.popitem(last=False)
