"""An inline command's arguments: as Redis's sdssplitargs splits them, of which a transcription stands here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.protocol.resp.inline import split_arguments

BLANKS = b" \t\n\v\f\r"
MEANINGS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def as_in_c(line: bytes) -> list[bytes] | None:
    """Byte by byte with the states of the original; a NUL ends the line."""
    line = line.partition(b"\0")[0]
    found: list[bytes] = []
    at = 0
    while True:
        while line[at : at + 1] and line[at] in BLANKS:
            at += 1
        if at >= len(line):
            return found
        argument, at = one_as_in_c(line, at)
        if argument is None:
            return None
        found.append(argument)


def one_as_in_c(line: bytes, at: int) -> tuple[bytes | None, int]:
    argument, quote = b"", b""
    while True:
        byte, following = line[at : at + 1], line[at + 1 : at + 2]
        if not quote:
            if byte in (b"", b" ", b"\n", b"\r", b"\t"):
                return argument, at + 1
            if byte in (b'"', b"'"):
                quote = byte
            else:
                argument += byte
        elif not byte:
            return None, at
        elif byte == quote:
            return (argument, at + 1) if not following or following in BLANKS else (None, at)
        elif quote == b'"' and byte == b"\\" and following:
            digits = line[at + 2 : at + 4]
            if following == b"x" and len(digits) == 2 and all(digit in b"0123456789abcdefABCDEF" for digit in digits):
                argument += bytes([int(digits, 16)])
                at += 3
            else:
                argument += MEANINGS.get(following, following)
                at += 1
        elif quote == b"'" and byte == b"\\" and following == b"'":
            argument += b"'"
            at += 1
        else:
            argument += byte
        at += 1


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        (b"", []),
        (b" \t\v\f\r ", []),
        (b"SET a b", [b"SET", b"a", b"b"]),
        (b"  SET\ta   b ", [b"SET", b"a", b"b"]),
        (rb'''SET k "a b" 'c d' ""''', [b"SET", b"k", b"a b", b"c d", b""]),
        (rb'"\x41\xfF\n\r\t\b\a\"\\\z\xg1"', [b'A\xff\n\r\t\b\a"\\zxg1']),
        (rb"'it\'s \n \x41'", [rb"it's \n \x41"]),
        (rb"'\\'", None),
        (rb'a"b c" d', [b"ab c", b"d"]),
        (b'"a"\v"b"', [b"a", b"b"]),
        (b"a\vb\fc", [b"a\vb\fc"]),
        (b'set """x""" v', None),
        (b'"a"b', None),
        (b'"a', None),
        (b'"a\\', None),
        (b"'a", None),
        (b"a'", None),
        (b"a\0b", [b"a"]),
        (b"\xe9\x85\xa0 b", [b"\xe9\x85\xa0", b"b"]),
    ],
)
def test_a_line_has_these_arguments(line: bytes, arguments: list[bytes] | None) -> None:
    assert split_arguments(line) == as_in_c(line) == arguments


pieces = st.sampled_from([b'"', b"'", b"\\", b"x", b"4", b"f", b"n", b"a", *[bytes([byte]) for byte in BLANKS]])


@given(st.lists(pieces, max_size=24).map(b"".join))
def test_quotes_and_escapes_are_as_in_the_original(line: bytes) -> None:
    assert split_arguments(line) == as_in_c(line)


@given(st.binary(max_size=60))
def test_any_bytes_are_split_as_in_the_original(line: bytes) -> None:
    assert split_arguments(line) == as_in_c(line)


@given(st.lists(st.binary(max_size=12)))
def test_quoted_bytes_come_back(arguments: list[bytes]) -> None:
    line = b" ".join(b'"%b"' % b"".join(b"\\x%02x" % byte for byte in argument) for argument in arguments)
    assert split_arguments(line) == arguments


def test_a_long_line_full_of_escapes_is_no_trouble() -> None:
    assert split_arguments(b'"' + b"\\n" * 30_000 + b'"') == [b"\n" * 30_000]
    assert split_arguments(b'"' + b"\\n" * 30_000 + b'"x') is None
    assert split_arguments(b"'" + b"\\" * 60_000) is None
