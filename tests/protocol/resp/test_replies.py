"""Replies: byte for byte in both versions, and what hiredis reads is what was meant."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.protocol.resp import replies

A, B = replies.bulk(b"a"), replies.integer(2)


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        (replies.simple("OK"), replies.OK),
        (replies.error("ERR no"), b"-ERR no\r\n"),
        (replies.error(b"ERR \xff"), b"-ERR \xff\r\n"),
        (replies.error("ERR '\r\n' \n\r\n"), b"-ERR '  ' \r\n"),
        (replies.integer(-(2**63)), b":-9223372036854775808\r\n"),
        (replies.bulk(b""), replies.EMPTY_BULK),
        (replies.bulk(b"a\r\nb"), b"$4\r\na\r\nb\r\n"),
        (replies.array([]), replies.EMPTY_ARRAY),
        (replies.array(iter([A, B])), b"*2\r\n$1\r\na\r\n:2\r\n"),
    ],
)
def test_both_versions_write_these_alike(reply: bytes, wanted: bytes) -> None:
    assert reply == wanted


@pytest.mark.parametrize(
    ("in_2", "in_3", "wanted_2", "wanted_3"),
    [
        (replies.null(2), replies.null(3), b"$-1\r\n", b"_\r\n"),
        (replies.null_array(2), replies.null_array(3), b"*-1\r\n", b"_\r\n"),
        (replies.mapping([(A, B)], 2), replies.mapping([(A, B)], 3), b"*2\r\n" + A + B, b"%1\r\n" + A + B),
        (replies.mapping([], 2), replies.mapping([], 3), b"*0\r\n", b"%0\r\n"),
        (replies.set_of([A, B], 2), replies.set_of([A, B], 3), b"*2\r\n" + A + B, b"~2\r\n" + A + B),
        (replies.push([A, B], 2), replies.push([A, B], 3), b"*2\r\n" + A + B, b">2\r\n" + A + B),
        (replies.boolean(True, 2), replies.boolean(True, 3), b":1\r\n", b"#t\r\n"),
        (replies.boolean(False, 2), replies.boolean(False, 3), b":0\r\n", b"#f\r\n"),
        (replies.verbatim(b"hi", 2), replies.verbatim(b"hi", 3), b"$2\r\nhi\r\n", b"=6\r\ntxt:hi\r\n"),
        (replies.double(1.5, 2), replies.double(1.5, 3), b"$3\r\n1.5\r\n", b",1.5\r\n"),
        (replies.double(math.inf, 2), replies.double(-math.inf, 3), b"$3\r\ninf\r\n", b",-inf\r\n"),
        (replies.double(1e300, 2), replies.double(math.nan, 3), replies.bulk(b"1.0000000000000001e+300"), b",nan\r\n"),
    ],
)
def test_each_version_writes_these_its_own_way(in_2: bytes, in_3: bytes, wanted_2: bytes, wanted_3: bytes) -> None:
    assert (in_2, in_3) == (wanted_2, wanted_3)


values = st.recursive(
    st.one_of(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=20), st.floats(allow_nan=False), st.none()),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


def encoded(value: object) -> bytes:
    match value:
        case None:
            return replies.null(3)
        case int():
            return replies.integer(value)
        case float():
            return replies.double(value, 3)
        case bytes():
            return replies.bulk(value)
        case list():
            return replies.array(map(encoded, value))
    raise AssertionError(value)


@given(values)
def test_hiredis_reads_what_was_meant(value: object) -> None:
    import hiredis

    reader = hiredis.Reader()
    reader.feed(encoded(value))
    assert reader.gets() == value


@given(st.lists(st.tuples(st.binary(max_size=9), st.booleans()), unique_by=lambda pair: pair[0]))
def test_hiredis_reads_maps_and_booleans_of_version_3(pairs: list[tuple[bytes, bool]]) -> None:
    import hiredis

    reader = hiredis.Reader()
    reader.feed(replies.mapping([(replies.bulk(name), replies.boolean(value, 3)) for name, value in pairs], 3))
    assert reader.gets() == dict(pairs)
