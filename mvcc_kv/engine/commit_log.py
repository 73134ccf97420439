"""Where commits hand their record before anybody can see them: the engine's one seam to the disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mvcc_kv.engine.history import Superseded
from mvcc_kv.errors import UnavailableError

__all__ = ["CommitLog"]


class CommitLog(Protocol):
    """Where commits hand their record before anyone can see them."""

    @property
    def failure(self) -> UnavailableError | None:
        """Why no commit is taken any more; None as long as they are."""
        ...

    def append(
        self,
        commit_ts: int,
        writes: Mapping[bytes, bytes | None],
        label: str | None,
        token: str | None,
        time_us: int,
        superseded: Mapping[bytes, Superseded] | None,
    ) -> bool:
        """Take the record; whether the commit may be seen at once. If not, `publish` is called when it may.

        A write of None is a deletion. `time_us`: microseconds since 1970. `superseded`: for each key that had a value,
        the version that this commit takes the place of, where history is retained; else None. Called in the commit
        section, so it must not wait. Raising `UnavailableError` refuses the commit: nothing of it is applied.
        """
        ...

    def settle(self, commit_ts: int, *, waits: bool = True) -> None:
        """Called outside the commit section before the committer is told; may wait until the record is safe.

        `waits=False`: the committer can do without that, and only wants to see his commit.

        Raises `UnavailableError` if that can't be: the commit is not seen, and may or may not be found by a restart.
        """
        ...
