"""The quick lane does what the session does, to the byte; and the compiled one what the one in Python does."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.server.redis.quick import Burst, Outcome, run_in_python
from mvcc_kv.values import Expiring
from tests.server.redis.lane_clients import Leave, Sitting

KEYS = st.sampled_from([b"a", b"b", b"c", b"key:1", "é".encode(), b""])
TEXTS = st.one_of(
    st.sampled_from([b"", b"1", b"-1", b"0", b"01", b"-0", b"999999999999999999", b"9223372036854775807", b'say "hi"']),
    st.binary(max_size=12),
    st.text(max_size=8).map(str.encode),
)
NAMES = st.one_of(
    st.sampled_from([b"GET", b"get", b"SET", b"sEt", b"INCR", b"incr", b"PING", b"DEL", b"GETS", b"SE", b"\x07ET"]),
    st.lists(  # as they stand one behind the other in C's memory, or might
        st.sampled_from([b"GET", b"SET", b"INCR", b"MULTI", b"EXEC", b"WATCH", b"PING", b"\0", b" "]), max_size=5
    ).map(b"".join),
)
COMMANDS = st.one_of(
    st.tuples(st.sampled_from([b"GET", b"get", b"INCR"]), KEYS),
    st.tuples(st.sampled_from([b"SET", b"set"]), KEYS, TEXTS),
    st.lists(st.one_of(NAMES, KEYS, TEXTS), min_size=1, max_size=4).map(tuple),
    st.lists(KEYS, min_size=1, max_size=3).map(lambda keys: (b"WATCH", *keys)),
    st.sampled_from([(b"MULTI",), (b"multi",), (b"EXEC",), (b"START",), (b"start",), (b"COMMIT",), (b"commit",)]),
)
TRANSACTIONS = st.lists(st.tuples(st.sampled_from([b"SET", b"set"]), KEYS, TEXTS), max_size=3).map(
    lambda writes: [(b"MULTI",), *writes, (b"EXEC",)]
)
INTERACTIVE = st.lists(
    st.one_of(
        st.tuples(st.just(b"GET"), KEYS), st.tuples(st.just(b"SET"), KEYS, st.sampled_from([b"1", b"two", b'"']))
    ),
    max_size=4,
).map(lambda commands: [(b"START",), *commands, (b"COMMIT",)])
BURSTS = st.lists(st.one_of(COMMANDS.map(lambda it: [it]), TRANSACTIONS, INTERACTIVE), max_size=8).map(
    lambda parts: [command for part in parts for command in part]
)
VALUES = st.one_of(
    st.sampled_from([b'"x"', b"1", b"-5", b"1.5", b'"7"', b'"a\\n"', b'{"$bytes": "//4="}', b"[1]", b"true", b"null"]),
    st.integers(-(10**19), 10**19).map(lambda number: b"%d" % number),
    st.just(Expiring(b'"soon"', 10)),
    st.none(),
)
WATCHED = st.one_of(st.none(), st.dictionaries(KEYS, st.integers(1, 4), max_size=3))
HEADS = st.dictionaries(KEYS, st.lists(VALUES, min_size=1, max_size=3), max_size=5)
OPENED = st.one_of(st.none(), st.tuples(st.integers(0, 4), st.dictionaries(KEYS, VALUES, max_size=3)))


def compiled() -> Any:
    """The compiled lane. Without a compiler there is none; where this must not pass unnoticed, CI is set."""
    try:
        return import_module("mvcc_kv.server.redis._quick").run
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("the quick lane was not compiled")


def packed(arguments: tuple[bytes, ...]) -> bytes:
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(it), it) for it in arguments)


def chains(values: dict[bytes, list[bytes | None]]) -> dict[bytes, Any]:
    """Each key's values, oldest first, at 1, 2, 3."""
    heads: dict[bytes, Any] = {}
    for key, texts in values.items():
        for commit_ts, text in enumerate(texts, 1):
            heads[key] = (commit_ts, text, heads.get(key))
    return heads


@pytest.mark.parametrize("padding", [b"\0", b" ", b"\0SET", b" INCR", b"\0SET\0INCR\0MULTI"])
@pytest.mark.parametrize("name", [b"GET", b"SET", b"INCR", b"MULTI", b"EXEC", b"WATCH", b"PING", b"START", b"COMMIT"])
def test_a_name_with_something_behind_it_is_none_that_the_lane_knows(name: bytes, padding: bytes) -> None:
    for arguments in ((), (b"k",), (b"k", b"1")):
        data = packed((name + padding, *arguments))
        for run in (run_in_python, compiled()):
            heads: dict[bytes, Any] = {b"k": (1, b"1", None)}
            client = Sitting()
            outcome = Outcome._make(run([(data, 2, {}, client)], 1000, heads, 1, 1, Leave(heads)))
            assert (outcome.replies, outcome.commit_ts) == ([b""], 1)


