"""A scripted workload on a simulated disk, what its clients were told, and whether what is found later agrees."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.durability import open_directory
from mvcc_kv.durability.flushing import Fsync
from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.history import CommitHistory, retained_history
from mvcc_kv.errors import DataDirectoryError, UnavailableError
from mvcc_kv.values import Expiring

from .disk import NONE, PowerLoss, SimulatedDisk

PATH = "/data"
Writes = dict[bytes, bytes | None]


@dataclass
class Told:
    """What the clients know. `states[n]` is the state after n commits; the last `unknown` of them were not answered."""

    states: list[dict[bytes, bytes]] = field(default_factory=lambda: [{}])
    tokens: dict[str, int] = field(default_factory=dict)
    unknown: int = 0

    @property
    def newest_ts(self) -> int:
        return len(self.states) - 1

    @property
    def acknowledged_ts(self) -> int:
        return self.newest_ts - self.unknown

    def expect(self, writes: Writes, token: str | None) -> int:
        """A commit is on its way; its commit_ts."""
        state = {**self.states[-1], **writes}
        self.states.append({key: value for key, value in state.items() if value is not None})
        self.unknown += 1
        if token is not None:
            self.tokens[token] = self.newest_ts
        return self.newest_ts

    def since(self, commit_ts: int) -> Told:
        """What is known when a recovery has decided that there are so many commits."""
        tokens = {token: ts for token, ts in self.tokens.items() if ts <= commit_ts}
        return Told(self.states[: commit_ts + 1], tokens)


class Life:
    """A process with the database open on a disk, from `open` until `end`; 0 `retain_bytes`: without history."""

    def __init__(
        self,
        disk: SimulatedDisk,
        told: Told,
        fsync: Fsync = "always",
        retain_bytes: int = 0,
        *,
        history: CommitHistory | None = None,
        time_us: Callable[[], int] = lambda: 0,
    ) -> None:
        self.disk = disk
        self.told = told
        self.has_failed = False
        if history is None:
            history = retained_history(0, retain_bytes)
        self.store, self.keeper = open_directory(
            PATH, lambda: VersionedStore(history=history, time_us=time_us), files=disk, fsync=fsync, history=history
        )

    def commit(self, writes: Writes, token: str | None = None) -> None:
        """Commit, and note what becomes of it. Raises `UnavailableError`."""
        told, before_ts = self.told, self.store.commit_ts
        commit_ts = told.expect(writes, token)
        transaction = self.store.begin()
        for key, value in writes.items():
            if value is None:
                assert transaction.delete(key)
            else:
                transaction.put(key, value)
        try:
            assert transaction.commit(token) == commit_ts
        except UnavailableError:
            self.has_failed = True
            if self.store.commit_ts == before_ts:  # refused at the door
                self.told = told.since(commit_ts - 1)
            raise
        assert self.store.visible_ts == commit_ts
        told.unknown = 0

    def checkpoint(self) -> None:
        """Write a checkpoint; if that fails, life goes on."""
        with contextlib.suppress(UnavailableError):
            self.keeper.checkpoint()

    @property
    def state(self) -> dict[bytes, bytes]:
        return dict(self.store.scan(KeyRange(), limit=1_000).items)

    def check_past(self) -> None:
        """Every state that can still be read is what it was."""
        for ts in range(self.store.oldest_ts, self.store.visible_ts + 1):
            snapshot = self.store.begin(TransactionOptions(read_only=True, at=ts))
            assert dict(snapshot.scan(KeyRange(), limit=1_000).items) == self.told.states[ts]
            snapshot.rollback()

    def check_failed(self) -> None:
        """The log has failed: every commit is refused for good, and reads go on."""
        for _ in range(2):
            with pytest.raises(UnavailableError) as refused:
                self.store.put(b"refused", b"1")
            assert not refused.value.retryable
        assert self.store.visible_ts == self.told.acknowledged_ts
        assert self.state == self.told.states[self.store.visible_ts]
        assert self.store.get(b"refused") is None
        self.store.check()

    def end(self) -> None:
        """Put the database away, whatever was done to its disk; changes that disk."""
        self.disk.fault, self.disk.is_dead = None, False
        self.keeper.close()


class Workload:
    """Commits of several keys, deletions, tokens, checkpoints, a process that is killed, and clean ends."""

    def __init__(self, disk: SimulatedDisk, fsync: Fsync = "always", retain_bytes: int = 0) -> None:
        self.disk = disk
        self._told = Told()
        self._life: Life | None = None
        self.lives: list[Life] = []
        self._fsync = fsync
        self._retain_bytes = retain_bytes

    def run(self) -> bool:
        """Run until the end or until nothing goes on: whether it came to the end. Takes the fault that the disk has."""
        try:
            self._play()
        except (PowerLoss, DataDirectoryError, UnavailableError):
            return False
        return True

    @property
    def has_failed(self) -> bool:
        """Whether the log refuses commits."""
        return self._life is not None and self._life.has_failed

    @property
    def told(self) -> Told:
        """What its clients know."""
        return self._told if self._life is None else self._life.told

    def end(self) -> None:
        """Put every life away; changes their disks."""
        while self.lives:
            self.lives.pop().end()

    def _open(self) -> Life:
        self._told, self._life = self.told, None
        self._life = life = Life(self.disk, self._told, self._fsync, self._retain_bytes)
        self.lives.append(life)
        assert life.store.commit_ts == self.told.newest_ts
        assert in_full(life.state) == in_full(self.told.states[-1])
        life.check_past()
        return life

    def _play(self) -> None:
        life = self._open()
        life.commit({b"a": b"1"})
        life.commit({b"a": b"2", b"b": Expiring(b"2", 2_000)}, "t2")
        life.commit({b"a": None, b"c": b"3"})
        life.checkpoint()
        life.commit({b"a": b"4", b"b": Expiring(b"4", 4_000)}, "t4")
        life.commit({b"c": None})
        transaction = life.store.begin()
        transaction.put(b"rolled back", b"1")
        transaction.rollback()
        life.commit({b"big": b'"%s"' % (b"x" * 1_300), b"a": b"6"}, "t6")
        life.commit({b"bigger": b'"%s"' % (b"y" * 2_600), b"b": None})
        self._kill()
        life = self._open()
        life.commit({b"a": Expiring(b"8", 8_000), b"c": Expiring(b"8", 8_001)}, "t8")
        life.checkpoint()
        life.checkpoint()
        self._kill()
        self._open()
        self._kill()
        life = self._open()
        life.commit({b"a": None, b"b": b"9"}, "t9")
        life.keeper.close()
        life = self._open()
        life.commit({b"b": b"10"})
        life.keeper.close()

    def _kill(self) -> None:
        number, fault = len(self.disk.operations), self.disk.fault
        self.disk = self.disk.kill()
        self.disk.operations = ["earlier"] * number
        self.disk.fault = fault


def in_full(state: dict[bytes, bytes]) -> dict[bytes, tuple[bytes, int | None]]:
    """The state with what equality doesn't see: until when each value is there."""
    return {key: (value, value.expires_us if isinstance(value, Expiring) else None) for key, value in state.items()}


