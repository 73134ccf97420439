"""START, COMMIT, ROLLBACK and CONFLICT from redis-py: what Redis doesn't have. The same as in docs/redis.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError

from ..servers import Place


@pytest.fixture
def two(ours: Place, protocol: int) -> Iterator[tuple[Any, Any]]:
    """Two clients with one connection each."""
    options: dict[str, Any] = {"host": ours.host, "port": ours.port, "protocol": protocol}
    with (
        redis.Redis(**options, single_connection_client=True) as one,
        redis.Redis(**options, single_connection_client=True) as other,
    ):
        yield one, other


def test_reads_between_start_and_commit_see_one_snapshot(two: tuple[Any, Any]) -> None:
    reader, writer = two
    writer.mset({"a": 1, "b": 1})
    reader.execute_command("START")
    assert reader.get("a") == b"1"
    writer.mset({"a": 2, "b": 2, "c": 2})
    assert reader.mget("a", "b", "c") == [b"1", b"1", None]
    assert reader.dbsize() == 2
    reader.execute_command("COMMIT")
    assert reader.mget("a", "b", "c") == [b"2", b"2", b"2"]


def test_nobody_sees_what_was_rolled_back(two: tuple[Any, Any]) -> None:
    one, other = two
    one.execute_command("START")
    one.set("a", 1)
    assert one.incr("a") == 2
    assert other.get("a") is None
    assert one.execute_command("ROLLBACK") in (b"OK", True)
    assert one.get("a") is None


def test_the_first_to_commit_wins_and_the_other_is_told_why(two: tuple[Any, Any]) -> None:
    one, other = two
    one.set("a", 1)
    start_ts = one.execute_command("START")
    one.incr("a")
    other.set("a", 10)
    with pytest.raises(ResponseError, match=r"^CONFLICT key 'a'"):
        one.execute_command("COMMIT")
    report = one.execute_command("CONFLICT", "LAST")
    report = dict(zip(report[::2], report[1::2], strict=True)) if isinstance(report, list) else report
    assert report[b"start_ts"] == start_ts
    assert b"a" in report[b"keys"]
    assert one.get("a") == b"10"


def test_a_serializable_reader_loses_to_who_changed_what_it_read(two: tuple[Any, Any]) -> None:
    one, other = two
    one.mset({"a": 1, "b": 1})
    one.execute_command("START", "SERIALIZABLE")
    one.set("b", int(one.get("a")) + 1)
    other.set("a", 5)
    with pytest.raises(ResponseError, match=r"^CONFLICT"):
        one.execute_command("COMMIT")


def test_a_reader_of_the_past_writes_nothing(two: tuple[Any, Any]) -> None:
    one, _ = two
    one.set("a", "old")
    ts = one.execute_command("START", "READONLY")
    assert one.execute_command("COMMIT") == ts
    assert one.execute_command("START", "AT", ts, "READONLY") == ts
    assert one.get("a") == b"old"
    with pytest.raises(ResponseError):
        one.set("a", "never")


def test_after_an_error_reply_nothing_of_a_transaction_is_applied(two: tuple[Any, Any]) -> None:
    one, _ = two
    one.execute_command("START")
    one.set("a", "text")
    with pytest.raises(ResponseError, match="not an integer"):
        one.incr("a")
    with pytest.raises(ResponseError, match=r"^TRANSACTION_DOOMED"):
        one.execute_command("COMMIT")
    assert one.get("a") is None
