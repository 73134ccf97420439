"""Random lives of a database: commits, deletions, checkpoints, failures, crashes and recoveries, against a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mvcc_kv.durability import log
from mvcc_kv.errors import DataDirectoryError, UnavailableError
from mvcc_kv.values import Expiring

from .disk import ALL, NONE, ONLY_DATA, ONLY_NAMES, CrashPolicy, Fault, PowerLoss, Scatter, SimulatedDisk
from .workload import Life, Told, in_full

KEYS = st.sampled_from([b"a", b"b", b"c", b"\xc3\xa9", b"\0", b"k" * 40])
VALUES = st.one_of(
    st.integers(0, 999).map(lambda number: b"%d" % number),
    st.integers(0, 3_000).map(lambda size: b'"%s"' % (b"v" * size)),
    st.integers(1, 99).map(lambda number: Expiring(b"%d" % number, 1_000 * number)),
)
WRITES = st.dictionaries(KEYS, st.one_of(st.none(), VALUES), min_size=1, max_size=5)
POLICIES: st.SearchStrategy[CrashPolicy] = st.one_of(
    st.sampled_from([ALL, NONE, ONLY_NAMES, ONLY_DATA]), st.integers(0, 2**32).map(lambda seed: Scatter(str(seed)))
)
HOW = ("fail", "half", "lie", "before", "middle", "after")


class RecoveryMachine(RuleBasedStateMachine):
    """`disk` and `life` go from crash to crash; `told` is what clients know."""

    disk: SimulatedDisk
    told: Told
    life: Life | None = None
    tokens = 0
    retain_bytes = 0

    @initialize()
    def begin(self) -> None:
        self.disk, self.told = SimulatedDisk(), Told()
        self._recover()

    def _recover(self) -> None:
        """Open what is there; a fault may end that, too."""
        self.life = None
        with self._trouble():
            self._find(Life(self.disk, self.told, retain_bytes=self.retain_bytes))

    def _find(self, life: Life) -> None:
        commit_ts = life.store.commit_ts
        assert self.told.acknowledged_ts <= commit_ts <= self.told.newest_ts
        assert in_full(life.state) == in_full(self.told.states[commit_ts])
        for token, ts in self.told.tokens.items():
            assert life.store.outcome(token) == (ts if ts <= commit_ts else None)
        life.told = self.told.since(commit_ts)
        life.check_past()
        self.life = life

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except (UnavailableError, DataDirectoryError):
            assert self.disk.fault is not None, "nothing went wrong that could excuse this"
        except PowerLoss:
            pass
        if self.life is not None:
            self.told = self.life.told

    def _is_alive(self) -> bool:
        return self.life is not None and not self.disk.is_dead and not self.life.has_failed

    @precondition(_is_alive)
    @rule(writes=WRITES, has_token=st.booleans())
    def commit(self, writes: dict[bytes, bytes | None], has_token: bool) -> None:
        assert self.life is not None
        there = self.told.states[-1]
        writes = {key: value for key, value in writes.items() if value is not None or key in there}
        if not writes:
            return
        self.tokens += 1
        with self._trouble():
            self.life.commit(writes, f"token {self.tokens}" if has_token else None)

    @precondition(_is_alive)
    @rule(writes=WRITES)
    def roll_back(self, writes: dict[bytes, bytes | None]) -> None:
        assert self.life is not None
        transaction = self.life.store.begin()
        for key, value in writes.items():
            transaction.put(key, value or b"0")
        transaction.rollback()

    @precondition(_is_alive)
    @rule()
    def checkpoint(self) -> None:
        assert self.life is not None
        with self._trouble():
            self.life.checkpoint()

    @precondition(_is_alive)
    @rule(after=st.integers(0, 12), how=st.sampled_from(HOW), lasting=st.booleans())
    def something_will_go_wrong(self, after: int, how: str, lasting: bool) -> None:
        self.disk.fault = Fault(len(self.disk.operations) + after, how, lasting=lasting)

    @precondition(_is_alive)
    @rule()
    def close_and_open(self) -> None:
        assert self.life is not None
        with self._trouble():
            self.life.keeper.close()
            self._recover()

    @rule(retain_bytes=st.sampled_from([0, 3_000, 1_000_000]))
    def the_next_start_retains(self, retain_bytes: int) -> None:
        self.retain_bytes = retain_bytes

    @rule(policy=st.one_of(st.none(), POLICIES), after=st.one_of(st.none(), st.integers(0, 12)))
    def crash(self, policy: CrashPolicy | None, after: int | None) -> None:
        """The power goes, or only the process; the next start may end soon as well."""
        before, life = self.disk, self.life
        self.disk = before.kill() if policy is None else before.crash(policy)
        if after is not None:
            self.disk.fault = Fault(after, "middle")
        if life is not None:
            life.end()
        self._recover()

    @invariant()
    def what_is_read_was_acknowledged(self) -> None:
        if self.life is None or self.disk.is_dead:
            return
        if self.life.has_failed:
            self.life.check_failed()
        assert self.life.store.visible_ts == self.told.acknowledged_ts
        assert self.life.state == self.told.states[self.told.acknowledged_ts]
        self.life.store.check()
        self.life.check_past()

    def teardown(self) -> None:
        """Whatever happened, the next start has all that was acknowledged."""
        life, self.disk = self.life, self.disk.crash(NONE)
        if life is not None:
            life.end()
        self._recover()
        assert self.life is not None
        self.life.end()


def test_random_lives_lose_nothing_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "ALLOCATE_BYTES", 2_048)
    run_state_machine_as_test(
        RecoveryMachine,
        settings=settings(
            max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