def check_recovery(disk: SimulatedDisk, told: Told, retain_bytes: int = 0, *, reaches_back: bool = False) -> int:
    """Open what a crash left: it agrees with what was told, and so does what is told from now on; the commit_ts.

    `reaches_back`: all of the past has to be there.
    """
    life = Life(disk, told, retain_bytes=retain_bytes)
    commit_ts, oldest_ts = life.store.commit_ts, life.store.oldest_ts
    assert oldest_ts == 0 or not reaches_back
    _check_state(life, told)
    told = life.told = told.since(commit_ts)
    life.commit({b"a": b"11", b"z": b"11"}, "t-next")
    after = disk.crash(NONE)
    life.end()
    life = Life(after, told, retain_bytes=retain_bytes)
    assert life.store.commit_ts == commit_ts + 1, "what was recovered and built upon is lost"
    assert life.store.oldest_ts == 0 or not reaches_back
    _check_state(life, told)
    life.end()
    return commit_ts


def _check_state(life: Life, told: Told) -> None:
    commit_ts = life.store.commit_ts
    assert told.acknowledged_ts <= commit_ts <= told.newest_ts
    assert life.store.visible_ts == commit_ts
    assert in_full(life.state) == in_full(told.states[commit_ts])
    for token, ts in told.tokens.items():
        assert life.store.outcome(token) == (ts if ts <= commit_ts else None)
    life.store.check()
    life.check_past()
    assert "log.wal.tmp" not in life.disk.contents


__all__ = ["PATH", "Life", "Told", "Workload", "check_recovery", "in_full"]
