"""What a flush supersedes goes at once where nobody reads the past; both twins leave the same."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sortedcontainers import SortedDict

from mvcc_kv.engine.chains import Version, versions, visible
from mvcc_kv.engine.freeing import SupersededVersion, free_in_python

KEYS = [b"a", b"b", b"c"]
COMMITS = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from([b"1", b"22", None])), max_size=30)


def compiled() -> Any:
    """The compiled twin. Without a compiler there is none; where this must not pass unnoticed, CI is set."""
    try:
        return import_module("mvcc_kv.engine._freeing").free
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("freeing was not compiled")


def linked(commits: list[tuple[bytes, bytes | None]]) -> tuple[SortedDict[bytes, Version], list[SupersededVersion]]:
    """The chains of these commits, from 1 on, and what they superseded."""
    heads: SortedDict[bytes, Version] = SortedDict()
    superseded = []
    for ts, (key, value) in enumerate(commits, 1):
        head = heads.get(key)
        if head is not None:
            superseded.append((ts, head[0], key, len(head[1] or b"")))
        heads[key] = (ts, value, head)
    return heads, superseded


def text_of(heads: SortedDict[bytes, Version]) -> dict[bytes, list[tuple[int, bytes | None]]]:
    return {key: [(ts, value) for ts, value, _ in versions(head)] for key, head in heads.items()}


@given(commits=COMMITS, steps=st.lists(st.integers(0, 31), max_size=4).map(sorted), held=st.sampled_from([0, 1, 2]))
def test_the_compiled_twin_leaves_what_the_one_in_python_leaves(
    commits: list[tuple[bytes, bytes | None]], steps: list[int], held: int
) -> None:
    """`held`: somebody holds the heads, or a node below them, or nothing; what he holds stays as it is."""
    outcomes = []
    for free in (free_in_python, compiled()):
        heads, superseded = linked(commits)
        kept = [node for head in heads.values() for node in list(versions(head))[held - 1 : held] if held]
        before = [list(versions(node)) for node in kept] if held else []
        seen = [(ts, free(heads, superseded, ts), text_of(heads), list(superseded)) for ts in steps]
        assert [list(versions(node)) for node in kept] == before
        outcomes.append(seen)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("free", [free_in_python, lambda *arguments: compiled()(*arguments)])
@given(commits=COMMITS, ts=st.integers(0, 31))
def test_nothing_is_left_but_what_is_visible_and_what_is_not_seen_yet(
    free: Any, commits: list[tuple[bytes, bytes | None]], ts: int
) -> None:
    heads, superseded = linked(commits)
    before = text_of(heads)
    lone = free(heads, superseded, ts)
    for key, chain in text_of(heads).items():
        newest = visible(heads[key], ts)
        kept = [it for it in before[key] if it[0] > ts or (newest is not None and it[0] == newest[0])]
        assert chain == kept
        assert (key in lone) == (len(chain) == 1 and chain[0][1] is None and len(before[key]) > 1 and chain[0][0] <= ts)
    assert all(it[0] > ts for it in superseded)


@pytest.mark.parametrize("depth", [50_000])
def test_a_hot_key_s_chain_is_walked_once_however_many_commits_wait_above_and_below(depth: int) -> None:
    for free in (free_in_python, compiled()):
        heads, superseded = linked([(b"a", b"1")] * depth)
        middle = depth // 2
        assert free(heads, superseded, middle) == []
        assert len(list(versions(heads[b"a"]))) == depth - middle + 1 and len(superseded) == depth - middle


@pytest.mark.parametrize("entry", [(1, 2), [1, 0, b"a", 1], ("1", 0, b"a", 1), None])
def test_what_is_no_list_of_versions_is_refused(entry: Any) -> None:
    with pytest.raises(TypeError):
        compiled()({}, [entry], 1)
    with pytest.raises(KeyError):
        compiled()({}, [(1, 0, b"a", 1)], 1)
