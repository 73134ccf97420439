"""Live snapshots: who holds what, and what goes when one of them ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.engine.snapshots import LiveSnapshots, TimestampCounts

ALL_STEPS = 1_000_000


def held(live: LiveSnapshots) -> dict[bytes, int]:
    return {key: snapshot for snapshot, _, key in live.holders()}


def test_timestamps_are_counted_and_stay_in_order() -> None:
    counts = TimestampCounts()
    for ts in (5, 3, 5):
        counts.add(ts)
    assert (list(counts), counts.oldest, len(counts), 3 in counts) == ([3, 5], 3, 2, True)
    assert counts.remove(3)
    assert not counts.remove(5)
    assert list(counts) == [5]
    assert counts.remove(5)
    assert (list(counts), counts.oldest) == ([], None)


def test_the_picture_in_the_modules_essay_holds() -> None:
    live = LiveSnapshots()
    for ts in (2, 3, 5):
        live.begin(ts)
    assert live.hold(4, 6, b"a4") and live.hold(1, 4, b"a1")
    assert held(live) == {b"a4": 5, b"a1": 3}
    live.end(3)
    assert list(live.collect(ALL_STEPS)) == []
    assert held(live) == {b"a4": 5, b"a1": 2}
    live.end(2)
    assert list(live.collect(ALL_STEPS)) == [(1, b"a1")]
    assert not live.has_garbage


def test_a_version_that_no_snapshot_sees_is_not_held() -> None:
    live = LiveSnapshots()
    assert not live.hold(1, 2, b"nobody reads")
    live.begin(2)
    assert not live.hold(1, 2, b"superseded just in time")
    live.begin(5)
    assert not live.hold(3, 5, b"between the two")
    assert live.hold(2, 3, b"seen by the older") and live.hold(5, 6, b"seen by the newer")
    assert held(live) == {b"seen by the older": 2, b"seen by the newer": 5}


def test_a_snapshot_lives_until_its_last_reader_ends() -> None:
    live = LiveSnapshots()
    live.begin(1)
    live.begin(1)
    live.hold(1, 2, b"k")
    live.end(1)
    assert (live.has_garbage, live.oldest) == (False, 1)
    live.end(1)
    assert (live.has_garbage, live.oldest) == (True, None)
    assert list(live.collect(ALL_STEPS)) == [(1, b"k")]


def test_a_timestamp_revived_while_it_is_ending_keeps_what_it_still_holds() -> None:
    live = LiveSnapshots()
    live.begin(1)
    for n in range(5):
        live.hold(1, 2, b"%d" % n)
    live.end(1)
    gone = {key for _, key in live.collect(2)}
    live.begin(1)
    live.check()
    assert not live.has_garbage
    assert list(live.collect(ALL_STEPS)) == []
    assert held(live).keys() | gone == {b"%d" % n for n in range(5)}
    assert len(gone) == 2
    live.end(1)
    assert {key for _, key in live.collect(ALL_STEPS)} | gone == {b"%d" % n for n in range(5)}


def test_handing_down_goes_on_where_it_stopped_when_the_heir_ends_too() -> None:
    live = LiveSnapshots()
    live.begin(3)
    for n in range(4):
        live.hold(1, 4, b"old %d" % n)  # seen by 3, not by 5
    live.begin(5)
    for n in range(9):
        live.hold(2, 6, b"both %d" % n)  # seen by 3 and 5, held by 5: the larger heap
    live.end(5)
    assert list(live.collect(2)) == []
    live.end(3)
    freed = []
    while live.has_garbage:
        freed += list(live.collect(1))
        live.check()
    assert len(freed) == len(set(freed)) == 13


def test_the_smaller_heap_moves_so_handing_down_is_cheap_both_ways() -> None:
    for heirs, own in ((10_000, 3), (3, 10_000)):
        live = LiveSnapshots()
        live.begin(1)
        for n in range(heirs):
            live.hold(1, 2, b"heir %d" % n)
        live.begin(2)
        for n in range(own):
            live.hold(1, 3, b"own %d" % n)
        live.end(2)
        assert list(live.collect(3)) == []  # three steps are enough
        assert not live.has_garbage
        assert set(held(live).values()) == {1}


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "supersede", "collect"]), st.integers(0, 50)), max_size=80))
def test_what_goes_is_what_no_live_snapshot_sees(steps: list[tuple[str, int]]) -> None:
    live = LiveSnapshots()
    now = 0
    readers: list[int] = []
    kept: dict[tuple[int, bytes], int] = {}  # to the timestamp that superseded it
    for number, (step, pick) in enumerate(steps):
        if step == "begin":
            live.begin(now)
            readers.append(now)
        elif step == "end" and readers:
            live.end(readers.pop(pick % len(readers)))
        elif step == "supersede":
            now += 1
            version = (pick % now, b"%d" % number)
            seen = any(version[0] <= ts < now for ts in readers)
            if live.hold(version[0], now, version[1]):
                kept[version] = now
            else:
                assert not seen
        for version in live.collect(1 + pick % 3 if step == "collect" else 0):
            superseded_ts = kept.pop(version)
            assert not any(version[0] <= ts < superseded_ts for ts in readers)
        live.check()
        assert {(commit_ts, key) for _, commit_ts, key in live.holders()} == kept.keys()
    for version in live.collect(ALL_STEPS):
        del kept[version]
    assert all(any(version[0] <= ts < kept[version] for ts in readers) for version in kept), "nothing is left over"


@given(st.lists(st.tuples(st.sampled_from(["begin", "end", "supersede", "collect"]), st.integers(0, 50)), max_size=80))
def test_what_was_superseded_just_now_is_held_as_anything_is(steps: list[tuple[str, int]]) -> None:
    plain, newest = LiveSnapshots(), LiveSnapshots()
    now = 0
    readers: list[int] = []
    for number, (step, pick) in enumerate(steps):
        for live in (plain, newest):
            if step == "begin":
                live.begin(now)
            elif step == "end" and readers:
                live.end(readers[pick % len(readers)])
            for _ in live.collect(1 + pick % 3 if step == "collect" else 0):
                pass
        if step == "begin":
            readers.append(now)
        elif step == "end" and readers:
            readers.pop(pick % len(readers))
        elif step == "supersede":
            now += 1
            version = pick % now, b"%d" % number
            assert plain.hold(version[0], now, version[1], 7) == newest.hold_newest(*version, 7)
        newest.check()
        assert list(newest.holders()) == list(plain.holders())
        assert newest.pins.total_bytes == plain.pins.total_bytes
        assert [newest.alone_bytes(ts) for ts in readers] == [plain.alone_bytes(ts) for ts in readers]
