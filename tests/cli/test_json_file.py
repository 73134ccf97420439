"""The JSON files of `dump` and `load`: text in, the same text out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.cli.json_file import encode_items, json_text, parse_items
from mvcc_kv.errors import BadRequestError

texts = st.text('ab1 "\\/\n\r\t{}[]:,\x7f\u2028ëß京😀', max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
objects = st.dictionaries(texts, values, max_size=4)


def test_values_keep_their_text() -> None:
    items = parse_items(b'{"a": 1.0, "b":  {"n":  1e400 , "t": "\\u00eb"}, "c": 12345678901234567890123}')
    assert items == {b"a": b"1.0", b"b": b'{"n":  1e400 , "t": "\\u00eb"}', b"c": b"12345678901234567890123"}


@given(objects)
def test_what_was_written_is_read_back_to_the_letter(made: dict[str, object]) -> None:
    items = {key.encode(): json.dumps(value).encode() for key, value in made.items()}
    assert parse_items(b"".join(encode_items(items.items()))) == items


@given(objects, st.sampled_from(["\n", "\r\n"]))
def test_however_a_file_is_laid_out_a_value_is_one_line_of_the_same_meaning(made: dict[str, object], end: str) -> None:
    text = json.dumps(made, indent=2).replace("\n", end).encode()
    items = parse_items(text)
    assert not any(b"\n" in value or b"\r" in value for value in items.values())
    assert {key.decode(): json.loads(value) for key, value in items.items()} == made


def test_an_entry_is_a_line() -> None:
    assert b"".join(encode_items([(b"a", b"1"), (b'say "b"', b"[2]")])) == b'{\n"a": 1,\n"say \\"b\\"": [2]\n}\n'
    assert b"".join(encode_items([])) == b"{}\n"


def test_a_checkpoint_is_read_as_what_it_holds() -> None:
    text = b'{"format": "mvcc-kv-checkpoint", "format_version": 1, "commit_ts": 4, "data": {"a": 1.0}, "crc32": "0"}'
    assert parse_items(text) == {b"a": b"1.0"}
    assert parse_items(b'{"format": "mine", "data": 1}') == {b"format": b'"mine"', b"data": b"1"}


@pytest.mark.parametrize("text", [b"", b"[1]", b'{"a": 1', b'{"a": nope}', b"{1: 2}", b'{"a": "\xff"}', b'{"a": 1} x'])
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_items(text)


@pytest.mark.parametrize("text", [b"", b"nope", b"1 2", b"'x'", b'"\xff"', b"[" * 100_000 + b"]" * 100_000])
def test_what_is_no_json_value_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequestError):
        json_text(text)


def test_a_long_run_of_spaces_costs_its_length_only() -> None:
    spaces = b" " * 1_000_000
    assert json_text(b"[1," + spaces + b"\n2]") == b"[1, 2]"
