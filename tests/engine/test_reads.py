"""Read sets: keys, and disjoint ranges."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.engine.reads import END, ReadSet

KEYS = st.binary(max_size=2).filter(lambda key: END not in key)


def test_ranges_that_touch_become_one() -> None:
    reads = ReadSet()
    for low, high in [(b"a", b"c"), (b"x", b"z"), (b"c", b"e"), (b"d", b"f")]:
        reads.add_range(low, high)
        reads.check()
    assert list(reads.ranges) == [(b"a", b"f"), (b"x", b"z")]


def test_a_scan_page_by_page_is_one_range_in_the_end() -> None:
    reads = ReadSet()
    edges = [b"%04d" % n for n in range(1_000)]
    for low, high in pairwise(edges):
        reads.add_range(low, high)
    reads.add_range(edges[-1], None)
    assert list(reads.ranges) == [(b"0000", END)]
    assert reads.used_bytes < 250


def test_an_empty_range_is_none() -> None:
    reads = ReadSet()
    reads.add_range(b"b", b"b")
    reads.add_range(b"c", b"a")
    assert not reads.has_ranges and reads.used_bytes == 0


def test_everything_has_every_key_and_takes_no_room() -> None:
    reads = ReadSet()
    reads.add_key(b"a")
    reads.become_everything()
    reads.add_key(b"b")
    reads.add_range(b"c", b"d")
    assert b"zebra" in reads and reads.used_bytes == 0
    reads.check()


@given(st.lists(st.tuples(KEYS, st.none() | KEYS)), st.lists(KEYS), KEYS)
def test_a_read_set_has_what_was_put_in_and_nothing_else(
    ranges: list[tuple[bytes, bytes | None]], keys: list[bytes], probe: bytes
) -> None:
    reads = ReadSet()
    for low, high in ranges:
        reads.add_range(low, high)
        reads.check()
    for key in keys:
        reads.add_key(key)
    reads.check()
    in_a_range = any(low <= probe and (high is None or probe < high) for low, high in ranges)
    assert reads.in_a_range(probe) is in_a_range
    assert (probe in reads) is (in_a_range or probe in keys)


@pytest.mark.parametrize("high", [None, b"m"])
def test_the_range_says_what_it_takes_to_remember_it(high: bytes | None) -> None:
    reads = ReadSet()
    reads.add_range(b"abc", high)
    assert reads.used_bytes == 200 + 3 + 1
