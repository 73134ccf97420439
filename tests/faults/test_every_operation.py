"""Every operation that a workload does to its disk fails, or is the last one: nothing acknowledged is ever lost."""

from __future__ import annotations

import errno
from collections.abc import Hashable
from random import Random

import pytest

from mvcc_kv.durability import flushing, log
from mvcc_kv.durability.flushing import Fsync
from mvcc_kv.durability.records import segment_ts
from mvcc_kv.errors import DataDirectoryError, UnavailableError

from .disk import ALL, NONE, ONLY_DATA, ONLY_NAMES, CrashPolicy, Fault, PowerLoss, Scatter, SimulatedDisk
from .workload import Life, Told, Workload, check_recovery

SCATTERED = 8
CRASHES = ("before", "middle", "after")
RETAINED = {
    "no history": 0,
    "a little history": 4_000,
    "history": 1_000_000,
}  # a little: segments are removed as it goes


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "ALLOCATE_BYTES", 2_048)


def operations_of_the_workload(fsync: Fsync = "always", retain_bytes: int = 0) -> list[str]:
    workload = Workload(SimulatedDisk(), fsync, retain_bytes)
    assert workload.run()
    return workload.disk.operations


def check_crashes(
    disk: SimulatedDisk, told: Told, seed: str, retain_bytes: int = 0, *, reaches_back: bool = False
) -> None:
    """Recover from a crash in every way that we can think of, and from the process alone being killed."""
    policies: list[CrashPolicy] = [ALL, NONE, ONLY_NAMES, ONLY_DATA]
    policies += [Scatter(f"{seed}/{number}") for number in range(SCATTERED)]
    left = {tuple(crashed.contents.items()): crashed for crashed in map(disk.crash, policies)}
    for crashed in left.values():
        check_recovery(crashed, told, retain_bytes, reaches_back=reaches_back)
    check_recovery(disk.kill(), told, retain_bytes, reaches_back=reaches_back)


def test_the_workload_does_everything() -> None:
    operations = {"write", "write_at", "sync", "sync_data", "rename", "truncate", "allocate", "remove", "create"}
    assert set(operations_of_the_workload()) > operations | {"sync_directory", "read", "list", "close"}
    workload = Workload(SimulatedDisk(), retain_bytes=RETAINED["a little history"])
    assert workload.run()
    life = Life(workload.disk, workload.told, retain_bytes=RETAINED["a little history"])
    assert 0 < life.store.oldest_ts < life.store.visible_ts
    assert min(filter(None, map(segment_ts, workload.disk.contents))) > 1, "segments are removed, too"
    life.end()


@pytest.mark.parametrize("retained", RETAINED)
@pytest.mark.parametrize("how", CRASHES)
def test_a_crash_at_any_operation_loses_nothing_acknowledged(how: str, retained: str) -> None:
    retain_bytes, reaches_back = RETAINED[retained], retained == "history"
    for at in range(len(operations_of_the_workload(retain_bytes=retain_bytes))):
        workload = Workload(SimulatedDisk(fault=Fault(at, how)), retain_bytes=retain_bytes)
        assert not workload.run()
        check_crashes(workload.disk, workload.told, f"{how}/{at}", retain_bytes, reaches_back=reaches_back)
        workload.end()


