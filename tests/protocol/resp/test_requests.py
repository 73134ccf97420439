"""Where a Redis command ends: golden streams, the same whatever the cuts, bounded and linear whatever comes."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mvcc_kv.protocol.resp.requests import RequestParser
from mvcc_kv.protocol.resp.scanning import Command, scan
from tests.protocol.resp.streams import cut, cuts, encoded, fed, pipelines, streams

KIB = 1024
LINE = 64 * KIB

# What is sent, the commands it holds, and the protocol error it ends with.
GOLDEN: list[tuple[bytes, list[Command], bytes | None]] = [
    (b"*1\r\n$4\r\nPING\r\n", [[b"PING"]], None),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*1\r\n$4\r\nPI", [[b"SET", b"k", b""]], None),
    (b"*2\r\n$4\r\nECHO\r\n$4\r\na\r\nb\r\n", [[b"ECHO", b"a\r\nb"]], None),
    (b"*2\r\n$4\r\nECHOXX$1\r\naYY*1\r\n$1\r\nb\r\n", [[b"ECHO", b"a"], [b"b"]], None),
    (b"*1\rX$1\rYa\r\n", [[b"a"]], None),
    (b"*0\r\n*-1\r\n*-10\r\n\r\n\n  \r\nPING\r\n", [[b"PING"]], None),
    (b"PING\nECHO  a\r\n\techo 'a b' \"\\x41\\n\"\r\n", [[b"PING"], [b"ECHO", b"a"], [b"echo", b"a b", b"A\n"]], None),
    (b"PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n", [[b"PING"]] * 3, None),
    (b"$4\r\n+OK\r\n", [[b"$4"], [b"+OK"]], None),
    (b"PI\0NG\r\nPING\r\n", [], None),
    (b"*1\0\r\n", [], None),
    (b"*1\r\n$1\0\r\na\r\n", [], None),
    (b"*1\n$4\nPING\n", [], None),
    (b'PING\r\necho "a\r\nPING\r\n', [[b"PING"]], b"unbalanced quotes in request"),
    (b'echo "a"b\r\n', [], b"unbalanced quotes in request"),
    (b"*x\r\n", [], b"invalid multibulk length"),
    (b"*\r\n", [], b"invalid multibulk length"),
    (b"*01\r\n", [], b"invalid multibulk length"),
    (b"*+1\r\n", [], b"invalid multibulk length"),
    (b"* 1\r\n", [], b"invalid multibulk length"),
    (b"*-0\r\n", [], b"invalid multibulk length"),
    (b"*3000000000\r\n", [], b"invalid multibulk length"),
    (b"*9223372036854775808\r\n", [], b"invalid multibulk length"),
    (b"*-9223372036854775808\r\n*-9223372036854775809\r\n", [], b"invalid multibulk length"),
    (b"PING\r\n*1\r\n:1\r\nPING\r\n", [[b"PING"]], b"expected '$', got ':'"),
    (b"*1\r\nfooz\r\n", [], b"expected '$', got 'f'"),
    (b"*1\r\n\r\n", [], b"expected '$', got ' '"),
    (b"*1\r\n\nx\r\n", [], b"expected '$', got ' '"),
    (b"*1\r\n\xe9\r\n", [], b"expected '$', got '\xe9'"),
    (b"*2\r\n$1\r\na\r\n$-1\r\n", [], b"invalid bulk length"),
    (b"*1\r\n$x\r\n", [], b"invalid bulk length"),
    (b"*1\r\n$\r\n", [], b"invalid bulk length"),
    (b"*1\r\n$01\r\na\r\n", [], b"invalid bulk length"),
    (b"*1\r\n$536870913\r\n", [], b"invalid bulk length"),
    (b"*1\r\n$9223372036854775807\r\n", [], b"invalid bulk length"),
    (b"x" * LINE, [], None),
    (b"x" * (LINE + 1), [], b"too big inline request"),
    (b"PING\r\n\0" + b"\n" * LINE, [[b"PING"]], b"too big inline request"),
    (b"*" + b"1" * LINE, [], b"too big mbulk count string"),
    (b"*1\r\n$" + b"1" * LINE, [], b"too big bulk count string"),
    (b"*1\r\n\0" + b"\r" * LINE, [], b"too big bulk count string"),
]


def reply(complaint: bytes | None) -> bytes | None:
    return None if complaint is None else b"-ERR Protocol error: " + complaint + b"\r\n"


@pytest.mark.parametrize(("stream", "commands", "complaint"), GOLDEN, ids=lambda value: str(value)[:40])
def test_a_stream_holds_these_commands_and_this_error(
    stream: bytes, commands: list[Command], complaint: bytes | None
) -> None:
    assert fed(RequestParser(), [stream]) == (commands, reply(complaint))
    pieces = cut(stream, list(range(200)) + list(range(LINE - 9, LINE + 19)))
    assert fed(RequestParser(), pieces) == (commands, reply(complaint))


@given(streams, cuts, st.booleans())
@example(b"*1\r\n$4\r\na\r\nb\r\nPING\r\n", [9], True)
def test_the_cuts_make_no_difference(stream: bytes, places: list[int], is_authenticated: bool) -> None:
    at_once, in_parts, by_byte = (RequestParser(is_authenticated=is_authenticated) for _ in range(3))
    wanted = fed(at_once, [stream])
    assert fed(in_parts, cut(stream, places)) == wanted
    assert fed(by_byte, [bytes([byte]) for byte in stream]) == wanted
    assert at_once.is_unfinished == in_parts.is_unfinished == by_byte.is_unfinished


@given(pipelines, cuts)
def test_what_clients_write_is_read_back(pipeline: list[Command], places: list[int]) -> None:
    parser = RequestParser()
    assert fed(parser, cut(encoded(pipeline), places)) == (pipeline, None)
    assert not parser.is_unfinished


@given(st.binary(max_size=300), cuts)
def test_random_bytes_are_commands_or_an_error_and_never_a_crash(stream: bytes, places: list[int]) -> None:
    parser = RequestParser(bulk_bytes_max=50, members_max=5)
    found, error = fed(parser, cut(stream, places))
    assert all(found)
    assert error is None or parser.receive(b"PING\r\n") == []


@given(streams)
def test_the_quick_reader_takes_nothing_that_the_careful_one_reads_otherwise(stream: bytes) -> None:
    commands, rest = scan(stream)
    assert encoded(commands) + rest == stream


def test_after_an_error_nothing_is_read_or_kept() -> None:
    parser = RequestParser()
    assert parser.receive(b"PING\r\n*x\r\nPING\r\n") == [[b"PING"]]
    assert parser.receive(b"PING\r\n") == []
    assert not parser.is_unfinished


def test_the_limits_hold_as_they_are_at_the_moment() -> None:
    parser = RequestParser(bulk_bytes_max=4, members_max=2)
    assert parser.receive(b"*2\r\n$4\r\nECHO\r\n$4\r\nabcd\r\n") == [[b"ECHO", b"abcd"]]
    parser.bulk_bytes_max = 5
    assert parser.receive(b"*2\r\n$4\r\nECHO\r\n$5\r\nabcde\r\n") == [[b"ECHO", b"abcde"]]
    parser.members_max = 1
    assert fed(parser, [b"*2\r\n"]) == ([], reply(b"invalid multibulk length"))


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (b"*11\r\n", b"unauthenticated multibulk length"),
        (b"*1\r\n$16385\r\n", b"unauthenticated bulk length"),
    ],
)
def test_who_has_not_logged_in_gets_little(command: bytes, complaint: bytes) -> None:
    assert fed(RequestParser(is_authenticated=False), [command]) == ([], reply(complaint))
    assert fed(RequestParser(), [command]) == ([], None)
    within = [b"x" * 16_384] * 10
    assert fed(RequestParser(is_authenticated=False), [encoded([within])]) == ([within], None)


def test_a_large_command_behind_the_one_that_logs_in_is_held_until_that_has_been_executed() -> None:
    parser = RequestParser(is_authenticated=False)
    login, large = [b"AUTH", b"secret"], [b"x" * 20_000] * 11
    assert parser.receive(encoded([login, large])) == [login]
    assert parser.is_held and parser.error is None
    parser.is_authenticated = True
    assert parser.receive(b"") == [large]
    assert not parser.is_held


def test_what_is_held_is_an_error_if_the_login_failed() -> None:
    parser = RequestParser(is_authenticated=False)
    parser.receive(encoded([[b"AUTH", b"wrong"], [b"x"] * 11]))
    assert fed(parser, [b""]) == ([], reply(b"unauthenticated multibulk length"))


def test_a_large_argument_in_pieces_takes_its_own_memory_and_at_the_end_a_copy() -> None:
    parser, piece, pieces = RequestParser(), b"x" * 64 * KIB, 64
    parser.receive(b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % (len(piece) * pieces))
    tracemalloc.start()
    try:
        for _ in range(pieces):
            assert parser.receive(piece) == []
        kept_bytes, _ = tracemalloc.get_traced_memory()
        ((_, value),) = parser.receive(b"\r\n")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(value) == len(piece) * pieces
    assert kept_bytes < 1.3 * len(value)
    assert peak_bytes < 2.4 * len(value)


def test_a_length_that_is_only_announced_takes_no_memory() -> None:
    parser = RequestParser()
    tracemalloc.start()
    try:
        parser.receive(b"*1048576\r\n$536870912\r\nx")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 * KIB