@settings(max_examples=500)
@given(
    sent=st.lists(st.tuples(BURSTS, st.integers(0, 40), st.sampled_from([2, 3]), WATCHED, OPENED), max_size=3),
    values=HEADS,
    seen_ts=st.integers(0, 4),
    may_write=st.booleans(),
    keeps=st.booleans(),
    logs=st.booleans(),
    out_max=st.sampled_from([1, 10, 1000]),
)
def test_the_compiled_lane_is_the_one_in_python(
    sent: list[tuple[list[tuple[bytes, ...]], int, int, dict[bytes, int] | None, Any]],
    values: dict[bytes, list[bytes | None]],
    seen_ts: int,
    may_write: bool,
    keeps: bool,
    logs: bool,
    out_max: int,
) -> None:
    outcomes = []
    for run in (run_in_python, compiled()):
        heads: dict[bytes, Any] = chains(values)
        leave = Leave(heads, may_write=may_write, keeps=keeps, logs=logs)
        clients = [Sitting() for _ in sent]
        for client, (*_, opened) in zip(clients, sent, strict=True):
            if opened is not None:
                client.sit_down(leave, *opened)
        bursts = [_burst(*it[:4], client) for it, client in zip(sent, clients, strict=True)]
        outcome = Outcome._make(run(bursts, out_max, heads, seen_ts, 3, leave))
        watched = [burst[2] for burst in bursts]
        outcomes.append((outcome, heads, leave.lists, watched, leave.facts(), [it.is_in for it in clients]))
    assert outcomes[0] == outcomes[1]


def _burst(
    commands: list[tuple[bytes, ...]], cut: int, proto: int, watched: dict[bytes, int] | None, client: Sitting
) -> Burst:
    data = b"".join(map(packed, commands))
    said = data[: len(data) - cut] if cut < len(data) else data
    return said, proto, None if watched is None else dict(watched), client


