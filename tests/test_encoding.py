"""What is plain is encoded by a faster way than the rest, byte for byte the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.errors import BadRequestError
from mvcc_kv.values import _encode_anything, encode_key, encode_value

CHARACTERS = st.characters() | st.characters(categories=["Cs"]) | st.sampled_from('\x00\x1f\x7f"\\/\u2028\U0001f600')
PLAIN = st.text(CHARACTERS) | st.integers() | st.booleans() | st.none() | st.sampled_from([10**40, 2**64, -(2**63) - 1])


def answer(encode: Any, value: Any) -> tuple[str, object]:
    try:
        return "text", encode(value)
    except BadRequestError as error:
        return "refused", str(error)


@given(PLAIN)
def test_what_is_plain_has_the_text_that_json_gives_it(value: object) -> None:
    assert answer(encode_value, value) == answer(_encode_anything, value)


def test_an_integer_of_more_digits_than_python_writes_is_refused_in_the_same_words() -> None:
    assert answer(encode_value, 10**5000) == answer(_encode_anything, 10**5000)


class Name(str):
    __slots__ = ()


def test_a_key_is_a_str_of_any_kind_and_nothing_else() -> None:
    assert encode_key(Name("a")) == b"a"
    for key in (b"a", 1, None, ["a"]):
        with pytest.raises(BadRequestError, match="a key is a str"):
            encode_key(key)  # type: ignore[arg-type]
    with pytest.raises(BadRequestError, match="lone surrogate"):
        encode_key("\ud800")
