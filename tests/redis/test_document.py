"""docs/redis.md is true: its tables are made from the code, and its examples run.

`UPDATE_GOLDEN=1 pytest tests/redis/test_document.py` writes the tables anew.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import redis

from mvcc_kv.protocol.resp.sniffing import is_redis_inline
from mvcc_kv.protocol.usage import USAGE
from mvcc_kv.server.redis import handlers
from mvcc_kv.server.redis.commands import COMMANDS, Command

from .servers import Place
from .tcl.units import PASSED, SKIPPED

DOCUMENT = Path(__file__).parents[2] / "docs" / "redis.md"
UPDATES = os.environ.get("UPDATE_GOLDEN") == "1"
_GROUPS = {
    "string": "strings",
    "bitmap": "bits",
    "generic": "keys and expiry",
    "transactions": "transactions",
    "connection": "connections",
    "pubsub": "pub/sub",
    "server": "server",
    "scripting": "scripts",
}


def commands_table() -> Iterator[str]:
    """All commands by group, with their subcommands."""
    assert "strings" in handlers.__all__, "what fills the table is imported"
    groups: dict[str, list[str]] = defaultdict(list)
    for name, command in sorted(COMMANDS.items()):
        if name.isupper():
            groups[command.group].append(_told(command))
    assert set(groups) == set(_GROUPS)
    yield from ("| | |", "|---|---|")
    for group, title in _GROUPS.items():
        yield f"| {title} | {', '.join(groups[group])} |"


def _told(command: Command) -> str:
    inner = sorted(name.decode().upper() for name in command.subcommands if name != b"help")
    return f"`{command.name.upper()}`" + (f" ({', '.join(inner)})" if inner else "")


def units_table() -> Iterator[str]:
    """How many of Redis's tests pass."""
    yield from ("| unit | passed |", "|---|---|")
    for unit, passed in PASSED.items():
        yield f"| {unit} | {passed} |"


def skipped_table() -> Iterator[str]:
    yield from ("| unit | test | wants |", "|---|---|---|")
    for skip in SKIPPED:
        yield f"| {skip.unit} | {skip.test} | {skip.reason} |"


TABLES = {"commands": commands_table, "units": units_table, "skipped": skipped_table}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_what_is(name: str) -> None:
    text = DOCUMENT.read_text()
    place = re.compile(rf"(?<=<!-- {name} -->\n)(.*?)(?=<!-- end -->)", re.S)
    table = "\n" + "\n".join(TABLES[name]()) + "\n\n"
    if UPDATES:
        DOCUMENT.write_text(place.sub(lambda _: table, text, count=1))
        return
    found = place.search(text)
    assert found is not None and found[1] == table, "UPDATE_GOLDEN=1 writes it anew"


def test_the_limits_are_those_of_the_parser() -> None:
    from mvcc_kv.protocol.resp import requests
    from mvcc_kv.server.redis import cursors, scanning

    text = DOCUMENT.read_text()
    assert (requests.BULK_BYTES_MAX, requests.LINE_BYTES_MAX) == (512 * 1024**2, 64 * 1024)
    assert f"{requests.MEMBERS_MAX:,}\narguments (`--max-array-members`)" in text
    assert f"last {cursors.CURSORS_MAX:,} cursors" in text
    assert f"has {scanning.COUNT_MAX:,} keys at most" in text


def test_the_readme_tells_how_many_of_redis_tests_pass() -> None:
    *nine, other = PASSED.values()
    said = " ".join((DOCUMENT.parents[1] / "README.md").read_text().split())
    assert f"{sum(nine) + other} tests of Redis's own suite pass: {sum(nine)} on strings" in said
    assert f"and {other} of its unit `other`" in said


@pytest.mark.parametrize("name", ["redis.md", "protocol.md"])
def test_the_commands_of_both_protocols_are_named_in_both_documents(name: str) -> None:
    both = sorted(verb for verb in USAGE if verb.encode() in COMMANDS)
    found = re.findall(r"<!-- both -->(.*?)<!-- end -->", (DOCUMENT.parent / name).read_text(), re.S)
    assert [re.findall(r"`(.*?)`", listed) for listed in found] == [both]
    for verb in both:
        assert not is_redis_inline(verb.encode()), "it is the line protocol's"
    for other in (b"SET a 1", b"hello 3"):
        assert is_redis_inline(other), "the documents' examples"


def example(name: str) -> Any:
    """The function of this name in the document."""
    for block in re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S):
        if f"def {name}(" in block:
            scope: dict[str, Any] = {}
            exec(block, scope)
            return scope[name]
    raise AssertionError(f"no example {name}")


def test_the_transfer_loses_nothing_when_many_run(ours: Place) -> None:
    transfer = example("transfer")
    client = redis.Redis(host=ours.host, port=ours.port)
    client.mset({"alice": 100, "bob": 0})

    def pay() -> None:
        with redis.Redis(host=ours.host, port=ours.port, single_connection_client=True) as own:
            for _ in range(20):
                transfer(own, "alice", "bob", 1)

    payers = [Thread(target=pay) for _ in range(4)]
    for payer in payers:
        payer.start()
    for payer in payers:
        payer.join()
    assert client.mget("alice", "bob") == [b"20", b"80"]
    with (
        redis.Redis(host=ours.host, port=ours.port, single_connection_client=True) as own,
        pytest.raises(ValueError, match="not enough"),
    ):
        transfer(own, "alice", "bob", 21)
    assert client.mget("alice", "bob") == [b"20", b"80"]
    client.close()


def test_the_migration_moves_strings_and_their_ends(real_redis: Place, ours: Place) -> None:
    ends_ms = 4_102_444_800_000
    with (
        redis.Redis(host=real_redis.host, port=real_redis.port) as source,
        redis.Redis(host=ours.host, port=ours.port) as target,
    ):
        source.flushall()
        source.mset({f"key:{n}": n for n in range(2500)})
        source.set("bytes", b"\x00\xff")
        source.set("ending", "x", pxat=ends_ms)
        source.rpush("a list", 1)
        source.set(b"\xff", "no text")
        left = example("migrate")(source, target)
        assert sorted(left) == [b"a list", b"\xff"]
        assert target.dbsize() == 2502
        assert target.get("bytes") == b"\x00\xff" and target.get("key:2499") == b"2499"
        assert target.pexpiretime("ending") == ends_ms and target.ttl("key:1") == -1
        target.restore("dumped", 0, source.dump("bytes") or b"")
        assert target.get("dumped") == b"\x00\xff"
