"""CHANGES without a socket: what is said, when, and how much of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import UnavailableError
from mvcc_kv.server import Settings
from mvcc_kv.server.connection import Connection
from mvcc_kv.server.served import Services

NOON_US = 1_795_435_200_123_456


class SlowLog:
    """A log that makes nothing durable by itself."""

    failure: UnavailableError | None = None

    def append(self, *_: object) -> bool:
        return False

    def settle(self, commit_ts: int, *, waits: bool = True) -> None:
        pass


class House:
    """A store, and connections to it; history goes on from `begun_ts`."""

    def __init__(self, *, buffer_bytes: int = 1024 * 1024, password: str | None = None, **chosen: Any) -> None:
        self.settings = Settings(**chosen)
        self.store = VersionedStore(time_us=lambda: NOON_US)
        self.store.keep_changes(buffer_bytes)
        self.services = Services(
            store=self.store,
            stats=self.store.stats,
            checkpoint=lambda answer: None,
            clock=lambda: 0.0,
            changes_buffer_bytes=buffer_bytes,
            password=password,
        )

    def asked(self, *lines: bytes) -> Connection:
        connection = Connection(self.services, self.settings)
        connection.receive(b"".join(line + b"\n" for line in lines), is_burst_end=True)
        return connection

    def following(self, command: bytes = b"CHANGES") -> Connection:
        """A feed that has begun; its first line was not sent yet."""
        connection = self.asked(command)
        connection.run()
        return connection

    def commit(self, label: str | None = None, /, **writes: bytes | None) -> int:
        transaction = self.store.begin(TransactionOptions(label=label))
        for key, value in writes.items():
            if value is None:
                transaction.delete(key.encode())
            else:
                transaction.put(key.encode(), value)
        return transaction.commit()


def said_by(connection: Connection) -> bytes:
    """All that it says while it has something to say, as a client would hear it that reads at once."""
    said = connection.take_output()
    while connection.can_run or connection.output_bytes:
        connection.run()
        said += connection.take_output()
    return said


def results(connection: Connection) -> list[Any]:
    return [json.loads(line)["result"] for line in said_by(connection).splitlines()]


def commits(lines: Sequence[Any]) -> list[int]:
    return [line["commit_ts"] for line in lines if "commit_ts" in line]


# What is told


def test_a_commit_is_one_line_with_time_and_label_and_values_to_the_letter() -> None:
    house = House()
    house.commit(b=b"0")
    connection = house.asked(b"CHANGES")
    assert said_by(connection) == b'{"status": "Ok", "result": {"ts": 1}}\n'
    house.commit("nightly", a=b'{"n":1.0, "m": 12345678901234567890}', b=None)
    house.store.put(b"c", b'"z"')
    assert said_by(connection).decode() == (
        '{"status": "Ok", "result": {"commit_ts": 2, "time": "2026-11-23T12:00:00.123456Z", "label": "nightly", '
        '"changes": [{"key": "a", "value": {"n":1.0, "m": 12345678901234567890}}, {"key": "b", "deleted": true}]}}\n'
        '{"status": "Ok", "result": {"commit_ts": 3, "time": "2026-11-23T12:00:00.123456Z", '
        '"changes": [{"key": "c", "value": "z"}]}}\n'
    )


def test_it_begins_after_the_commit_that_was_seen_last() -> None:
    house = House()
    for _ in range(5):
        house.commit(a=b"1")
    assert [commits(results(house.asked(b'CHANGES {"from": %d}' % ts))) for ts in (0, 3, 5)] == [
        [1, 2, 3, 4, 5],
        [4, 5],
        [],
    ]


def test_nothing_is_told_before_it_is_durable() -> None:
    house = House()
    house.store.attach(SlowLog())
    connection = house.asked(b"CHANGES")
    assert results(connection) == [{"ts": 0}]
    house.commit(a=b"1")
    house.commit(b=b"2")
    assert not connection.can_run
    house.store.publish(1)
    assert commits(results(connection)) == [1]
    house.store.publish(2)
    assert commits(results(connection)) == [2]


def test_a_prefix_leaves_out_other_keys_and_commits_without_any_of_its() -> None:
    house = House()
    connection = house.following(b'CHANGES {"prefix": "user:"}')
    house.store.put(b"user:1", b"1")
    house.store.put(b"use", b"1")
    transaction = house.store.begin()
    transaction.put(b"user:2", b"2")
    transaction.put(b"visits", b"3")
    transaction.commit()
    told = results(connection)[1:]
    assert [(line["commit_ts"], line["changes"]) for line in told] == [
        (1, [{"key": "user:1", "value": 1}]),
        (3, [{"key": "user:2", "value": 2}]),
    ]


def test_commits_that_a_prefix_leaves_out_are_passed_and_a_heartbeat_tells_how_far() -> None:
    house = House()
    connection = house.following(b'CHANGES {"prefix": "x"}')
    for _ in range(250):
        house.commit(a=b"1")
    assert results(connection) == [{"ts": 0}]
    feed = connection.session.feed
    assert feed is not None
    feed.beat()
    assert results(connection) == [{"ts": 250}]


# Where it can begin


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (b'CHANGES {"from": 3}', "in the future"),
        (b'CHANGES {"from": -1}', "Usage: CHANGES"),
        (b'CHANGES {"from": "1"}', "Usage: CHANGES"),
        (b'CHANGES {"since": 1}', "Usage: CHANGES"),
        (b"CHANGES user:", "Usage: CHANGES"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(command: bytes, why: str) -> None:
    house = House()
    house.commit(a=b"1")
    house.commit(a=b"2")
    connection = house.asked(command, b"PING")
    connection.run()
    while connection.can_run:
        connection.run()
    first, second = map(json.loads, connection.take_output().splitlines())
    assert (first["result"]["code"], why in first["message"], second["result"]) == ("BAD_REQUEST", True, "PONG")


def test_a_beginning_that_is_not_kept_is_refused_with_one_that_is() -> None:
    house = House(buffer_bytes=2_000)
    for n in range(50):
        house.commit(a=b"%d" % n)
    told = results(house.asked(b'CHANGES {"from": 0}'))
    assert (told[0]["code"], told[0]["oldest_ts"]) == ("SNAPSHOT_GONE", house.store.oldest_ts)
    assert 0 < house.store.oldest_ts < 50
    again = results(house.asked(b'CHANGES {"from": %d}' % told[0]["oldest_ts"]))
    assert commits(again) == list(range(house.store.oldest_ts + 1, 51))


def test_the_first_feed_turns_the_buffer_on() -> None:
    house = House()
    store = house.store = VersionedStore()
    house.services = Services(
        store=store, stats=store.stats, checkpoint=lambda answer: None, clock=lambda: 0.0, changes_buffer_bytes=2_000
    )
    house.commit(a=b"1")
    told = results(house.asked(b'CHANGES {"from": 0}'))
    assert (told[0]["code"], told[0]["oldest_ts"]) == ("SNAPSHOT_GONE", 1)
    house.commit(a=b"2")
    assert commits(results(house.asked(b'CHANGES {"from": 1}'))) == [2]


def test_inside_a_transaction_it_is_refused_and_dooms() -> None:
    house = House()
    said = results(house.asked(b"START", b"PUT a 1", b"CHANGES", b"COMMIT"))
    assert [result["code"] for result in said[2:]] == ["BAD_REQUEST", "TRANSACTION_DOOMED"]


def test_it_wants_the_login() -> None:
    said = results(House(password="open sesame").asked(b"CHANGES", b"AUTH open sesame", b"CHANGES"))
    assert said[0]["code"] == "AUTH_REQUIRED"
    assert said[1:] == ["Authenticated", {"ts": 0}]


def test_a_client_is_not_told_of_its_own_commit_before_it_and_hears_nothing_ahead_of_its_reply() -> None:
    house = House()
    house.store.attach(SlowLog())
    connection = house.asked(b"PUT a 1", b"CHANGES")
    while connection.can_run:
        connection.run()
    assert connection.take_output() == b"" and connection.is_held
    house.commit(b=b"2")
    house.store.publish(1)
    connection.release(1)
    assert results(connection) == [{"key": "a", "value": "1"}, {"ts": 1}]
    house.store.publish(2)
    assert commits(results(connection)) == [2]


def test_a_log_that_fails_under_its_first_line_ends_it_with_an_error() -> None:
    house = House()
    house.store.attach(SlowLog())
    connection = house.asked(b"PUT a 1", b"CHANGES")
    while connection.can_run:
        connection.run()
    connection.refuse_held(UnavailableError("the log failed"))
    assert [result["code"] for result in results(connection)] == ["UNAVAILABLE"] * 2
    assert connection.session.feed is None
    connection.receive(b"PING\n", is_burst_end=True)
    assert results(connection) == ["PONG"]


def test_a_log_that_fails_leaves_the_feeds_that_go_on_at_what_is_durable() -> None:
    house = House()
    house.store.attach(SlowLog())
    connection = house.following()
    house.commit(a=b"1")
    house.commit(b=b"2")
    house.store.publish(1)
    connection.refuse_held(UnavailableError("the log failed"))
    assert results(connection) == [
        {"ts": 0},
        {"commit_ts": 1, "time": "2026-11-23T12:00:00.123456Z", "changes": [{"key": "a", "value": 1}]},
    ]
    assert connection.session.feed is not None


# Its end


def test_a_command_ends_it_and_is_answered_behind_what_was_said() -> None:
    house = House()
    connection = house.following()
    house.commit(a=b"1")
    assert connection.can_receive
    connection.run()
    connection.receive(b"PING\n", is_burst_end=True)
    house.commit(a=b"2")
    told = results(connection)
    assert (told[0], commits(told), told[-1]) == ({"ts": 0}, [1], "PONG")
    assert not connection.can_run and connection.session.feed is None


def test_a_new_one_takes_its_place() -> None:
    house = House()
    house.commit(a=b"1")
    connection = house.asked(b"CHANGES", b'CHANGES {"from": 0, "prefix": "a"}', b"NONSENSE", b'CHANGES {"from": 1}')
    told = results(connection)
    assert [line.get("ts", line.get("code")) for line in told] == [1, 0, "UNKNOWN_COMMAND", 1]
    assert connection.can_receive


def test_quit_ends_both() -> None:
    connection = House().asked(b"CHANGES", b"QUIT")
    assert results(connection) == [{"ts": 0}, "Bye"]
    assert connection.is_done


@pytest.mark.parametrize("last", [b"CHANGES {}", b'CHANGES {"from": 0}'])
def test_a_client_that_sends_no_more_is_told_what_there_is_and_that_is_the_end(last: bytes) -> None:
    house = House()
    connection = Connection(house.services, house.settings)
    for _ in range(250):
        house.commit(a=b"1")
    connection.receive(last, is_burst_end=True)
    connection.end()
    told = results(connection)
    assert commits(told) == (list(range(1, 251)) if b"from" in last else [])
    assert connection.is_done


def test_a_client_that_leaves_while_all_is_quiet_ends_it_at_once() -> None:
    connection = House().asked(b"CHANGES")
    assert results(connection) == [{"ts": 0}]
    assert not connection.is_done
    connection.end()
    assert connection.is_done


# How much of it


def test_a_turn_tells_of_a_hundred_commits_at_most() -> None:
    house = House()
    for _ in range(250):
        house.commit(a=b"1")
    connection = house.asked(b'CHANGES {"from": 0}')
    counts = []
    while connection.can_run:
        connection.run()
        counts.append(connection.take_output().count(b"\n"))
    assert counts == [1, 100, 100, 50]


def test_a_turn_passes_a_hundred_commits_at_most_that_the_prefix_leaves_out() -> None:
    house = House()
    for _ in range(250):
        house.commit(a=b"1")
    connection = house.asked(b'CHANGES {"from": 0, "prefix": "x"}')
    turns = 0
    while connection.can_run:
        connection.run()
        turns += 1
    assert turns == 1 + 3


def test_a_turn_says_a_mebibyte_and_a_line_at_most_and_the_output_ends_a_line_past_its_mark() -> None:
    house, line_bytes = House(buffer_bytes=64 * 1024 * 1024, output_high_bytes=2 * 1024 * 1024), 50_000
    for _ in range(60):
        house.commit(a=b'"%b"' % (b"x" * line_bytes))
    connection = house.asked(b'CHANGES {"from": 0}')
    connection.run()
    before = connection.output_bytes
    connection.run()
    assert 1024 * 1024 <= connection.output_bytes - before < 1024 * 1024 + line_bytes + 200
    while connection.can_run:
        connection.run()
    assert house.settings.output_high_bytes <= connection.output_bytes
    assert connection.output_bytes < house.settings.output_high_bytes + line_bytes + 200
    assert commits(results(connection)) == list(range(1, 61))


def test_while_a_client_leaves_too_much_unread_nothing_is_made_and_heartbeats_dont_pile_up() -> None:
    house = House(output_high_bytes=1)
    connection = house.following()
    held_bytes = connection.output_bytes
    house.commit(a=b"1")
    for _ in range(3):
        assert connection.session.feed is not None
        connection.session.feed.beat()
        assert not connection.can_run and not connection.can_receive
    assert connection.output_bytes == held_bytes
    assert [line.get("ts", line.get("commit_ts")) for line in results(connection)] == [0, 1]


# Falling behind


def test_who_falls_behind_gets_one_lost_line_and_goes_on_behind_it() -> None:
    house = House(buffer_bytes=5_000, output_high_bytes=1)
    connection = house.following()
    for n in range(1, 101):
        house.commit(a=b"%d" % n)
    told = results(connection)
    assert told == [{"ts": 0}, {"lost": [1, 100], "resync_at": 100}]
    house.commit(a=b"101")
    assert commits(results(connection)) == [101]


@pytest.mark.parametrize("commits_a_turn", [10, 500, 1_500])
def test_a_feed_that_is_served_keeps_up_with_however_many_commits_a_turn(commits_a_turn: int) -> None:
    house = House(buffer_bytes=2 * 1_500 * 600)
    connection = house.following()
    told: list[int] = []
    connection.take_output()
    for _ in range(6):
        for n in range(commits_a_turn):
            house.commit(a=b"%d" % n)
        connection.run()
        lines = connection.take_output().splitlines()
        told += [json.loads(line)["result"]["commit_ts"] for line in lines]
    assert told == list(range(1, 6 * commits_a_turn + 1))


def test_a_state_read_at_resync_and_what_follows_it_is_the_state_now() -> None:
    house = House(buffer_bytes=5_000, output_high_bytes=1)
    connection = house.following()
    for n in range(1, 101):
        house.commit(**{f"k{n % 30}": b"%d" % n})
    connection.take_output()
    connection.run()
    lost = json.loads(connection.take_output())["result"]
    state: dict[str, Any] = {f"k{n % 30}": n for n in range(1, lost["resync_at"] + 1)}
    for line in results(connection):
        state.update((it["key"], it["value"]) for it in line["changes"])
    now = house.asked(b"SCAN")
    assert state == {item["key"]: item["value"] for item in results(now)[0]["items"]}


# Beginning anew

KEYS = ["a", "ab", "abc", "b", "ba"]
WRITES = st.dictionaries(st.sampled_from(KEYS), st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=3)


@given(
    st.lists(WRITES, max_size=30),
    st.sampled_from(["", "a", "ab", "b", "x"]),
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=20),
)
def test_whoever_begins_anew_from_the_last_line_is_told_each_commit_once(
    writes: list[dict[str, int | None]], prefix: str, cuts: list[tuple[int, bool]]
) -> None:
    """The client is cut off after any number of lines, with and without a heartbeat heard, as commits go on."""
    house = House(output_high_bytes=200)
    told: list[Any] = []
    ts, left = 0, list(writes)
    expected = []
    for lines_heard, beats in [*cuts, (10_000, False)]:
        connection = house.asked(b'CHANGES {"prefix": "%b", "from": %d}' % (prefix.encode(), ts))
        for _ in range(len(left) if lines_heard == 10_000 else 2):
            if left:
                changed = left.pop(0)
                before = house.store.commit_ts
                commit_ts = house.commit(
                    **{key: None if value is None else b"%d" % value for key, value in changed.items()}
                )
                if commit_ts > before:
                    expected.append(commit_ts)
        feed = connection.session.feed
        if beats and feed is not None:
            feed.beat()
        for line in results(connection)[: lines_heard + 1]:
            ts = line.get("ts", line.get("commit_ts"))
            told += [line] if "commit_ts" in line else []
    kept = house.store.commits_after(0, 1000)
    assert [commit.commit_ts for commit in kept] == expected
    wanted = [found for commit in kept if (found := commit.under(prefix.encode())) is not None]
    assert commits(told) == [commit.commit_ts for commit in wanted]
    assert [[it["key"] for it in line["changes"]] for line in told] == [
        [key.decode() for key, _ in commit.writes] for commit in wanted
    ]
    house.store.check()
