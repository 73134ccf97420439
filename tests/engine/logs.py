"""A commit log for tests: commits are seen when the test publishes them."""

from __future__ import annotations

from collections.abc import Mapping

from mvcc_kv.engine.lanes import Written
from mvcc_kv.errors import UnavailableError


class DeferringLog:
    """Takes every record, and leaves it to others to publish the commit."""

    failure: UnavailableError | None = None

    def append(
        self,
        commit_ts: int,
        writes: Mapping[bytes, bytes | None],
        label: str | None,
        token: str | None,
        time_us: int,
        superseded: object,
    ) -> bool:
        return False

    def append_lane(self, first_ts: int, writes: list[Written], time_us: int, label: str | None = None) -> None:
        pass

    def settle(self, commit_ts: int, *, waits: bool = True) -> None:
        pass
