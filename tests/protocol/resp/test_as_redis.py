"""The same bytes to a real redis-server: it finds the commands that we find, and says of errors what we say.

What Redis found shows in its answers: they must be those to our commands, sent to it again as any client writes them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.protocol.resp import replies
from mvcc_kv.protocol.resp.requests import RequestParser
from mvcc_kv.protocol.resp.scanning import Command
from mvcc_kv.protocol.resp.sniffing import is_redis_inline
from mvcc_kv.protocol.usage import USAGE
from tests.protocol.resp.redis_oracle import STREAM_BYTES, answers
from tests.protocol.resp.streams import PIECES, encoded, fed, pipelines, streams
from tests.protocol.resp.test_requests import GOLDEN
from tests.real_redis import running_redis

MEMBERS_MAX = 2**31 - 1  # in 7.0; it was 1024 * 1024 before, and is so with us unless told otherwise
TELLING = [b"ECHO", b"PING", b"GET", b"NOSUCH"]  # commands whose answers show their arguments


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_redis(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture(scope="module")
def locked_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_redis(tmp_path_factory.mktemp("locked"), "--requirepass", "secret") as port:
        yield port


def check_as_redis(port: int, stream: bytes, parser: RequestParser) -> None:
    commands, error = fed(parser, [stream])
    assert answers(port, stream) == answers(port, encoded(commands)) + (error or b"")


@pytest.mark.parametrize("stream", [stream for stream, _, _ in GOLDEN], ids=lambda stream: str(stream)[:40])
def test_redis_reads_the_golden_streams_as_we_do(port: int, stream: bytes) -> None:
    check_as_redis(port, stream, RequestParser(members_max=MEMBERS_MAX))


@pytest.mark.parametrize(
    "stream", [stream for stream, _, error in GOLDEN if error and len(stream) < 999], ids=lambda stream: str(stream)
)
def test_redis_closes_after_the_error(port: int, stream: bytes) -> None:
    _, error = fed(RequestParser(members_max=MEMBERS_MAX), [stream])
    assert error is not None
    assert answers(port, stream, half_close=False).endswith(error)


@settings(max_examples=300)
@given(stream=streams)
def test_redis_reads_anything_as_we_do(port: int, stream: bytes) -> None:
    check_as_redis(port, stream, RequestParser(members_max=MEMBERS_MAX))


@settings(max_examples=200)
@given(stream=streams)
def test_redis_reads_anything_as_we_do_before_the_login(locked_port: int, stream: bytes) -> None:
    check_as_redis(locked_port, stream, RequestParser(members_max=MEMBERS_MAX, is_authenticated=False))


@given(pipeline=pipelines, at=st.integers(0, 200), gone=st.integers(0, 3), piece=st.sampled_from(PIECES))
def test_redis_reads_damaged_pipelines_as_we_do(
    port: int, pipeline: list[Command], at: int, gone: int, piece: bytes
) -> None:
    telling = [[TELLING[number % 4], *command] for number, command in enumerate(pipeline)]
    stream = encoded(telling)
    damaged = stream[:at] + piece + stream[at + gone :]
    check_as_redis(port, damaged[:STREAM_BYTES], RequestParser(members_max=MEMBERS_MAX))


def test_a_login_lifts_the_limits_for_what_stands_behind_it(locked_port: int) -> None:
    large = encoded([[b"AUTH", b"secret"], [b"ECHO", b"x" * 20_000]])
    assert answers(locked_port, large) == replies.OK + replies.bulk(b"x" * 20_000)
    assert answers(locked_port, encoded([[b"AUTH", b"wrong"], [b"x"] * 11])).endswith(
        b"-ERR Protocol error: unauthenticated multibulk length\r\n"
    )


@pytest.mark.parametrize("number", [0.1, 3.0, -2.5, 1e300, 123456789.123, float("inf"), float("-inf")])
@pytest.mark.parametrize("proto", [2, 3])
def test_a_double_is_written_as_by_redis(port: int, number: float, proto: int) -> None:
    score = [[b"HELLO", b"%d" % proto], [b"ZADD", b"z", repr(number).encode(), b"m"], [b"ZSCORE", b"z", b"m"]]
    assert answers(port, encoded([*score, [b"DEL", b"z"]])).endswith(replies.double(number, proto) + replies.ONE)


def test_every_command_of_redis_is_ours_or_known_as_its(port: int) -> None:
    listed = answers(port, encoded([[b"COMMAND", b"LIST"]])).split(b"\r\n")[2::2]
    names = {name.upper() for name in listed if b"|" not in name}
    assert {name for name in names if not is_redis_inline(name)} == names & {verb.encode() for verb in USAGE}
