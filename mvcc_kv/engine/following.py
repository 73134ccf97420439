"""Those who follow the commits of an embedded store: what they fetch, and how a thread waits for the next one.

    wait_past(41)      gate closed  ............  publish(42) opens it      the waiting thread goes on, and fetches 42

A thread that waits for a commit waits for keys to expire as well, since nobody else may be there to take them away.
"""

from __future__ import annotations

from threading import Lock

from mvcc_kv.api import CommittedWrites
from mvcc_kv.engine.history import CommitHistory
from mvcc_kv.engine.section import CommitSection
from mvcc_kv.engine.sweep import Sweep

__all__ = ["Followers"]

_WAIT_S_MAX = 3600.0


class Followers:
    """What `changes.py` asks of a store, beside its timestamps."""

    def __init__(self, section: CommitSection, sweep: Sweep) -> None:
        self._section = section
        self._sweep = sweep

    def commits_after(self, ts: int, limit: int) -> list[CommittedWrites]:
        """Up to `limit` visible commits after `ts`, in order. Raises `SnapshotGoneError` if they are kept no more."""
        versions = self._section.versions
        with self._section.lock:
            versions.must_be_retained(ts)
            assert versions.history is not None
            return versions.history.after(ts, min(limit, max(versions.visible_ts - ts, 0)))

    def keep_changes(self, bytes_max: int) -> None:
        """Keep the commits from now on, as far as so many bytes reach, if nothing else has us keep any."""
        section = self._section
        with section.lock:
            if section.versions.history is None:
                history = section.versions.history = CommitHistory(retain_bytes=bytes_max)
                history.begin(section.commit_ts)

    def wait_past(self, ts: int, timeout_s: float | None = None) -> bool:
        """Wait in this thread until a commit after `ts` is visible; False if none was in time, or a key's time came.

        The keys that are due then are gone when this returns.
        """
        section, timeout_s = self._section, self._until_expiry_s(timeout_s)
        gate = Lock()
        with section.lock:
            if section.versions.visible_ts > ts:
                return True
            gate.acquire()
            section.gates.append(gate)
        try:
            gate.acquire(timeout=-1 if timeout_s is None else timeout_s)
        finally:
            with section.lock:
                if gate in section.gates:
                    section.gates.remove(gate)
        if section.may_expire:
            self._sweep.first()
        return section.versions.visible_ts > ts

    def _until_expiry_s(self, timeout_s: float | None) -> float | None:
        """So long, or until the next key expires if that is sooner; what is due by now goes."""
        if self._section.may_expire:
            self._sweep.first()
        next_us = self._sweep.next_us
        if next_us is None or self._section.has_failed:
            return timeout_s
        expiry_s = max(next_us - self._section.time_us(), 0) / 1_000_000
        return min(expiry_s, _WAIT_S_MAX if timeout_s is None else timeout_s)
