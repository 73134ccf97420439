"""Random transactions on keys that expire, by a clock in the test's hands, against a model that keeps every state.

The model knows two rules. What is due goes in a commit of its own before anything else happens, if the log takes one.
And what is overdue all the same is there for nobody who comes after its time: by the clock outside transactions, by the
moment of its begin in one. After every step each open transaction's whole view is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.engine import CommitHistory, Transaction, VersionedStore
from mvcc_kv.errors import ConflictError, UnavailableError
from mvcc_kv.values import Expiring

from .test_engine_against_model import Log

KEYS = st.sampled_from([b"a", b"a", b"a", b"b", b"c"])  # on one of them it all comes together
NUMBERS = st.integers(0, 9)
TTLS_US = st.sampled_from([None, 1_000, 1_000, 2_000, 3_000])
MODES = st.sampled_from(["at once", "later"])
PICKS = st.integers(0, 100)


class Held(NamedTuple):
    """A number, and until when it is there."""

    number: int
    expires_us: int | None = None

    def is_overdue(self, now_us: int) -> bool:
        return self.expires_us is not None and self.expires_us <= now_us

    @classmethod
    def told(cls, value: bytes) -> Held:
        return cls(int(value), value.expires_us if isinstance(value, Expiring) else None)


State = dict[bytes, Held]
Writes = dict[bytes, Held | None]


def plus(held: Held | None, by: int) -> Held:
    return Held(by) if held is None else held._replace(number=held.number + by)


def there(state: State, now_us: int) -> State:
    return {key: held for key, held in state.items() if not held.is_overdue(now_us)}


@dataclass(eq=False)
class Pair:
    """A transaction, and what the model knows of it: `hidden` are the keys that were overdue when it began."""

    real: Transaction
    base: State
    hidden: set[bytes]
    is_serializable: bool
    writes: Writes = field(default_factory=dict)
    added: dict[bytes, int] = field(default_factory=dict)
    reads: set[bytes] = field(default_factory=set)

    def view(self) -> State:
        seen = self.base | self.writes | {key: plus(self.base.get(key), by) for key, by in self.added.items()}
        return {key: held for key, held in seen.items() if held is not None}

    def read(self, key: bytes) -> None:
        if key in self.added:
            self.writes[key] = plus(self.base.get(key), self.added.pop(key))
        elif key in self.writes:
            return
        self.reads.add(key)


class ExpiryAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.now_us = 1_000_000
        self.states: list[State] = [{}]
        self.visible_ts = 0
        self.written: dict[bytes, list[tuple[int, bool]]] = {}  # by key, each commit and whether it was an ADD
        self.expired = 0
        self.pairs: list[Pair] = []

    @initialize(retains=st.booleans(), collect_steps=st.sampled_from([0, 1, 1_000]), mode=MODES)
    def make(self, retains: bool, collect_steps: int, mode: str) -> None:
        history = CommitHistory(retain_bytes=100_000) if retains else None
        self.store = VersionedStore(self.log, time_us=lambda: self.now_us, history=history, collect_steps=collect_steps)
        self.put(b"a", 1, 1_000)
        self.arrive()
        self.log.mode = mode

    # The model

    @property
    def newest(self) -> State:
        return self.states[-1]

    @property
    def visible(self) -> State:
        return there(self.states[self.visible_ts], self.now_us)

    def apply(self, writes: Writes, added: set[bytes] | frozenset[bytes] = frozenset()) -> None:
        state = self.newest | writes
        self.states.append({key: held for key, held in state.items() if held is not None})
        for key in writes:
            self.written.setdefault(key, []).append((len(self.states) - 1, key in added))
        if self.log.mode == "at once":
            self.visible_ts = len(self.states) - 1

    def somebody_comes(self) -> None:
        due: Writes = {key: None for key, held in self.newest.items() if held.is_overdue(self.now_us)}
        if due and self.log.mode != "refuse":
            self.apply(due)
            self.expired += len(due)

    def lost(self, pair: Pair) -> set[bytes]:
        start_ts = pair.real.start_ts
        if not pair.writes and not pair.added:
            return set()
        keys = {key for key in pair.writes if self.changed_ts(key) > start_ts}
        keys |= {key for key in pair.added if self.changed_ts(key, by_adding=False) > start_ts}
        if pair.is_serializable:
            keys |= {key for key in pair.reads if self.changed_ts(key) > start_ts}
        return {key for key in keys if key in self.newest or key not in pair.hidden}

    def changed_ts(self, key: bytes, *, by_adding: bool = True) -> int:
        return max((ts for ts, adds in self.written.get(key, []) if by_adding or not adds), default=0)

    # What happens

    @rule(us=st.sampled_from([1_000, 1_000, 2_000, 999]))
    def time_passes(self, us: int) -> None:
        self.now_us += us

    @rule(mode=st.sampled_from(["at once", "later", "refuse"]))
    def the_log_changes(self, mode: str) -> None:
        if mode == "at once":
            self.arrive()
        self.log.mode = mode

    @rule()
    def arrive(self) -> None:
        if self.log.mode != "refuse":
            self.log.unpublished.clear()
            self.visible_ts = len(self.states) - 1
            self.store.publish(self.visible_ts)

    @rule()
    def somebody_sweeps(self) -> None:
        self.somebody_comes()
        assert not self.store.expire_due()

    @rule(key=KEYS, number=NUMBERS, ttl_us=TTLS_US)
    def put(self, key: bytes, number: int, ttl_us: int | None) -> None:
        self.somebody_comes()
        ttl_s = None if ttl_us is None else ttl_us / 1_000_000
        if self.log.mode == "refuse":
            with pytest.raises(UnavailableError):
                self.store.put(key, b"%d" % number, ttl_s=ttl_s)
            return
        self.store.put(key, b"%d" % number, ttl_s=ttl_s)
        self.apply({key: Held(number, None if ttl_us is None else self.now_us + ttl_us)})

    @precondition(lambda self: self.log.mode != "refuse")
    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.somebody_comes()
        assert self.store.delete(key) == (key in self.newest)
        if key in self.newest:
            self.apply({key: None})

    @precondition(lambda self: self.log.mode != "refuse")
    @rule(key=KEYS, by=NUMBERS)
    def add(self, key: bytes, by: int) -> None:
        self.somebody_comes()
        total = plus(self.newest.get(key), by)
        assert Held.told(self.store.add(key, b"%d" % by)) == total
        self.apply({key: total}, {key})

    @rule(is_serializable=st.booleans())
    def begin(self, is_serializable: bool) -> None:
        self.somebody_comes()
        real = self.store.begin(TransactionOptions(isolation="serializable" if is_serializable else "snapshot"))
        assert real.start_ts == self.visible_ts
        base = self.visible
        self.pairs.append(Pair(real, base, self.states[self.visible_ts].keys() - base.keys(), is_serializable))

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS, key=KEYS)
    def transaction_gets(self, at: int, key: bytes) -> None:
        pair = self.pairs[at % len(self.pairs)]
        value = pair.real.get(key)
        assert (None if value is None else Held.told(value)) == pair.view().get(key)
        pair.read(key)

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS, key=KEYS, number=NUMBERS, ttl_us=TTLS_US)
    def transaction_puts(self, at: int, key: bytes, number: int, ttl_us: int | None) -> None:
        pair = self.pairs[at % len(self.pairs)]
        pair.real.put(key, b"%d" % number, ttl_s=None if ttl_us is None else ttl_us / 1_000_000)
        pair.added.pop(key, None)
        pair.writes[key] = Held(number, None if ttl_us is None else self.now_us + ttl_us)

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS, key=KEYS, by=NUMBERS)
    def transaction_adds(self, at: int, key: bytes, by: int) -> None:
        pair = self.pairs[at % len(self.pairs)]
        pair.real.add(key, b"%d" % by)
        if key in pair.writes:
            pair.writes[key] = plus(pair.writes[key], by)
            return
        pair.added[key] = pair.added.get(key, 0) + by
        if key in pair.reads:
            pair.writes[key] = plus(pair.base.get(key), pair.added.pop(key))

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS, key=KEYS)
    def transaction_deletes(self, at: int, key: bytes) -> None:
        pair = self.pairs[at % len(self.pairs)]
        was_there = key in pair.view()
        assert pair.real.delete(key) == was_there
        pair.read(key)
        if was_there:
            pair.reads.add(key)
            if key in pair.base:
                pair.writes[key] = None
            else:
                del pair.writes[key]

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS)
    def transaction_scans(self, at: int) -> None:
        pair = self.pairs[at % len(self.pairs)]
        page = pair.real.scan(KeyRange(end=b"c"), limit=9)
        seen = {key: Held.told(value) for key, value in page.items}
        assert seen == {key: held for key, held in pair.view().items() if key < b"c"}
        for key in (b"a", b"b"):
            if key in pair.added:
                pair.writes[key] = plus(pair.base.get(key), pair.added.pop(key))
            pair.reads.add(key)

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS)
    def transaction_commits(self, at: int) -> None:
        pair = self.pairs.pop(at % len(self.pairs))
        has_written = bool(pair.writes or pair.added)
        if has_written:
            self.somebody_comes()
        lost = self.lost(pair)
        if lost:
            with pytest.raises(ConflictError) as conflict:
                pair.real.commit()
            assert set(conflict.value.keys) == {key.decode() for key in lost}
        elif has_written and self.log.mode == "refuse":
            with pytest.raises(UnavailableError):
                pair.real.commit()
        else:
            pair.real.commit()
            sums: Writes = {key: plus(self.newest.get(key), by) for key, by in pair.added.items()}
            if has_written:
                self.apply(pair.writes | sums, set(sums))

    @precondition(lambda self: self.pairs)
    @rule(at=PICKS)
    def transaction_rolls_back(self, at: int) -> None:
        self.pairs.pop(at % len(self.pairs)).real.rollback()

    # What has to hold

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        self.somebody_comes()
        value = self.store.get(key)
        assert (None if value is None else Held.told(value)) == self.visible.get(key)

    @rule(reverse=st.booleans(), limit=st.integers(1, 5))
    def scan(self, reverse: bool, limit: int) -> None:
        self.somebody_comes()
        page = self.store.scan(KeyRange(), limit=limit, reverse=reverse)
        seen = [(key, Held.told(value)) for key, value in page.items]
        assert seen == sorted(self.visible.items(), reverse=reverse)[:limit]

    @invariant()
    def every_view_is_as_it_was(self) -> None:
        for pair in self.pairs:
            page = pair.real.scan(KeyRange(), limit=9, tracked=False)
            assert {key: Held.told(value) for key, value in page.items} == pair.view()

    @invariant()
    def the_store_agrees_with_itself_and_with_the_model(self) -> None:
        self.store.check()
        assert self.store.commit_ts == len(self.states) - 1
        assert self.store.visible_ts == self.visible_ts
        times = [held.expires_us for held in self.newest.values() if held.expires_us is not None]
        assert self.store.next_expiry_us == min(times, default=None)
        counted = self.store.stats()
        assert (counted["expiring_keys"], counted["expired_total"]) == (len(times), self.expired)


TestExpiryAgainstModel = ExpiryAgainstModel.TestCase
TestExpiryAgainstModel.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)
