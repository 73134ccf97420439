"""A checkpoint's entries: whoever cuts them in bulk, they are those that are cut one by one."""

from __future__ import annotations

import os
import re
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.durability import entries
from mvcc_kv.durability.entries import (
    CutPlain,
    cut_plain_in_python,
    join_entries,
    join_entries_in_python,
    read_entries,
)
from mvcc_kv.values import Expiring, encode_key

KEYS = st.text(max_size=5).map(encode_key)
WHOLE = st.sampled_from(
    [
        b'\n"a": 1,',
        b'\n"b": "2, 3",',
        b'\n"": {"x": [1, 2]},',
        b'\n"a": "again",',
        b'\n"say \\"hi\\"": 1,',
        b'\n"back\\\\": "\\"",',
        b'\n"\\u00e9": 1,',
        '\n"é": "ü",'.encode(),
        b'\n"last": 1',
        b'\n"x": 1,,',
        b'\n"x": ,',
        b'\n"x": 1, ',
    ]
)
BROKEN = st.sampled_from(
    [b'\n"a: 1,', b'\n"a" 1,', b'\n"a": ', b'\na": 1,', b"\n},", b"\n", b'"', b",", b'": 1,', b"\\"]
)
TEXTS = st.lists(WHOLE | WHOLE | WHOLE | BROKEN | st.binary(max_size=3), max_size=12).map(b"".join)


def one_by_one(text: bytes, at: int, end: int, items: dict[bytes, bytes]) -> int:
    """Cuts nothing in bulk."""
    return at


def compiled() -> CutPlain:
    """The compiled one. Without a compiler there is none; where this must not pass unnoticed, CI is set."""
    try:
        found: CutPlain = import_module("mvcc_kv.durability._entries").cut_plain
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("it was not compiled")
    return found


def join_compiled() -> Any:
    compiled()
    return import_module("mvcc_kv.durability._entries").join_plain


def cutters() -> list[CutPlain]:
    return [cut_plain_in_python, compiled()]


@settings(max_examples=1000)
@given(TEXTS, st.integers(0, 8), st.integers(0, 8), st.sampled_from([1, 12, 40, 1 << 16]))
def test_entries_cut_in_bulk_are_those_that_are_cut_one_by_one(
    text: bytes, skip: int, spare: int, stretch: int
) -> None:
    at, end = min(skip // 4, len(text)), len(text) - min(spare, len(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "STRETCH_BYTES", stretch)
        expected = read_entries(text, at, end, one_by_one)
        for cut in cutters():
            found = read_entries(text, at, end, cut)
            assert found == expected
            assert list(found[0]) == list(expected[0])


@given(TEXTS)
def test_what_is_cut_in_bulk_ends_between_two_entries_and_is_plain(text: bytes) -> None:
    for cut in cutters():
        items: dict[bytes, bytes] = {}
        at = cut(text, 0, len(text), items)
        assert (items, at) == read_entries(text, 0, at, one_by_one)
        assert not any(b"\\" in key for key in items)


def test_nearly_everything_is_cut_in_bulk() -> None:
    """So loading is as fast as it is said to be."""
    text = b"".join(b'\n"key:%06d": "%032d",' % (number, number) for number in range(10_000))
    for cut in cutters():
        items: dict[bytes, bytes] = {}
        assert cut(text + b'\n"last": 1', 0, len(text), items) == len(text)
        assert items[b"key:009999"] == b'"%032d"' % 9_999
        assert len(items) == 10_000


def test_the_compiled_one_stays_within_the_text() -> None:
    for at, end in ((-1, 3), (0, 4)):
        with pytest.raises(ValueError, match="not within"):
            compiled()(b"abc", at, end, {})
    assert compiled()(b"abc", 3, 0, {}) == 3


ITEMS = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"key:1", b"", b'say "hi"', b"back\\", b"tab\t", b"\x7f", "é".encode()]) | KEYS,
        st.sampled_from([b"1", b'"x"', b'{\n"a": 1}', b"", '"é"'.encode(), Expiring(b"2", 7)]) | st.binary(max_size=6),
    ),
    max_size=5,
)


@given(ITEMS)
def test_entries_joined_in_one_go_are_those_that_are_joined_one_by_one(items: list[tuple[bytes, bytes]]) -> None:
    joined, expected = join_compiled()(items), join_entries_in_python(items)
    assert joined in (None, expected)
    is_plain = all(re.fullmatch(rb"[ !#-\[\]-~]*", key) and b"\n" not in value for key, value in items)
    assert (joined is not None) == is_plain, "only what takes more than copying is left"
    assert join_entries(items) == expected


def test_the_compiled_one_takes_nothing_but_items() -> None:
    for items in ([1], [()], [(b"a",)], [("a", b"1")], [(b"a", "1")], [(b"a", None)]):
        assert join_compiled()(items) is None
    with pytest.raises(TypeError, match="list"):
        join_compiled()(())
