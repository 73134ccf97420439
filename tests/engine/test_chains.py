"""Version chains: what a reader finds in one, and what taking a version out leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.engine.chains import Version, versions, visible, without, without_all

CHAINS = st.sets(st.integers(1, 30)).map(sorted)


def chain(timestamps: list[int]) -> Version | None:
    """A chain of versions at these timestamps, given oldest first."""
    head: Version | None = None
    for ts in timestamps:
        head = (ts, b"%d" % ts, head)
    return head


def timestamps(head: Version | None) -> list[int]:
    return [ts for ts, _, _ in versions(head)]


@given(CHAINS, st.integers(0, 31))
def test_a_snapshot_sees_the_newest_version_at_or_before_it(at: list[int], ts: int) -> None:
    seen = visible(chain(at), ts)
    assert (None if seen is None else seen[0]) == max((one for one in at if one <= ts), default=None)


def test_a_tombstone_is_seen_as_a_version_without_a_value() -> None:
    assert visible((2, None, (1, b"x", None)), 5) == (2, None, (1, b"x", None))


@given(CHAINS, st.data())
def test_a_version_is_taken_out_of_any_place(at: list[int], data: st.DataObject) -> None:
    if not at:
        return
    gone = data.draw(st.sampled_from(at))
    head = chain(at)
    assert head is not None
    assert timestamps(without(head, gone)) == [ts for ts in reversed(at) if ts != gone]
    assert timestamps(head) == at[::-1], "who walks the old nodes is not disturbed"


@given(CHAINS, st.data())
def test_several_are_taken_out_as_if_one_by_one(at: list[int], data: st.DataObject) -> None:
    head = chain(at)
    if head is None:
        return
    gone = data.draw(st.sets(st.sampled_from(at[:-1]))) if at[:-1] else set()
    assert timestamps(without_all(head, gone)) == [ts for ts in reversed(at) if ts not in gone]
    with pytest.raises(LookupError):
        without_all(head, gone | {99})


@pytest.mark.parametrize("absent", [0, 2, 4])
def test_taking_out_what_is_not_there_is_an_error(absent: int) -> None:
    head = chain([1, 3])
    assert head is not None
    with pytest.raises(LookupError):
        without(head, absent)


def test_what_lies_below_a_version_taken_out_is_shared_and_not_copied() -> None:
    head = chain([1, 2, 3, 4])
    assert head is not None
    rest = without(head, 3)
    assert rest is not None
    assert rest[2] is visible(head, 2)


def test_a_chain_of_a_million_versions_comes_and_goes_without_recursion() -> None:
    head = chain(list(range(1_000_000)))
    assert visible(head, 0) == (0, b"0", None)
    del head
