"""A log without a disk under it, that breaks or waits when the test says so."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from threading import Event
from typing import Any, NamedTuple

from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.lanes import Written
from mvcc_kv.errors import UnavailableError

from .running import DEADLINE_S


class Batch(NamedTuple):
    last_ts: int


class BreakingLog:
    """A log without a disk under it, whose writes wait while `may_write` is clear, and fail once it `is_broken`."""

    def __init__(self) -> None:
        self.failure: UnavailableError | None = None
        self.may_write = Event()
        self.may_write.set()
        self.is_broken = False
        self.used_bytes = self.segment_bytes = 0
        self.may_rotate = True
        self._pending_ts = 0

    @property
    def has_pending(self) -> bool:
        return self._pending_ts > 0

    def append(
        self,
        commit_ts: int,
        writes: Mapping[bytes, bytes | None],
        label: str | None,
        token: str | None,
        time_us: int,
        superseded: object,
    ) -> bool:
        if self.failure is not None:
            raise self.failure
        self._pending_ts = commit_ts
        return False

    def append_lane(self, first_ts: int, writes: list[Written], time_us: int, label: str | None = None) -> None:
        self._pending_ts = first_ts + len(writes) - 1

    def settle(self, commit_ts: int, *, waits: bool = True) -> None:
        pass

    def refuse(self, error: BaseException) -> None:
        self.failure = self.failure or UnavailableError(f"the log can't be written: {error}", retryable=False)
        self._pending_ts = 0

    def batch(self) -> Batch:
        batch, self._pending_ts = Batch(self._pending_ts), 0
        return batch

    def settled(self, ts: int) -> None:
        pass

    def write(self, batch: Any) -> None:
        assert self.may_write.wait(DEADLINE_S)
        if self.is_broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.used_bytes += 100
        self.segment_bytes += 100

    def sync(self) -> None:
        pass

    def rotate(self, tokens: Iterable[tuple[str, int]]) -> None:
        if not self.may_rotate:
            raise UnavailableError("no room for a new segment", retryable=True)
        self.segment_bytes = 0

    def drop(self, checkpoint_ts: int) -> None:
        pass


def logged(log: BreakingLog) -> VersionedStore:
    store = VersionedStore()
    store.attach(log)
    return store