@pytest.mark.parametrize("retained", ["no history", "a little history"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from there on"])
@pytest.mark.parametrize(("how", "error"), [("fail", errno.EIO), ("half", errno.ENOSPC), ("lie", errno.EIO)])
def test_any_operation_that_fails_loses_nothing_acknowledged(
    how: str, error: int, lasting: bool, retained: str
) -> None:
    retain_bytes = RETAINED[retained]
    for at in range(len(operations_of_the_workload(retain_bytes=retain_bytes))):
        workload = Workload(SimulatedDisk(fault=Fault(at, how, error, lasting=lasting)), retain_bytes=retain_bytes)
        workload.run()
        if workload.has_failed:
            workload.lives[-1].check_failed()
        check_crashes(workload.disk, workload.told, f"{how}/{at}", retain_bytes)
        if workload.has_failed:
            check_close(workload, f"{how}/{at}/closed", retain_bytes)
        workload.end()


def check_close(workload: Workload, seed: str, retain_bytes: int) -> None:
    """After a failure: whether it can write a last checkpoint or not, a close leaves a directory that can be opened."""
    life = workload.lives[-1]
    try:
        life.keeper.close()
    except UnavailableError as error:
        assert error.retryable  # noqa: PT017 (either is fine)
        life.end()
    assert life.disk.open_files == {}
    check_crashes(life.disk, life.told, seed, retain_bytes)


@pytest.mark.parametrize(("before", "after"), [("history", "no history"), ("no history", "history")])
def test_a_start_with_another_retention_loses_nothing_either(before: str, after: str) -> None:
    for at in range(len(operations_of_the_workload(retain_bytes=RETAINED[before]))):
        workload = Workload(SimulatedDisk(fault=Fault(at, "middle")), retain_bytes=RETAINED[before])
        workload.run()
        check_crashes(workload.disk, workload.told, f"{before}/{at}", RETAINED[after])
        workload.end()


def test_a_crash_during_recovery_loses_nothing_either() -> None:
    seen: set[Hashable] = set()
    for at in range(len(operations_of_the_workload())):
        retain_bytes = RETAINED["history"] if at % 2 else 0
        workload = Workload(SimulatedDisk(fault=Fault(at, "middle")), retain_bytes=retain_bytes)
        workload.run()
        for policy in (NONE, Scatter(f"first/{at}")):
            disk = workload.disk.crash(policy)
            state = tuple(disk.contents.items()), workload.told.acknowledged_ts
            if state not in seen:
                seen.add(state)
                check_recoveries_cut_short(disk, workload.told, f"{at}", retain_bytes)
        check_recoveries_cut_short(workload.disk.kill(), workload.told, f"{at}/killed", retain_bytes)
        workload.end()


def check_recoveries_cut_short(disk: SimulatedDisk, told: Told, seed: str, retain_bytes: int) -> None:
    whole = disk.kill()
    life = Life(whole, told, retain_bytes=retain_bytes)
    operations, commit_ts = len(whole.operations), life.store.commit_ts
    life.end()
    random = Random(seed)
    for at in range(operations):
        how = random.choice(["before", "middle", "after", "fail"])
        policies: list[CrashPolicy] = [ALL, NONE, Scatter(seed)]
        policy = random.choice(policies)
        cut_short = disk.kill()
        cut_short.fault = Fault(at, how)
        try:
            Life(cut_short, told, retain_bytes=retain_bytes).end()
        except (PowerLoss, UnavailableError, DataDirectoryError):
            assert cut_short.open_files == {} or how != "fail"
            reaches_back = bool(retain_bytes)
            found_ts = check_recovery(cut_short.crash(policy), told, retain_bytes, reaches_back=reaches_back)
            assert found_ts == commit_ts or policy is not ALL


@pytest.mark.parametrize("fsync", ["interval", "never"])
@pytest.mark.parametrize("how", CRASHES)
def test_without_fsync_a_killed_process_loses_nothing(fsync: Fsync, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "INTERVAL_S", 3_600.0)  # the ticker has tests of its own
    for at in range(len(operations_of_the_workload(fsync))):
        workload = Workload(SimulatedDisk(fault=Fault(at, how)), fsync)
        assert not workload.run()
        check_recovery(workload.disk.kill(), workload.told)
        check_recovery(workload.disk.crash(ALL), workload.told)
        check_power_loss(workload, f"{fsync}/{how}/{at}")
        workload.end()


def check_power_loss(workload: Workload, seed: str) -> None:
    """What was not synced may be gone, but only from the end, and whole commits of it."""
    told = Told(workload.told.states, workload.told.tokens, workload.told.newest_ts)
    check_crashes(workload.disk, told, seed)
