"""What became of commits whose client may ask again.

A client that loses its connection during COMMIT can't know whether it was applied. So it may give the commit
an id, a token of its own making, and ask on another connection:

    COMMIT {"id": "x"}  -- connection lost --   COMMIT {"id": "x"} outside a transaction
                                                  remembered: the same answer as the first time
                                                  not known:  it was not applied, and never will be

The second promise takes care: the first COMMIT may still be on its way, and arrive later. So who asks for an unknown
token *fences* it: a commit that comes with it afterwards is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from mvcc_kv.errors import NoTransactionError

__all__ = ["OUTCOMES_KEPT", "CommitOutcomes"]

OUTCOMES_KEPT = 10_000


class CommitOutcomes:
    """The outcomes of the last commits that carried a token, oldest first."""

    def __init__(self, kept_max: int = OUTCOMES_KEPT) -> None:
        self._kept_max = kept_max
        self._commit_ts: OrderedDict[str, int | None] = OrderedDict()  # None: fenced

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return ((token, ts) for token, ts in list(self._commit_ts.items()) if ts is not None)

    def restore(self, tokens: Mapping[str, int]) -> None:
        """Take over what a log has kept."""
        for token, commit_ts in sorted(tokens.items(), key=lambda pair: pair[1]):
            self.keep(token, commit_ts)

    def find(self, token: str) -> int | None:
        """The commit_ts of the commit with this token; None if there is none, and there will be none."""
        if token not in self._commit_ts:
            self.keep(token, None)
        return self._commit_ts[token]

    def applied(self, token: str) -> int | None:
        """The commit_ts if a commit with this token was applied already. Raises `NoTransactionError` for a fence."""
        commit_ts = self._commit_ts.get(token)
        if commit_ts is None and token in self._commit_ts:
            raise NoTransactionError(
                f"the commit {token!r} was asked for before it came, and taken for lost; nothing of it is applied"
            )
        return commit_ts

    def keep(self, token: str, commit_ts: int | None) -> None:
        """Remember that the commit with this token was applied, or (None) that it must not be."""
        self._commit_ts[token] = commit_ts
        while len(self._commit_ts) > self._kept_max:
            self._commit_ts.popitem(last=False)
