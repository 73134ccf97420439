"""The nemesis: does what its seed says, mends all that it broke, and notes when."""

from __future__ import annotations

import random
import threading

import pytest

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.nemesis import Fault, Nemesis, faults_of
from mvcc_kv.stress.target import RemoteTarget

DEADLINE_S = 10.0


class Stage:
    """Faults that only note that they were done; `enough` is set after so many."""

    def __init__(self, wanted: int) -> None:
        self.done: list[str] = []
        self.enough = threading.Event()
        self._wanted = wanted

    def fault(self, kind: str) -> Fault:
        def begin(rng: random.Random) -> str:
            self.done.append(f"{kind} begins")
            return f"{rng.randrange(100)}"

        def end() -> None:
            self.done.append(f"{kind} ends")
            if len(self.done) >= 2 * self._wanted:
                self.enough.set()

        return Fault(kind, begin, end, (0.0, 0.001))


def played(seed: int, wanted: int, kinds: str = "abc") -> tuple[Stage, Nemesis]:
    stage = Stage(wanted)
    nemesis = Nemesis([stage.fault(kind) for kind in kinds], seed=seed, quiet_s=(0.0, 0.001), faults_max=wanted)
    nemesis.start(0)
    assert stage.enough.wait(DEADLINE_S)
    nemesis.stop()
    return stage, nemesis


def test_a_seed_replays_the_faults() -> None:
    one, same, other = (played(seed, 30)[0].done for seed in (1, 1, 2))
    assert one == same != other


def test_every_kind_comes_before_any_comes_again() -> None:
    _, nemesis = played(1, 9)
    assert sorted(event.kind for event in nemesis.events[:3]) == ["a", "b", "c"]
    assert sorted(event.kind for event in nemesis.events) == sorted("abc" * 3)


def test_one_fault_ends_before_the_next_begins_and_each_is_noted_with_its_times() -> None:
    stage, nemesis = played(3, 12)
    assert all(it.endswith("begins") for it in stage.done[::2]) and all(it.endswith("ends") for it in stage.done[1::2])
    times = [time for event in nemesis.events for time in (event.begun_ns, event.ended_ns)]
    assert times == sorted(times)


def test_what_is_broken_when_it_is_stopped_is_mended() -> None:
    begun = threading.Event()
    mended: list[bool] = []

    def begin(_: random.Random) -> str:
        begun.set()
        return ""

    fault = Fault("long", begin, lambda: mended.append(True), (3600.0, 3600.0))
    nemesis = Nemesis([fault], seed=1, quiet_s=(0.0, 0.0))
    nemesis.start(0)
    assert begun.wait(DEADLINE_S)
    nemesis.stop()
    assert mended == [True]


def test_a_fault_that_fails_is_told() -> None:
    def begin(_: random.Random) -> str:
        raise OSError("no")

    nemesis = Nemesis([Fault("bad", begin, lambda: None, (0.0, 0.0))], seed=1, quiet_s=(0.0, 0.0))
    nemesis.start(0)
    nemesis._thread.join(DEADLINE_S)
    [error] = nemesis.errors
    assert "OSError: no" in error


def test_a_fault_that_the_target_cannot_have_is_refused() -> None:
    def connect(_: int) -> None:
        raise AssertionError

    with pytest.raises(BadRequestError, match=r"'kill' can't be done to .* here; those that can: none"):
        faults_of(["kill"], RemoteTarget("127.0.0.1:1", connect), None)  # type: ignore[arg-type]
