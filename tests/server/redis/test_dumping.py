"""DUMP, RESTORE and OBJECT. The dumps here were made by Redis 7.0.15."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.server.redis.dumps import BadChecksumError, BadFormatError, crc64, decompressed, dumped, loaded
from tests.server.redis.clients import Client, Place

DUMPS = {
    b"": b"\x00\x00\n\x00]\x9b\\@\x0f\x7f\xa2\xda",
    b"lunch": b"\x00\x05lunch\n\x00*\xf6A|\xf4\x05\xad\xf9",
    b"0": b"\x00\xc0\x00\n\x00\x98@\xa7x\xf8P\x03\x08",
    b"-1": b"\x00\xc0\xff\n\x00\x0c\x93~$\x85\x08\x9d\xc5",
    b"127": b"\x00\xc0\x7f\n\x00\r\xb5\xeb1RT\xc5\x14",
    b"128": b"\x00\xc1\x80\x00\n\x00\xebz\xb3\xb5\x10\xcfKe",
    b"-129": b"\x00\xc1\x7f\xff\n\x00\x17`\x82(T\x80\x84\x80",
    b"32768": b"\x00\xc2\x00\x80\x00\x00\n\x00E\xd8.\xed\xd5\xbd\xa9\x10",
    b"-32769": b"\x00\xc2\xff\x7f\xff\xff\n\x00\xae\xe3LM\x06\xc6\x856",
    b"2147483647": b"\x00\xc2\xff\xff\xff\x7f\n\x00,t\xe5\x9e\xe0.\xad\xa1",
    b"2147483648": b"\x00\n2147483648\n\x00\xe7\xb1)\xa3L\x1dv\xee",
    b"01": b"\x00\x0201\n\x00l\xdd\xc4A\x14L}\xa4",
    b"x" * 44: b"\x00\xc3\t,\x01xx\xe0\x1f\x00\x01xx\n\x00-\x05\xb7\xd2\xa16\xe6\xd1",
    b"x" * 100: b"\x00\xc3\t@d\x01xx\xe0W\x00\x01xx\n\x00]\xb7\xf6c\xbb\x08b_",
    b"abcabcabcabcabcabcabcabcabc": b"\x00\xc3\x0b\x1b\x03abca\xe0\x0c\x02\x01bc\n\x00(\xb6\x7f\x7f\xba\x10\x94\x93",
    b"\xff\x00\xff\x00": b"\x00\x04\xff\x00\xff\x00\n\x00P\xbb\xbcR\x00\x94\x87\x1e",
    b"x" * 20
    + b"the quick brown fox"
    * 3: b"\x00\xc3\x1f@M\x01xx\xe0\t\x00\x11the quick brown fo\xe0\x1c\x12\x01ox\n\x00FE\xc3\xb7pmhs",
    b"ab" * 400: b"\x00\xc3\x12C \x02aba\xe0\xff\x01\xe0\xff\x01\xe0\xff\x01 \x01\x01ab\n\x00<\x92X\xd6#\xf9\x99\x8f",
}


@pytest.fixture
def client() -> Client:
    return Place().client()


def sealed(body: bytes) -> bytes:
    """With the version and the right checksum."""
    body += b"\x0a\x00"
    return body + crc64(body).to_bytes(8, "little")


@pytest.mark.parametrize(("text", "dump"), DUMPS.items(), ids=[str(text[:10]) for text in DUMPS])
def test_what_redis_dumped_is_read(text: bytes, dump: bytes) -> None:
    assert loaded(dump) == text


@pytest.mark.parametrize("text", [text for text in DUMPS if len(text) <= 20], ids=str)
def test_short_strings_are_dumped_as_by_redis(text: bytes) -> None:
    assert dumped(text) == DUMPS[text]


@given(st.binary() | st.integers().map(lambda number: b"%d" % number))
def test_what_is_dumped_is_read_again(text: bytes) -> None:
    assert loaded(dumped(text)) == text


@pytest.mark.parametrize("size", [63, 64, 16_383, 16_384, 70_000])
def test_lengths_of_every_size_are_written_and_read(size: int) -> None:
    assert loaded(dumped(b"x" * size)) == b"x" * size


@given(st.binary(max_size=40))
def test_damaged_dumps_are_refused_and_nothing_worse(body: bytes) -> None:
    with pytest.raises((BadChecksumError, BadFormatError)):
        loaded(body)
    for begin in b"\x00", b"\x00\xc3":
        with suppress(BadFormatError):
            loaded(sealed(begin + body))


@given(st.binary(max_size=40), st.integers(0, 100))
def test_what_is_not_lzf_is_refused_and_nothing_worse(packed: bytes, text_bytes: int) -> None:
    with suppress(BadFormatError):
        assert len(decompressed(packed, text_bytes)) == text_bytes


def test_a_key_is_restored_with_its_time(client: Client) -> None:
    client("SET", "a", b"\xff")
    dump = client("DUMP", "a")
    assert client("DUMP", "nobody") is None
    assert client("RESTORE", "b", 0, dump) == b"OK"
    assert [client("GET", "b"), client("TTL", "b")] == [b"\xff", -1]
    assert client("RESTORE", "b", 5_000, dump, "REPLACE", "FREQ", 7) == b"OK"
    assert client("PTTL", "b") == 5_000
    assert client("RESTORE", "c", 1_795_000_009_000, dump, "absttl", "idletime", 1) == b"OK"
    assert client("PTTL", "c") == 9_000


def test_what_is_restored_too_late_is_not_there(client: Client) -> None:
    dump = dumped(b"x")
    client("SET", "a", 1)
    assert client("RESTORE", "a", 1, dump, "ABSTTL", "REPLACE") == b"OK"
    assert client("RESTORE", "b", 1, dump, "ABSTTL") == b"OK"
    assert client("DBSIZE") == 0


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        ("a 0 dump", "BUSYKEY Target key name already exists."),
        ("b -1 dump", "ERR Invalid TTL value, must be >= 0"),
        ("b x dump", "ERR value is not an integer or out of range"),
        ("b 0 damaged", "ERR DUMP payload version or checksum are wrong"),
        ("b 0 list", "ERR Bad data format"),
        ("b 0 dump FREQ 256", "ERR Invalid FREQ value, must be >= 0 and <= 255"),
        ("b 0 dump IDLETIME -1", "ERR Invalid IDLETIME value, must be >= 0"),
        ("b 0 dump IDLETIME 1 FREQ 1", "ERR syntax error"),
        ("b 0 dump FREQ", "ERR syntax error"),
        ("b 0 dump NOW", "ERR syntax error"),
    ],
)
def test_what_cannot_be_restored_is_refused_in_redis_words(client: Client, command: str, failure: str) -> None:
    client("SET", "a", 1)
    payloads = {"dump": dumped(b"x"), "damaged": dumped(b"x")[:-1] + b"?", "list": sealed(b"\x01\x00")}
    assert client.fails("RESTORE", *(payloads.get(word, word) for word in command.split())) == failure


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("1", b"int"), ("01", b"embstr"), (2**63, b"embstr"), ("x" * 44, b"embstr"), ("x" * 45, b"raw")],
)
def test_an_encoding_is_what_redis_would_choose(client: Client, text: str | int, encoding: bytes) -> None:
    client("SET", "a", text)
    assert client("OBJECT", "ENCODING", "a") == encoding


def test_object_tells_little_of_a_key(client: Client) -> None:
    client("SET", "a", 7)
    client("SET", "b", 10_000)
    assert [client("OBJECT", "REFCOUNT", key) for key in "abc"] == [2**31 - 1, 1, None]
    assert [client("OBJECT", "idletime", key) for key in "abc"] == [0, 0, None]
    assert client("OBJECT", "FREQ", "c") is None
    assert client.fails("OBJECT", "FREQ", "a").startswith("ERR An LFU maxmemory policy is not selected")
    assert client("OBJECT", "HELP")[0] == b"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"


def test_object_is_asked_something(client: Client) -> None:
    assert client.fails("OBJECT") == "ERR wrong number of arguments for 'object' command"
    assert client.fails("OBJECT", "NOSUCH", "a") == "ERR unknown subcommand 'NOSUCH'. Try OBJECT HELP."
    assert client.fails("OBJECT", "FREQ") == "ERR wrong number of arguments for 'object|freq' command"