@settings(max_examples=300)
@given(st.binary(max_size=60).map(lambda noise: b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n" + noise))
def test_what_is_no_command_ends_either_lane_at_the_same_byte(data: bytes) -> None:
    outcomes = [run([(data, 2, None, None)], 1000, {}, 0, 0, Leave({})) for run in (run_in_python, compiled())]
    assert tuple(outcomes[0]) == outcomes[1]


@pytest.fixture(params=["python", "compiled"])
def run(request: pytest.FixtureRequest) -> Any:
    """Either lane."""
    return run_in_python if request.param == "python" else lambda *arguments: Outcome._make(compiled()(*arguments))


def test_the_lane_executes_what_it_knows_and_stops_before_the_rest(run: Any) -> None:
    data = b"".join(map(packed, [(b"SET", b"a", b"1"), (b"INCR", b"a"), (b"GET", b"a"), (b"DEL", b"a"), (b"PING",)]))
    heads: dict[bytes, Any] = {}
    outcome = run([(data, 2, None, None)], 1000, heads, 0, 0, Leave(heads))
    assert outcome.replies == [b"+OK\r\n:2\r\n$1\r\n2\r\n"]
    ((place, used_bytes, free_bytes, waits_for_ts),) = outcome.rest
    assert data[used_bytes:].startswith(b"*2\r\n$3\r\nDEL")
    assert (place, free_bytes, waits_for_ts) == (0, len(outcome.replies[0]), 0)
    assert heads == {b"a": (2, b"2", None)}
    assert (outcome.commit_ts, outcome.new_keys, outcome.gets, outcome.sets, outcome.incrs) == (2, 1, 1, 1, 1)


def test_with_a_log_another_client_does_not_see_what_is_not_on_disk(run: Any) -> None:
    writes_then_reads, reads = packed((b"SET", b"a", b"2")) + packed((b"GET", b"a")), packed((b"GET", b"a"))
    for writes, seen_by_others in (([], b"1"), (None, b"2")):
        heads: dict[bytes, Any] = {b"a": (1, b'"1"', None)}
        leave = Leave(heads, keeps=True, logs=writes is not None)
        outcome = run([(writes_then_reads, 2, None, None), (reads, 2, None, None)], 1000, heads, 1, 1, leave)
        assert outcome.replies == [b"+OK\r\n$1\r\n2\r\n", b"$1\r\n%b\r\n" % seen_by_others]
        assert outcome.rest == ([] if writes is None else [(0, len(writes_then_reads), 0, 2)])


def test_what_stands_before_a_commit_does_not_wait_for_it(run: Any) -> None:
    data = packed((b"GET", b"a")) + packed((b"SET", b"a", b"2"))
    heads: dict[bytes, Any] = {b"a": (1, b'"1"', None)}
    outcome = run([(data, 2, None, None)], 1000, heads, 1, 1, Leave(heads, keeps=True, logs=True))
    assert outcome.replies == [b"$1\r\n1\r\n+OK\r\n"]
    assert outcome.rest == [(0, len(data), len(b"$1\r\n1\r\n"), 2)]


INCREMENT = [(b"MULTI",), (b"SET", b"a", b"2"), (b"SET", b"b", b"2"), (b"EXEC",)]


def test_a_transaction_of_sets_is_one_commit(run: Any) -> None:
    heads: dict[bytes, Any] = {b"a": (1, b'"1"', None), b"b": (2, b'"1"', None)}
    watched: dict[bytes, int] = {}
    data = b"".join(map(packed, [(b"WATCH", b"a", b"b"), (b"GET", b"a"), *INCREMENT]))
    outcome = run([(data, 2, watched, None)], 1000, heads, 2, 2, Leave(heads))
    said = b"+OK\r\n$1\r\n1\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n"
    assert (outcome.replies, outcome.rest, outcome.commit_ts) == ([said], [], 3)
    assert heads == {b"a": (3, b'"2"', None), b"b": (3, b'"2"', None)}
    assert (watched, outcome.watches, outcome.execs, outcome.sets) == ({}, 1, 1, 2)


@pytest.mark.parametrize(("proto", "null"), [(2, b"*-1\r\n"), (3, b"_\r\n")])
def test_a_transaction_whose_watch_is_lost_changes_nothing(run: Any, proto: int, null: bytes) -> None:
    heads: dict[bytes, Any] = {b"a": (1, b'"1"', None), b"b": (2, b'"1"', None)}
    for watched in ({b"b": 1}, {b"a": 1, b"gone": 1}):
        outcome = run([(b"".join(map(packed, INCREMENT)), proto, watched, None)], 1000, heads, 2, 2, Leave(heads))
        assert outcome.replies == [b"+OK\r\n+QUEUED\r\n+QUEUED\r\n" + null]
        assert (outcome.commit_ts, watched, outcome.execs, outcome.sets) == (2, {}, 1, 0)
    assert heads == {b"a": (1, b'"1"', None), b"b": (2, b'"1"', None)}


@pytest.mark.parametrize(
    "commands",
    [
        [(b"MULTI",), (b"SET", b"a", b"2")],
        [(b"MULTI",), (b"EXEC",)],
        [(b"MULTI",), (b"SET", b"a", b"2"), (b"SET", b"a", b"3"), (b"EXEC",)],
        [(b"MULTI",), (b"SET", b"new", b"2"), (b"EXEC",)],
        [(b"MULTI",), (b"SET", b"a", b"2"), (b"GET", b"a"), (b"EXEC",)],
        [(b"MULTI",), (b"SET", b"a", b'"'), (b"EXEC",)],
        [(b"MULTI",), *[(b"SET", b"%d" % at, b"2") for at in range(32)], (b"EXEC",)],
        [(b"WATCH", b"a", b"new")],
        [(b"WATCH",)],
        [(b"EXEC",)],
    ],
)
def test_what_takes_more_than_that_is_for_the_session(run: Any, commands: list[tuple[bytes, ...]]) -> None:
    keys = [b"a", *(b"%d" % at for at in range(32))]
    heads: dict[bytes, Any] = dict.fromkeys(keys, (1, b'"1"', None))
    watched: dict[bytes, int] = {}
    outcome = run([(b"".join(map(packed, commands)), 2, watched, None)], 1000, heads, 1, 1, Leave(heads))
    assert (outcome.replies, outcome.commit_ts, watched) == ([b""], 1, {})
    assert outcome.rest == [(0, 0, 0, 0)]
    assert heads == dict.fromkeys(keys, (1, b'"1"', None))


START, GET_A, SET_A, COMMIT = (b"START",), (b"GET", b"a"), (b"SET", b"a", b"2"), (b"COMMIT",)


def said(*commands: tuple[bytes, ...]) -> bytes:
    return b"".join(map(packed, commands))


def test_a_transaction_of_ours_goes_on_from_burst_to_burst(run: Any) -> None:
    heads: dict[bytes, Any] = {b"a": (1, b'"1"', None)}
    client, leave = Sitting(), Leave(heads)
    outcome = run([(said(START, GET_A), 2, {}, client)], 1000, heads, 1, 1, leave)
    assert (outcome.replies, outcome.rest, client.is_in) == ([b":1\r\n$1\r\n1\r\n"], [], True)
    outcome = run([(said(SET_A, GET_A, COMMIT), 2, {}, client)], 1000, heads, 1, 1, leave)
    assert (outcome.replies, outcome.rest, client.is_in) == ([b"+OK\r\n$1\r\n2\r\n:2\r\n"], [], False)
    assert heads == {b"a": (2, b'"2"', (1, b'"1"', None))}
    assert leave.lists == ([(2, 1, b"a", 3)], None)
    assert (outcome.commit_ts, outcome.commits, outcome.sets, outcome.gets, outcome.own_gets) == (2, 1, 1, 1, 1)
    assert outcome.transactions == [], "it has no label"


def test_its_snapshot_stays_what_others_overwrite_in_the_same_round(run: Any) -> None:
    """The first writes while nobody is there who could mind: from the START on there is."""
    heads: dict[bytes, Any] = {b"a": (1, b'"1"', None)}
    first, second = Sitting(), Sitting()
    bursts: list[Burst] = [(said(SET_A), 2, {}, None), (said(START), 2, {}, first), (said(SET_A), 2, {}, None)]
    outcome = run([*bursts, (said(GET_A), 2, {}, first)], 1000, heads, 1, 1, Leave(heads))
    assert outcome.replies == [b"+OK\r\n", b":2\r\n", b"+OK\r\n", b"$1\r\n2\r\n"]
    assert heads == {b"a": (3, b'"2"', (2, b'"2"', None))}
    assert (first.is_in, second.is_in) == (True, False)


def test_of_two_that_write_one_key_the_second_is_for_the_session(run: Any) -> None:
    heads: dict[bytes, Any] = {b"a": (1, b'"1"', None)}
    clients = [Sitting(), Sitting()]
    leave = Leave(heads)
    for client in clients:
        client.sit_down(leave, 1, {b"a": b'"2"'})
    outcome = run([(said(COMMIT), 2, {}, client) for client in clients], 1000, heads, 1, 1, leave)
    assert (outcome.replies, outcome.rest) == ([b":2\r\n", b""], [(1, 0, 0, 0)])
    assert [client.is_in for client in clients] == [False, True]


def test_what_a_transaction_answers_from_its_commit_on_waits_for_the_log(run: Any) -> None:
    heads: dict[bytes, Any] = {b"a": (1, b'"1"', None), b"b": (1, b'"1"', None)}
    data = said(START, SET_A, (b"SET", b"b", b"2"), COMMIT, START, GET_A)
    leave = Leave(heads, logs=True)
    outcome = run([(data, 2, {}, Sitting())], 1000, heads, 1, 1, leave)
    assert outcome.replies == [b":1\r\n+OK\r\n+OK\r\n:2\r\n:2\r\n$1\r\n2\r\n"]
    assert outcome.rest == [(0, len(data), len(b":1\r\n+OK\r\n+OK\r\n"), 2)]
    assert leave.lists[1] == [[(b"a", b'"2"'), (b"b", b'"2"')]]


@pytest.mark.parametrize(
    "commands",
    [
        [(b"INCR", b"a")],
        [(b"PING",)],
        [START],
        [(b"MULTI",), SET_A, (b"EXEC",)],
        [(b"WATCH", b"a")],
        [(b"ROLLBACK",)],
        [(b"SET", b"a", b'"')],
        [(b"SET", "é".encode(), b"1")],
    ],
)
def test_other_commands_in_a_transaction_are_for_the_session(run: Any, commands: list[tuple[bytes, ...]]) -> None:
    heads: dict[bytes, Any] = {b"a": (1, b'"1"', None)}
    client, leave = Sitting(), Leave(heads)
    client.sit_down(leave, 1, {})
    outcome = run([(said(*commands), 2, {}, client)], 1000, heads, 1, 1, leave)
    assert (outcome.replies, outcome.rest, outcome.commit_ts) == ([b""], [(0, 0, 0, 0)], 1)
    assert client.is_in and not client.transaction.writes


@pytest.mark.parametrize("value", [None, Expiring(b'"soon"', 10), b'"%b"' % (b"x" * 4096)])
def test_a_commit_of_more_than_values_is_for_the_session(run: Any, value: bytes | None) -> None:
    heads: dict[bytes, Any] = {b"a": (1, b'"1"', None)}
    client, leave = Sitting(), Leave(heads, logs=True)
    client.sit_down(leave, 1, {b"a": value})
    outcome = run([(said(COMMIT), 2, {}, client)], 1000, heads, 1, 1, leave)
    assert (outcome.replies, outcome.commit_ts, client.is_in, leave.lists) == ([b""], 1, True, ([], []))
