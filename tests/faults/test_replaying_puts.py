"""Commits that only put a key are replayed many at a time: a log, whole or damaged, is judged as if they were not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.durability import log as log_module
from mvcc_kv.durability.checkpoint import Checkpoint
from mvcc_kv.durability.log import Log, LogEnd
from mvcc_kv.durability.records import HEADER_BYTES, segment_name
from mvcc_kv.durability.recovery import Recovery, read_log
from mvcc_kv.durability.replay import Replay
from mvcc_kv.errors import DataDirectoryError

from .disk import SimulatedDisk

PATH = "/data"
KEYS = st.sampled_from([b"a", b"b", b"c"])
WRITES = st.one_of(
    st.dictionaries(KEYS, st.just(b'"put"'), min_size=1, max_size=1),
    st.dictionaries(KEYS, st.just(b'"put"'), min_size=1, max_size=1),
    st.dictionaries(KEYS, st.none() | st.just(b"1"), min_size=1, max_size=2),
)
TOKENS = st.none() | st.none() | st.just("token")
COMMITS = st.lists(st.tuples(WRITES, TOKENS, st.booleans(), st.booleans()), min_size=1, max_size=20)

Commits = list[tuple[dict[bytes, bytes | None], str | None, bool, bool]]
Outcome = tuple[Recovery | str, dict[bytes, bytes], int]


def written(commits: Commits) -> SimulatedDisk:
    """A log of these; each may end a batch, and a segment."""
    disk = SimulatedDisk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_module, "ALLOCATE_BYTES", 1_024)
        write(commits, Log(PATH, LogEnd(), files=disk))
    return disk


def write(commits: Commits, log: Log) -> None:
    log.rotate()
    for ts, (writes, token, ends_batch, ends_segment) in enumerate(commits, 1):
        log.append(ts, writes, None, token and f"{token}{ts}", 1, None)
        if (ends_batch or ends_segment or ts == len(commits)) and (batch := log.batch()) is not None:
            log.write(batch)
            log.sync()
            log.settled(batch.last_ts)
        if ends_segment:
            log.rotate()
    log.close()


def outcome(disk: SimulatedDisk, checkpoint_ts: int, *, has_puts: bool) -> Outcome:
    """What there is to know after reading it: the recovery or the refusal, and the state that was reached."""
    replay = Replay(Checkpoint(checkpoint_ts, {b"a": b"0"}))
    try:
        recovery = read_log(PATH, checkpoint_ts, replay.take, files=disk, puts=replay if has_puts else None)
    except DataDirectoryError as error:
        return f"{error} {error.evidence}", replay.items, replay.commit_ts
    return recovery, replay.items, replay.commit_ts


@given(COMMITS, st.integers(0, 20))
def test_a_whole_log_comes_to_the_same(commits: Commits, checkpoint_ts: int) -> None:
    disk = written(commits)
    found = outcome(disk, min(checkpoint_ts, len(commits)), has_puts=True)
    assert found == outcome(disk, min(checkpoint_ts, len(commits)), has_puts=False)
    assert found[2] == len(commits)


@settings(max_examples=300)
@given(COMMITS, st.integers(0, 20), st.data())
def test_a_damaged_log_is_judged_the_same(commits: Commits, checkpoint_ts: int, data: st.DataObject) -> None:
    disk = written(commits)
    name = data.draw(st.sampled_from(sorted(disk.contents)))
    text = bytearray(disk.contents[name])
    used = max(len(bytes(text).rstrip(b"\0")), HEADER_BYTES)
    at = data.draw(st.integers(0, used - 1))
    text[at] ^= data.draw(st.integers(1, 255))
    disk.put(name, bytes(text[: data.draw(st.sampled_from([at, used, len(text)]))]))
    assert outcome(disk, checkpoint_ts, has_puts=True) == outcome(disk, checkpoint_ts, has_puts=False)


def test_progress_is_told_also_where_many_are_replayed_at_a_time() -> None:
    told: list[int] = []
    replay = Replay(Checkpoint(50_000, {}), told.append)
    for commit_ts in (99_999, 100_000, 150_000, 350_000):
        replay.passed(commit_ts)
    assert told == [50_000, 300_000]


def test_only_what_a_checkpoint_lacks_is_replayed() -> None:
    disk = written([({b"a": b"%d" % ts}, None, False, False) for ts in range(1, 10)])
    for checkpoint_ts in (0, 4, 9):
        recovery, items, commit_ts = outcome(disk, checkpoint_ts, has_puts=True)
        assert isinstance(recovery, Recovery)
        assert recovery.commits_replayed == 9 - checkpoint_ts and commit_ts == 9
        assert items == {b"a": b"9" if checkpoint_ts < 9 else b"0"}
    assert segment_name(0) in disk.contents
