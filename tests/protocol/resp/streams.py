"""Streams of bytes to try parsers on: pieces that they care about, valid pipelines, and how they are cut."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from mvcc_kv.protocol.resp.replies import array, bulk
from mvcc_kv.protocol.resp.requests import RequestParser
from mvcc_kv.protocol.resp.scanning import Command

PIECES = [
    *[b"*1\r\n", b"*2\r\n", b"*3\r\n", b"*0\r\n", b"*-1\r\n", b"*-10\r\n", b"*01\r\n", b"*\r\n", b"*1\n", b"*1\rX"],
    *[b"*70\r\n", b"*11\r\n", b"*1048577\r\n", b"*9223372036854775808\r\n", b"*1 \r\n", b"*+1\r\n", b"*"],
    *[b"$0\r\n\r\n", b"$1\r\na\r\n", b"$4\r\nECHO\r\n", b"$4\r\nPING\r\n", b"$4\r\na\r\nb\r\n", b"$2\r\n\0\xff\r\n"],
    *[b"$-1\r\n", b"$01\r\n", b"$1\r\naXX", b"$1\rXa\r\n", b"$16385\r\n", b"$536870913\r\n", b"$5", b"$", b"$-0\r\n"],
    *[b"+OK\r\n", b":0\r\n", b"=5\r\ntxt:a\r\n", b"(12\r\n", b"%0\r\n", b"~1\r\n", b"_\r\n", b"#f\r\n", b"-ERR\r\n"],
    *[
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        b"\t",
        b"\0",
        b"\v",
        b"PING",
        b"ECHO a",
        b'"',
        b"'",
        b"\\",
        b'\\"',
        b"\\x4",
        b"\xff",
    ],
]
streams = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)), max_size=12).map(b"".join)
arguments = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"a\r\nb", b"\r\n", b"\r\n\r\n", b"*1\r\n", b"+", b"=", b"x" * 300, b"x" * 4095, b"x" * 4096]),
)
commands = st.lists(arguments, min_size=1, max_size=5)
many = st.sampled_from([63, 1023, 1024, 1025]).map(lambda members: [b"m"] * members)
pipelines = st.lists(st.one_of(commands, many), max_size=8)
cuts = st.lists(st.integers(0, 400), max_size=12)


def encoded(pipeline: Iterable[Command]) -> bytes:
    return b"".join(array(map(bulk, command)) for command in pipeline)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    inner = sorted(place for place in set(places) if 0 < place < len(stream))
    return [stream[low:high] for low, high in zip([0, *inner], [*inner, len(stream)], strict=True)]


def fed(parser: RequestParser, parts: Iterable[bytes]) -> tuple[list[Command], bytes | None]:
    """The commands that come of the parts, and the reply to the error if there is one."""
    found: list[Command] = []
    for part in parts:
        found += parser.receive(part)
        while parser.is_held:
            found += parser.receive(b"")
    return found, parser.error.reply if parser.error else None
