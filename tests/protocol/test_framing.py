"""Where a command ends: the same whatever the cuts, bounded whatever comes, silence only where it may."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mvcc_kv.protocol.framing import Line, LineFramer, OverlongLine

LIMIT = 24
# Pieces that framing cares about, so that short streams hold many of its cases.
pieces = st.sampled_from(
    [
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        b"PUT k ",
        b"GET a",
        b'{"key": "a',
        b'", "value": 1}',
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\",
        b'\\"',
        b"\x00",
        b"\xff",
        "é".encode(),
        b"x" * (LIMIT - 1),
        b"x" * LIMIT,
        b"x" * (LIMIT + 1),
        b"y" * 99,
    ]
)
streams = st.lists(st.one_of(pieces, st.binary(max_size=8)), max_size=14).map(b"".join)
cuts = st.lists(st.integers(0, 200), max_size=12)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    inner = sorted(place for place in set(places) if 0 < place < len(stream))
    return [stream[low:high] for low, high in zip([0, *inner], [*inner, len(stream)], strict=True)]


def lines_of(framer: LineFramer, parts: list[bytes]) -> list[Line]:
    """What comes of the parts as one burst, in the middle of which nothing is taken for its end."""
    lines: list[Line] = []
    for number, part in enumerate(parts, 1):
        lines += framer.receive(part, is_burst_end=number == len(parts))
    return lines


def as_specified(stream: bytes) -> tuple[list[Line], bytes]:
    """Whole lines, and the rest: the specification, in the plainest way."""
    *whole, rest = stream.split(b"\n")
    lines: list[Line] = []
    for line in whole:
        line = line.removesuffix(b"\r")
        if len(line) > LIMIT:
            lines.append(OverlongLine(line[:LIMIT], len(line)))
        elif line.strip():
            lines.append(line)
    return lines, rest


@given(streams, cuts)
@example(b"x" * (LIMIT + 1) + b"\r\n", [])
@example(b"x" * LIMIT + b"\r\r\n", [5])
@example(b"a\n" + b"x" * (LIMIT + 1) + b"\r\n", [LIMIT + 3])
def test_the_cuts_make_no_difference(stream: bytes, places: list[int]) -> None:
    framer = LineFramer(line_bytes_max=LIMIT)
    assert lines_of(framer, cut(stream, places)) == as_specified(stream)[0]


@given(st.lists(streams, max_size=4))
def test_whole_lines_at_once_are_what_they_are_in_parts(parts: list[bytes]) -> None:
    framer = LineFramer(line_bytes_max=LIMIT)
    stream = [part + b"\n" for part in parts]
    assert lines_of(framer, stream) == as_specified(b"".join(stream))[0]
    assert not framer.is_unfinished


@given(streams)
def test_byte_by_byte_gives_the_same_lines(stream: bytes) -> None:
    framer = LineFramer(line_bytes_max=LIMIT)
    lines = [line for byte in stream for line in framer.receive(bytes([byte]))]
    assert lines == as_specified(stream)[0]


@given(streams, cuts)
def test_the_cuts_make_no_difference_to_what_silence_ends(stream: bytes, places: list[int]) -> None:
    at_once, in_parts = LineFramer(line_bytes_max=LIMIT), LineFramer(line_bytes_max=LIMIT)
    at_once.receive(stream)
    lines_of(in_parts, cut(stream, places))
    assert in_parts.is_unfinished == at_once.is_unfinished
    assert in_parts.quiet() == at_once.quiet()


@given(streams)
def test_what_silence_ends_is_over_then(stream: bytes) -> None:
    framer = LineFramer(line_bytes_max=LIMIT)
    framer.receive(stream)
    if framer.quiet():
        assert not framer.is_unfinished
        assert framer.quiet() == []
        assert framer.receive(b"GET next\n") == [b"GET next"]


@given(streams)
def test_strict_framing_never_takes_silence_for_an_end(stream: bytes) -> None:
    framer = LineFramer(line_bytes_max=LIMIT, strict=True)
    assert framer.receive(stream) == as_specified(stream)[0]
    assert not framer.is_unfinished
    assert framer.quiet() == framer.end() == []


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    "line",
    [
        b"GET key1",
        b'PUT {"key": "a{", "value": "}"}',
        b'PUT {"key": "a", "value": [{}, "\\"}", {"b": []}]}',
        b'PUT {"key": "\\\\", "value": 1}  ',
        b'  put   {"key": "a", "value": {}}',
        b"PUT a {",
        b'PUT a "',
        b'PUT a"b {',
        b"GET {x",
        b"PUT\t{}",
    ],
)
def test_a_line_is_the_same_by_newline_and_by_silence(line: bytes, ending: bytes) -> None:
    by_newline, by_silence = LineFramer(line_bytes_max=99), LineFramer(line_bytes_max=99)
    assert by_newline.receive(line + ending) == [line]
    assert by_silence.receive(line) == []
    assert by_silence.quiet() == ([] if line == b"GET {x" else [line])


@pytest.mark.parametrize(
    "half",
    [
        b'PUT {"key": "a", "va',
        b'PUT {"key": "a", "value": "}',
        b'PUT {"key": "a", "value": "\\"}',
        b'PUT {"key": "a", "value": [1, 2}',
        b'PUT {"key": "a", "value": {"b": 1}',
        b"SCAN {",
        b'START\nPUT {"key": "a"',
    ],
)
def test_silence_does_not_end_half_a_json_argument(half: bytes) -> None:
    framer = LineFramer(line_bytes_max=99)
    framer.receive(half)
    assert framer.quiet() == []
    assert framer.quiet() == framer.end() == []


@pytest.mark.parametrize("at", range(5, 45))
def test_a_json_argument_is_put_together_over_silences_wherever_it_is_cut(at: int) -> None:
    line = b'PUT {"key": "a\\"{", "value": ["}", {"\\\\": 1}]}'
    framer = LineFramer(line_bytes_max=99)
    assert framer.receive(line[:at]) == framer.quiet() == []
    assert framer.receive(line[at:]) == []
    assert framer.quiet() == [line]


def test_a_batch_without_a_last_newline_is_whole_after_a_silence() -> None:
    framer = LineFramer(line_bytes_max=99)
    assert framer.receive(b"START\nDEL key1\nCOMMIT") == [b"START", b"DEL key1"]
    assert framer.is_unfinished
    assert framer.quiet() == [b"COMMIT"]
    assert framer.receive(b"GET key1") == []
    assert framer.quiet() == [b"GET key1"]


def test_who_ended_with_a_newline_once_is_taken_at_its_word() -> None:
    framer = LineFramer(line_bytes_max=99)
    assert framer.receive(b"GET a\n") == [b"GET a"]
    assert framer.receive(b"PUT b hel") == []
    assert not framer.is_unfinished
    assert framer.quiet() == framer.end() == []
    assert framer.receive(b"lo\n") == [b"PUT b hello"]


def test_a_newline_where_a_full_buffer_was_cut_is_nobodys_word() -> None:
    framer = LineFramer(line_bytes_max=99)
    assert framer.receive(b"START\n", is_burst_end=False) == [b"START"]
    assert framer.receive(b"COMMIT") == []
    assert framer.quiet() == [b"COMMIT"]


def test_the_end_of_the_stream_completes_what_silence_would() -> None:
    framer = LineFramer(line_bytes_max=99)
    framer.receive(b"START\nCOMMIT")
    assert framer.end() == [b"COMMIT"]


def test_blank_lines_are_no_commands() -> None:
    framer = LineFramer(line_bytes_max=99)
    assert framer.receive(b"\n\r\n  \n\t\r\nGET a\n\n") == [b"GET a"]
    assert framer.receive(b"   ") == framer.quiet() == []


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("cut_at", [0, 1, 1023, 1024, 1025, 1026])
@pytest.mark.parametrize("length", [1023, 1024, 1025, 1026, 5000])
def test_the_length_is_counted_without_the_newline(length: int, cut_at: int, ending: bytes) -> None:
    framer = LineFramer(line_bytes_max=1024)
    stream = b"x" * length + ending
    lines = lines_of(framer, cut(stream, [cut_at]))
    assert lines == [b"x" * length if length <= 1024 else OverlongLine(b"x" * 1024, length)]


@pytest.mark.parametrize("length", [1024, 1025])
def test_the_length_is_counted_the_same_where_silence_ends_the_line(length: int) -> None:
    framer = LineFramer(line_bytes_max=1024)
    framer.receive(b"x" * length)
    assert framer.quiet() == [b"x" * length if length <= 1024 else OverlongLine(b"x" * 1024, length)]


@pytest.mark.parametrize("beginning", [b"", b'PUT {"key": "k", "value": "', b"PUT {" + b'"\\'])
@pytest.mark.parametrize("strict", [False, True])
def test_a_line_that_never_ends_takes_no_memory(beginning: bytes, strict: bool) -> None:
    framer, chunk = LineFramer(line_bytes_max=1024, strict=strict), b'x\\"[{' * 13_000
    framer.receive(beginning)
    tracemalloc.start()
    try:
        for _ in range(50):
            framer.receive(chunk)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 16 * 1024
    (line,) = framer.receive(b"\n")
    assert isinstance(line, OverlongLine)
    assert line.actual_bytes == len(beginning) + 50 * len(chunk)
    assert framer.receive(b"GET a\n") == [b"GET a"]
