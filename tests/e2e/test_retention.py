"""Retained history outlives the process that kept it: stopped, killed, or with a damaged segment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from random import Random

import pytest

import mvcc_kv
from mvcc_kv.api import KeyVersion, TransactionOptions
from mvcc_kv.durability import DataDirectory, DirectoryKeeper, open_directory
from mvcc_kv.durability.records import segment_name
from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.history import CommitHistory
from mvcc_kv.errors import BadRequestError, DataDirectoryError, SnapshotGoneError

from .processes import serving

RETAINED = 10_000_000
START_US = 1_700_000_000_000_000
State = dict[str, object]


def states_at(db: mvcc_kv.database.StoreDatabase, oldest_ts: int, newest_ts: int) -> list[State]:
    """The state at each timestamp, read as a user reads it."""
    states: list[State] = []
    for ts in range(oldest_ts, newest_ts + 1):
        with db.transaction(at=ts, read_only=True) as tx:
            states.append(dict(tx.scan()))
    return states


def change(db: mvcc_kv.database.StoreDatabase, random: Random, states: list[State], commits: int) -> None:
    """So many commits, the state after each of which is added to `states`."""
    for _ in range(commits):
        state = dict(states[-1])
        with db.transaction() as tx:
            for _ in range(random.randint(1, 3)):
                key = f"k{random.randrange(12)}"
                if key in state and random.random() < 0.3:
                    del tx[key], state[key]
                else:
                    tx[key] = state[key] = len(states)
        states.append(state)


@pytest.mark.parametrize("seed", range(3))
def test_every_state_is_the_same_after_restarts_with_checkpoints_at_random(tmp_path: Path, seed: int) -> None:
    random, states = Random(seed), [State()]
    for _ in range(5):
        with mvcc_kv.open(tmp_path, retain_bytes=RETAINED) as db:
            assert db.stats()["oldest_ts"] == 0
            assert states_at(db, 0, len(states) - 1) == states
            for _ in range(random.randrange(4)):
                change(db, random, states, random.randint(1, 10))
                db.checkpoint()
            change(db, random, states, random.randrange(4))


KILLED = """
import os, sys
import mvcc_kv
db = mvcc_kv.open(sys.argv[1], retain_seconds=3600)
for n in range(10):
    db["k"] = n
    if n in (2, 6):
        db.checkpoint()
os.kill(os.getpid(), 9)
"""


def test_a_process_that_is_killed_leaves_its_history(tmp_path: Path) -> None:
    for life in range(2):
        assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)]).returncode == -signal.SIGKILL
        with mvcc_kv.open(tmp_path, retain_seconds=3600) as db:
            expected = [{}, *({"k": n} for _ in range(life + 1) for n in range(10))]
            assert states_at(db, 0, 10 * (life + 1)) == expected


def test_a_key_that_was_there_before_history_began_is_in_the_past_after_a_restart(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path) as db:
        db["old"], db["other"] = 1, 2
    for ts in (3, 4, 5):
        with mvcc_kv.open(tmp_path, retain_bytes=RETAINED) as db:
            db["other" if ts < 5 else "old"] = ts
    with mvcc_kv.open(tmp_path, retain_bytes=RETAINED) as db:
        assert states_at(db, 2, 5) == [
            {"old": 1, "other": 2},
            {"old": 1, "other": 3},
            {"old": 1, "other": 4},
            {"old": 5, "other": 4},
        ]
        with pytest.raises(SnapshotGoneError) as gone:
            db.transaction(at=1)
        assert gone.value.evidence["oldest_ts"] == 2


def opened(path: Path) -> tuple[VersionedStore, DirectoryKeeper]:
    """The store itself, as `mvcc_kv.open` opens it; the clock moves on by a second whenever it is looked at."""
    history, clock = CommitHistory(retain_bytes=RETAINED), count(START_US, 1_000_000)
    return open_directory(path, lambda: VersionedStore(history=history, time_us=clock.__next__), history=history)


def test_versions_keep_their_time_and_label_over_a_restart(tmp_path: Path) -> None:
    store, keeper = opened(tmp_path)
    transaction = store.begin(TransactionOptions(label="opening"))
    transaction.put(b"a", b"1")
    transaction.commit()
    store.delete(b"a")
    store.put(b"a", b"3")
    before = store.history(b"a", limit=10)
    keeper.close()
    assert [version._replace(time_us=None) for version in before.versions] == [
        KeyVersion(3, b"3"),
        KeyVersion(2, None),
        KeyVersion(1, b"1", None, "opening"),
    ]
    times_us = [version.time_us or 0 for version in before.versions]
    assert times_us == sorted(set(times_us), reverse=True) and times_us[-1] >= START_US
    store, keeper = opened(tmp_path)
    assert store.history(b"a", limit=10) == before
    keeper.close()


def test_a_server_keeps_history_over_a_stop_a_kill_and_a_damage(tmp_path: Path) -> None:
    options = ("--retain-seconds", "3600", "--log-format", "json")
    ends = ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0))
    for life, (number, status) in enumerate(ends):
        with serving(*options, cwd=tmp_path) as server:
            client = server.connect()
            assert client.asked(b"STATS")["oldest_ts"] == 0
            for n in range(3):
                client.ask(b"PUT k %d" % (3 * life + n))
            assert client.asked(b"STATS")["wal_bytes"] > 9 * 32 * life
            server.signal(number)
            assert server.ended() == status
    data = tmp_path / "data"
    with mvcc_kv.open(data, retain_seconds=3600) as db:
        assert states_at(db, 0, 9) == [{}, *({"k": str(n)} for n in range(9))]
    middle = data / segment_name(3)
    middle.write_bytes(middle.read_bytes()[:-1])
    with serving(*options, cwd=tmp_path) as server:
        client = server.connect()
        assert client.asked(b"GET k")["value"] == "8"
        assert client.asked(b"STATS")["oldest_ts"] == 6
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
        events = [json.loads(line) for line in server.logged.decode().splitlines()]
    lost = next(line for line in events if line["event"] == "some of the past is lost, and no data")
    assert lost["level"] == "WARNING" and middle.name in lost["at"] and lost["oldest_ts"] == 6


def test_history_without_a_directory_is_kept_in_memory() -> None:
    with mvcc_kv.open(retain_bytes=RETAINED) as db:
        db["a"] = 1
        db["a"] = 2
        assert states_at(db, 0, 2) == [{}, {"a": 1}, {"a": 2}]
    with mvcc_kv.open() as db:
        db["a"] = 1
        with pytest.raises(SnapshotGoneError):
            db.transaction(at=0)


@pytest.mark.parametrize(
    "retained", [{"retain_seconds": -1}, {"retain_bytes": -1}, {"retain_seconds": float("inf")}], ids=str
)
def test_what_can_not_be_retained_is_refused_and_nothing_is_opened(tmp_path: Path, retained: dict[str, float]) -> None:
    with pytest.raises(BadRequestError, match="retained"):
        mvcc_kv.open(tmp_path / "data", **retained)  # type: ignore[arg-type]
    assert not (tmp_path / "data").exists()


def test_a_refused_start_with_history_changes_nothing(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path, retain_bytes=RETAINED) as db:
        for n in range(5):
            db["k"] = n
            db.checkpoint()
    (tmp_path / "checkpoint.json").write_bytes(b"{}")
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    with pytest.raises(DataDirectoryError):
        mvcc_kv.open(tmp_path, retain_bytes=RETAINED)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before
    DataDirectory.open(tmp_path).close()
