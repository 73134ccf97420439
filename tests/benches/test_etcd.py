"""etcd's calls in bytes."""

from __future__ import annotations

import pytest

from benches.etcd import (
    RANGE_PATH,
    Http2,
    compare_and_put_message,
    is_succeeded,
    put_all_message,
    range_items,
    read_all_message,
    read_items,
)


def test_an_answer_of_etcds_is_put_together_from_frames_in_any_pieces() -> None:
    http2 = Http2()
    http2.call(RANGE_PATH, b"")
    pair = b"\x0a\x01a\x10\x96\x01\x2a\x01b"  # key a, create_revision 150, value b
    message = b"\x12" + bytes([len(pair)]) + pair + b"\x20\x01"
    data = b"\0" + len(message).to_bytes(4, "big") + message
    ping = b"\0\0\x08\x06\0\0\0\0\0pingpong"
    frames = [ping, len(data).to_bytes(3, "big") + b"\0\0\0\0\0\x01" + data, b"\0\0\0\x01\x05\0\0\0\x01"]
    heard = [http2.hear(bytes([byte])) for byte in b"".join(frames)]
    assert b"".join(sent for _, sent in heard) == ping.replace(b"\x06\0", b"\x06\x01", 1)
    answer = heard[-1][0]
    assert answer == message and all(it is None for it, _ in heard[:-1])
    assert range_items(answer) == [(b"a", b"b")]


def test_an_answer_without_a_message_is_an_error() -> None:
    http2 = Http2()
    assert http2.call(RANGE_PATH, put_all_message([(b"a", b"b")]))
    with pytest.raises(RuntimeError, match="etcd answered with an error"):
        http2.hear(b"\0\0\0\x01\x05\0\0\0\x01")


def test_a_txn_that_reads_has_a_range_for_each_key() -> None:
    assert read_all_message([b"a", b"bc"]) == b"\x12\x05\x0a\x03\x0a\x01a" + b"\x12\x06\x0a\x04\x0a\x02bc"


def test_what_a_txn_has_read_comes_with_its_revisions() -> None:
    pair = b"\x0a\x01a\x10\x03\x18\x96\x01\x2a\x01b"  # key a, create_revision 3, mod_revision 150, value b
    found = b"\x12" + bytes([len(pair)]) + pair
    response = b"\x0a" + bytes([len(found)]) + found
    assert read_items(b"\x10\x01\x1a" + bytes([len(response)]) + response) == [(b"a", 150, b"b")]


def test_a_txn_compares_the_revisions_that_it_was_given() -> None:
    compared = b"\x10\x02\x1a\x01a\x30\x07"  # mod_revision, key a, 7
    put = b"\x12\x08\x12\x06\x0a\x01a\x12\x01b"
    assert compare_and_put_message([(b"a", 7, b"b")]) == b"\x0a" + bytes([len(compared)]) + compared + put
    assert compare_and_put_message([(b"a", None, b"b")]) == put


@pytest.mark.parametrize(("answer", "expected"), [(b"\x0a\x00\x10\x01", True), (b"\x0a\x00", False)])
def test_a_txn_that_found_something_else_says_nothing_of_success(answer: bytes, expected: bool) -> None:
    assert is_succeeded(answer) == expected
