"""Sessions: commands to replies, and what a transaction goes through on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mvcc_kv.engine import CommitHistory, VersionedStore
from mvcc_kv.errors import Error
from mvcc_kv.protocol import replies
from mvcc_kv.protocol.framing import Line, OverlongLine
from mvcc_kv.protocol.usage import USAGE
from mvcc_kv.server.served import Services
from mvcc_kv.server.session import Session

Answer = Callable[[int | Error], None]


class House:
    """A store and the sessions on it, with a clock and checkpoints that wait for the test."""

    def __init__(self, *, limit: int = 1024, password: str | None = None) -> None:
        self.now_s = 100.0
        self.store = VersionedStore()
        self.checkpoints: list[Answer] = []
        self.later: list[bytes] = []
        self.services = Services(
            store=self.store,
            stats=self.store.stats,
            checkpoint=self.checkpoints.append,
            clock=lambda: self.now_s,
            max_transaction_bytes=limit,
            password=password,
        )

    def session(self) -> Session:
        return Session(self.services, self.later.append)


def say(session: Session, *lines: Line) -> list[bytes]:
    """The replies, each without its newline."""
    said = []
    for line in lines:
        reply = session.execute(line)
        assert reply is not None
        said.append(reply.removesuffix(b"\n"))
    return said


def told(session: Session, line: Line) -> dict[str, Any]:
    """The `result` of the reply."""
    result: dict[str, Any] = json.loads(say(session, line)[0])["result"]
    return result


def code(session: Session, line: Line) -> str:
    return str(told(session, line)["code"])


STARTED, COMMITTED, ROLLED_BACK = (
    reply.removesuffix(b"\n") for reply in (replies.STARTED, replies.COMMITTED, replies.ROLLED_BACK)
)


def test_the_originals_transcript() -> None:
    assert say(
        House().session(),
        b"START",
        b'PUT {"key": "key1", "value": "value1"}  ',
        b'PUT {"key": "key2", "value": "value2"}  ',
        b"GET key1",
        b"COMMIT",
    ) == [
        b'{"status": "Ok", "result": "Transaction started"}',
        b'{"status": "Ok", "result": {"key": "key1", "value": "value1"}}',
        b'{"status": "Ok", "result": {"key": "key2", "value": "value2"}}',
        b'{"status": "Ok", "result": {"key": "key1", "value": "value1"}}',
        b'{"status": "Ok", "result": "Transaction commited"}',
    ]


def test_a_deletion_and_a_missing_key() -> None:
    session = House().session()
    assert say(session, b"PUT k v", b"DEL k", b"GET k", b'DEL {"key": "k"}') == [
        b'{"status": "Ok", "result": {"key": "k", "value": "v"}}',
        b'{"status": "Ok", "result": {"key": "k"}}',
        b'{"status": "Error", "result": {"code": "KEY_NOT_FOUND", "retryable": false, "key": "k"}, '
        b'"message": "Key not found"}',
        b'{"status": "Error", "result": {"code": "KEY_NOT_FOUND", "retryable": false, "key": "k"}, '
        b'"message": "Key not found"}',
    ]


def test_values_come_back_to_the_letter() -> None:
    session = House().session()
    text = b'{"b":1.0,  "a": [123456789012345678901234567890, "\\u00e9", null]}'
    told_at_once, told_later = say(session, b'PUT {"key": "k", "value": %b}' % text, b"GET k")
    assert told_at_once == told_later == b'{"status": "Ok", "result": {"key": "k", "value": %b}}' % text


def test_what_is_new_is_asked_for_and_answered_with_an_object() -> None:
    session = House().session()
    assert told(session, b'START {"label": "nightly"}') == {"start_ts": 0}
    say(session, b"PUT k v")
    assert told(session, b"COMMIT {}") == {"commit_ts": 1}
    assert told(session, b"START {}") == {"start_ts": 1}
    assert told(session, b"COMMIT {}") == {"commit_ts": 1}


def test_outside_a_transaction_every_command_commits_and_never_conflicts() -> None:
    house = House()
    reader, writer = house.session(), house.session()
    say(reader, b"START", b"GET k")
    say(writer, b"PUT k 1", b"PUT k 2")
    assert told(house.session(), b"GET k")["value"] == "2"
    assert code(reader, b"GET k") == "KEY_NOT_FOUND"
    assert house.store.stats()["conflicts_total"] == 0


def test_the_first_committer_wins_and_the_other_is_told_by_whom() -> None:
    house = House()
    first, second = house.session(), house.session()
    say(first, b'START {"label": "nightly"}', b"PUT a 1", b"PUT b 1")
    say(second, b"START", b"PUT b 2", b"PUT a 2", b"PUT c 2")
    assert say(first, b"COMMIT") == [COMMITTED]
    assert told(second, b"COMMIT") == {
        "code": "CONFLICT",
        "retryable": True,
        "keys": ["b", "a"],
        "start_ts": 0,
        "winners": {"b": {"commit_ts": 1, "label": "nightly"}, "a": {"commit_ts": 1, "label": "nightly"}},
    }
    assert code(second, b"COMMIT") == "NO_TRANSACTION"
    assert code(second, b"GET c") == "KEY_NOT_FOUND"


@pytest.mark.parametrize("command", [b"COMMIT", b"ROLLBACK", b"COMMIT {}"])
def test_ending_what_was_not_begun_is_an_error(command: bytes) -> None:
    assert code(House().session(), command) == "NO_TRANSACTION"


def test_a_rolled_back_transaction_leaves_nothing() -> None:
    house = House()
    session = house.session()
    assert say(session, b"START", b"PUT k v", b"ROLLBACK")[-1] == ROLLED_BACK
    assert code(session, b"GET k") == "KEY_NOT_FOUND"
    assert house.store.stats()["active_transactions"] == 0


def test_transactions_do_not_nest_but_the_open_one_stays() -> None:
    session = House().session()
    say(session, b"START", b"PUT k v")
    assert code(session, b"START") == "TRANSACTION_OPEN"
    assert say(session, b"COMMIT") == [COMMITTED]
    assert told(session, b"GET k")["value"] == "v"


def test_a_read_only_transaction_refuses_writes() -> None:
    house = House()
    session = house.session()
    for write in (b"PUT k v", b"DEL k"):
        say(session, b"PUT k old", b'START {"read_only": true}')
        assert told(session, b"GET k")["value"] == "old"
        assert code(session, write) == "READ_ONLY"
        assert code(session, b"COMMIT") == "TRANSACTION_DOOMED"
    assert told(session, b"GET k")["value"] == "old"


REFUSED: list[tuple[Line, str]] = [
    (b"GET", "BAD_REQUEST"),
    (b"GET \xff", "BAD_REQUEST"),
    (b'PUT {"key": "k", "value": 1, "ttl": 1}', "BAD_REQUEST"),
    (b"AUTH x", "BAD_REQUEST"),
    (b"FROB k", "UNKNOWN_COMMAND"),
    (b"PUT big " + b"x" * 1024, "LIMIT_EXCEEDED"),
    (OverlongLine(b"PUT big x", 9999), "LIMIT_EXCEEDED"),
]


@pytest.mark.parametrize(("refused", "cause"), REFUSED)
def test_a_refused_command_dooms_its_transaction(refused: Line, cause: str) -> None:
    house = House()
    session = house.session()
    say(session, b"START", b"PUT before 1")
    assert code(session, refused) == cause
    assert house.store.stats()["active_transactions"] == 0, "its snapshot is let go at once"
    for command in (b"PUT after 1", b"GET before", b"PING", b"START", b"FROB", b"COMMIT {}"):
        later = told(session, command)
        assert later["code"] == "TRANSACTION_DOOMED"
        assert later["cause"]["code"] == cause
    assert say(session, b"PING", b"START", b"PUT again 1", b"COMMIT")[-1] == COMMITTED
    assert [code(session, b"GET " + key) for key in (b"before", b"after", b"big")] == ["KEY_NOT_FOUND"] * 3


@pytest.mark.parametrize(("refused", "cause"), REFUSED)
def test_rolling_a_doomed_transaction_back_ends_it(refused: Line, cause: str) -> None:
    session = House().session()
    say(session, b"START")
    assert code(session, refused) == cause
    assert say(session, b"rollback ", b"START", b"ROLLBACK") == [ROLLED_BACK, STARTED, ROLLED_BACK]
    assert code(session, b"COMMIT") == "NO_TRANSACTION"


@pytest.mark.parametrize(("refused", "cause"), REFUSED)
def test_a_refused_command_outside_a_transaction_harms_nothing(refused: Line, cause: str) -> None:
    session = House().session()
    assert code(session, refused) == cause
    assert told(session, b"PUT k v") == {"key": "k", "value": "v"}


def test_a_missing_key_does_not_doom() -> None:
    session = House().session()
    say(session, b"START", b"PUT k v")
    assert [code(session, b"GET x"), code(session, b"DEL x")] == ["KEY_NOT_FOUND"] * 2
    assert say(session, b"COMMIT") == [COMMITTED]


@pytest.mark.parametrize("last", [b"COMMIT now", b"COMMIT\tnow", b'COMMIT {"id": 1}', b"ROLLBACK all"])
def test_a_refused_end_is_an_end(last: bytes) -> None:
    house = House()
    session = house.session()
    say(session, b"START", b"PUT k v")
    assert code(session, last) == "BAD_REQUEST"
    assert code(session, b"COMMIT") == "NO_TRANSACTION"
    assert code(session, b"GET k") == "KEY_NOT_FOUND"
    assert house.store.stats()["active_transactions"] == 0


def test_a_start_that_is_refused_begins_nothing() -> None:
    house = House()
    session = house.session()
    for start in (b'START {"isolation": "none"}', b'START {"at": 1}', b'START {"x": 1}', b"START now"):
        assert code(session, start) == "BAD_REQUEST"
        assert code(session, b"COMMIT") == "NO_TRANSACTION"
    assert house.store.stats()["active_transactions"] == 0


# The limit


@pytest.mark.parametrize("limit", [64, 1024, 5000])
def test_a_command_alone_has_the_limits_bytes(limit: int) -> None:
    session = House(limit=limit).session()
    just, over = b"PUT k ".ljust(limit, b"x"), b"PUT k ".ljust(limit + 1, b"y")
    assert told(session, just)["value"] == "x" * (limit - 6)
    refusal = json.loads(say(session, over)[0])
    assert refusal["result"] == {
        "code": "LIMIT_EXCEEDED",
        "retryable": False,
        "limit": limit,
        "actual": limit + 1,
        "setting": "--max-transaction-bytes",
    }
    assert "--max-transaction-bytes" in refusal["message"]
    assert told(session, b"GET k")["value"] == "x" * (limit - 6)


@pytest.mark.parametrize("over", [0, 1])
def test_a_transactions_commands_sum_up_from_start_to_commit(over: int) -> None:
    session = House().session()
    filler = 1024 - len(b"START") - len(b"COMMIT") - len(b"PUT a 1") + over
    assert say(session, b"START", b"PUT a 1")[0] == STARTED
    assert told(session, b"PUT b ".ljust(filler, b"x"))["key"] == "b"
    if over:
        refusal = told(session, b"COMMIT")
        assert (refusal["code"], refusal["actual"]) == ("LIMIT_EXCEEDED", 1025)
        assert code(session, b"GET a") == "KEY_NOT_FOUND"
    else:
        assert say(session, b"COMMIT") == [COMMITTED]
        assert told(session, b"GET a")["value"] == "1"
    assert code(session, b"COMMIT") == "NO_TRANSACTION"


def test_reads_and_blanks_count_as_they_were_sent_and_the_next_transaction_begins_at_nothing() -> None:
    session = House(limit=32).session()
    for _ in range(3):
        assert say(session, b"START")[0] == STARTED
        assert [code(session, b"GET x    ") for _ in range(2)] == ["KEY_NOT_FOUND"] * 2
        assert say(session, b"COMMIT   ") == [COMMITTED]  # 5 + 9 + 9 + 9
    say(session, b"START", b"GET x    ", b"GET x    ")
    assert told(session, b"COMMIT    ")["actual"] == 33


def test_a_full_transaction_can_always_be_rolled_back() -> None:
    session = House(limit=32).session()
    say(session, b"START", b"PUT a ".ljust(27, b"x"))
    assert say(session, b"ROLLBACK", b"START") == [ROLLED_BACK, STARTED]


def test_an_overlong_rollback_still_ends_the_transaction() -> None:
    session = House().session()
    say(session, b"START")
    assert code(session, OverlongLine(b"ROLLBACK" + b" " * 1016, 4000)) == "LIMIT_EXCEEDED"
    assert code(session, b"COMMIT") == "NO_TRANSACTION"


# Time


def test_a_timed_out_transaction_is_told_so_once_and_is_doomed_then() -> None:
    house = House()
    session = house.session()
    say(session, b"START", b"PUT k v")
    begun_at = session.begun_at
    session.expire(5)
    assert (begun_at, session.begun_at) == (100.0, None)
    assert house.store.stats()["active_transactions"] == 0
    timeout = json.loads(say(session, b"PUT k w")[0])
    assert timeout["result"] == {
        "code": "TIMEOUT",
        "retryable": True,
        "limit_s": 5,
        "setting": "--transaction-timeout-s",
    }
    later = told(session, b"GET k")
    assert (later["code"], later["retryable"], later["cause"]["code"]) == ("TRANSACTION_DOOMED", True, "TIMEOUT")
    assert code(session, b"COMMIT") == "TRANSACTION_DOOMED"
    assert code(session, b"GET k") == "KEY_NOT_FOUND"


@pytest.mark.parametrize("end", [b"COMMIT", b"ROLLBACK"])
def test_ending_a_timed_out_transaction_is_told_and_ends_it(end: bytes) -> None:
    session = House().session()
    say(session, b"START")
    session.expire(5)
    assert code(session, end) == "TIMEOUT"
    assert code(session, b"COMMIT") == "NO_TRANSACTION"


def test_a_start_after_the_timeout_was_told_begins_anew() -> None:
    session = House().session()
    say(session, b"START", b"PUT old 1")
    session.expire(5)
    assert code(session, b"START") == "TIMEOUT"
    assert say(session, b"START", b"PUT new 1", b"COMMIT")[-1] == COMMITTED
    assert code(session, b"GET old") == "KEY_NOT_FOUND"


def test_a_doomed_transaction_does_not_time_out() -> None:
    session = House().session()
    say(session, b"START", b"FROB")
    assert session.begun_at is None
    session.expire(5)
    assert told(session, b"COMMIT")["cause"]["code"] == "UNKNOWN_COMMAND"


def test_expiring_without_a_transaction_is_nothing() -> None:
    session = House().session()
    session.expire(5)
    assert say(session, b"START") == [STARTED]


def test_closing_rolls_back_whatever_is_open() -> None:
    house = House()
    plain, doomed, expired, never = (house.session() for _ in range(4))
    say(plain, b"START", b"PUT k v")
    say(doomed, b"START", b"FROB")
    say(expired, b"START")
    expired.expire(5)
    for session in (plain, doomed, expired, never):
        session.close()
        session.close()
    assert house.store.stats()["active_transactions"] == 0
    assert house.store.get(b"k") is None


# The other commands


def test_ping_help_and_stats() -> None:
    house = House()
    session = house.session()
    assert say(session, b"PING") == [b'{"status": "Ok", "result": "PONG"}']
    assert told(session, b"HELP") == USAGE
    assert told(session, b"STATS") == house.store.stats()


def test_quit_rolls_back_says_bye_and_wants_to_close() -> None:
    house = House()
    session = house.session()
    say(session, b"START", b"PUT k v")
    assert say(session, b"QUIT") == [b'{"status": "Ok", "result": "Bye"}']
    assert session.wants_to_close
    assert house.store.stats()["active_transactions"] == 0


def test_quit_works_in_a_doomed_transaction_too() -> None:
    session = House().session()
    say(session, b"START", b"FROB")
    assert say(session, b"QUIT") == [b'{"status": "Ok", "result": "Bye"}']
    assert session.wants_to_close


def test_a_checkpoint_is_answered_later() -> None:
    house = House()
    session = house.session()
    assert session.execute(b"CHECKPOINT") is None
    assert house.later == []
    house.checkpoints[0](7)
    assert house.later == [b'{"status": "Ok", "result": {"checkpoint_ts": 7}}\n']


def test_scan_pages_through_what_the_transaction_sees() -> None:
    house = House()
    session = house.session()
    say(session, *(b"PUT k%d %d" % (n, n) for n in range(5)), b"START", b"DEL k1", b"PUT k9 9")
    say(house.session(), b"PUT k2 changed")
    page = told(session, b'SCAN {"prefix": "k", "limit": 3}')
    assert [(item["key"], item["value"]) for item in page["items"]] == [("k0", "0"), ("k2", "2"), ("k3", "3")]
    page = told(session, b'SCAN {"start": "%b"}' % page["next"].encode())
    assert [item["key"] for item in page["items"]] == ["k4", "k9"]
    assert page["next"] is None
    backwards = told(session, b'SCAN {"reverse": true, "limit": 2, "keys_only": true, "end": "k9"}')
    assert backwards == {"items": [{"key": "k4"}, {"key": "k3"}], "next": "k3"}


def test_a_scans_reply_is_bounded_and_says_where_to_go_on() -> None:
    house = House(limit=1 << 20)
    session = house.session()
    for n in range(30):
        house.store.put(b"k%02d" % n, b'"' + b"x" * 100_000 + b'"')
    keys: list[str] = []
    start, pages = "", 0
    while True:
        reply = say(session, b'SCAN {"start": "%b"}' % start.encode())[0]
        assert len(reply) < 1_300_000
        page = json.loads(reply)["result"]
        keys += [item["key"] for item in page["items"]]
        pages += 1
        if page["next"] is None:
            break
        start = page["next"]
    assert keys == [f"k{n:02d}" for n in range(30)]
    assert pages == 3


# Logins


def test_nothing_is_done_before_the_login() -> None:
    house = House(password="opén")
    session = house.session()
    for command in (b"PUT k v", b"GET k", b"START", b"COMMIT", b"STATS", b"SCAN", b"CHECKPOINT", b"DEL k"):
        assert code(session, command) == "AUTH_REQUIRED"
    assert house.checkpoints == []
    assert house.store.stats()["commit_ts"] == 0
    assert say(session, b"PING") == [b'{"status": "Ok", "result": "PONG"}']
    assert told(session, b"HELP") == USAGE
    for wrong in (b"AUTH x", b"AUTH open", "AUTH opén ".encode(), b'AUTH {"password": ""}'):
        assert code(session, wrong) == "AUTH_REQUIRED"
    assert say(session, 'AUTH {"password": "opén"}'.encode()) == [b'{"status": "Ok", "result": "Authenticated"}']
    assert told(session, b"PUT k v") == {"key": "k", "value": "v"}
    assert code(house.session(), b"GET k") == "AUTH_REQUIRED", "a login is one connection's"


def test_quit_needs_no_login() -> None:
    session = House(password="p").session()
    say(session, b"QUIT")
    assert session.wants_to_close


# HTTP that the quick look at the bytes did not see


@pytest.mark.parametrize("password", [None, "p"])
@pytest.mark.parametrize(
    "before", [(), (b"START",), (b"START", b"FROB")], ids=["outside", "in a transaction", "in a doomed one"]
)
@pytest.mark.parametrize(
    "line", [b"Host: x", b" hOsT : \xff", OverlongLine(b"host:" + b"x" * 1019, 5000)], ids=["plain", "odd", "overlong"]
)
def test_a_host_header_closes_without_a_reply(before: tuple[bytes, ...], line: Line, password: str | None) -> None:
    session = House(password=password).session()
    say(session, *before)
    assert session.execute(line) == b""
    assert session.speaks_http and session.wants_to_close


def test_a_host_header_closes_a_timed_out_transaction_too() -> None:
    session = House().session()
    say(session, b"START")
    session.expire(1)
    assert session.execute(b"Host: x") == b""
    assert session.speaks_http


def test_what_became_of_a_commit_can_be_asked_later() -> None:
    house = House()
    first, second = house.session(), house.session()
    say(first, b"START", b"PUT a 1")
    assert told(first, b'COMMIT {"id": "x"}') == {"commit_ts": 1}
    assert told(second, b'COMMIT {"id": "x"}') == {"commit_ts": 1}
    assert told(second, b'COMMIT {"id": "x", "after": 0}') == {"commit_ts": 1}
    assert code(second, b'COMMIT {"id": "y", "after": 1}') == "NO_TRANSACTION"
    say(first, b"START", b"PUT a 2")
    assert code(first, b'COMMIT {"id": "y"}') == "NO_TRANSACTION"
    assert told(second, b"GET a") == {"key": "a", "value": "1"}


def test_an_outcome_that_is_forgotten_is_not_denied() -> None:
    house = House()
    house.store.restore(42, [], {"": 42})
    refusal = told(house.session(), b'COMMIT {"id": "x", "after": 41}')
    assert refusal == {"code": "UNAVAILABLE", "retryable": False, "forgotten_ts": 42}


def test_an_id_that_is_used_for_another_request_applies_nothing_and_the_reply_repeats_the_request() -> None:
    """As documented: what was asked for under an id is not kept, so nobody can tell that this is something else."""
    house = House()
    session = house.session()
    assert told(session, b'PUT {"key": "p", "value": 1, "id": "P1"}') == {"key": "p", "value": 1}
    assert told(session, b'PUT {"key": "p", "value": 2, "id": "P1"}') == {"key": "p", "value": 2}
    assert told(session, b'DEL {"key": "q", "id": "P1"}') == {"key": "q"}
    assert told(session, b"GET p") == {"key": "p", "value": 1}
    assert told(session, b'COMMIT {"id": "P1"}') == {"commit_ts": 1}
    assert house.store.commit_ts == 1


def test_what_wrote_nothing_is_not_remembered_by_its_id() -> None:
    session = House().session()
    say(session, b"PUT a 1", b"START", b"GET a")
    assert told(session, b'COMMIT {"id": "r"}') == {"commit_ts": 1}
    assert code(session, b'COMMIT {"id": "r", "after": 1}') == "NO_TRANSACTION"
    assert code(session, b'DEL {"key": "missing", "id": "d"}') == "KEY_NOT_FOUND"
    assert code(session, b'COMMIT {"id": "d", "after": 1}') == "NO_TRANSACTION"


# Adding


def test_add_answers_with_the_sum_outside_and_with_the_addend_inside() -> None:
    session = House().session()
    assert say(
        session,
        b'ADD {"key": "hits", "by": 5}',
        b"START",
        b'ADD {"key": "hits"}',
        b'ADD {"key": "hits", "by": 1.50}',
        b"COMMIT",
        b"GET hits",
    )[0::2] == [
        b'{"status": "Ok", "result": {"key": "hits", "value": 5}}',
        b'{"status": "Ok", "result": {"key": "hits", "by": 1}}',
        COMMITTED,
    ]
    assert told(session, b"GET hits") == {"key": "hits", "value": 7.5}


@pytest.mark.parametrize(
    "add",
    [
        b"ADD hits 1",
        b'ADD {"key": "hits", "by": "1"}',
        b'ADD {"key": "text"}',
        b'ADD {"key": "hits", "by": 1e999}',
        b'ADD {"key": "hits", "id": "x"}',
    ],
)
def test_an_add_that_is_refused_dooms_its_transaction(add: bytes) -> None:
    session = House().session()
    say(session, b"PUT text x", b"START", b"PUT before 1")
    assert code(session, add) == "BAD_REQUEST"
    assert told(session, b"COMMIT")["cause"]["code"] == "BAD_REQUEST"
    assert code(session, b"GET before") == "KEY_NOT_FOUND"


def test_an_add_with_an_id_is_applied_once() -> None:
    house = House()
    first, second = house.session(), house.session()
    assert told(first, b'ADD {"key": "n", "by": 2, "id": "x"}')["value"] == 2
    say(second, b'ADD {"key": "n", "by": 10}')
    assert told(second, b'ADD {"key": "n", "by": 2, "id": "x"}')["value"] == 12
    assert told(second, b'COMMIT {"id": "x", "after": 0}') == {"commit_ts": 1}


def test_an_add_in_a_read_only_transaction_is_refused() -> None:
    session = House().session()
    say(session, b'START {"read_only": true}')
    assert code(session, b'ADD {"key": "n"}') == "READ_ONLY"


# The past


def with_history(retain_bytes: int = 1 << 20) -> House:
    house = House()
    house.store = VersionedStore(time_us=lambda: 1_000_000, history=CommitHistory(retain_bytes=retain_bytes))
    house.services = replace(house.services, store=house.store, stats=house.store.stats)
    return house


def test_history_tells_time_and_label_where_they_are_known() -> None:
    session = with_history().session()
    say(session, b'START {"label": "nightly"}', b'PUT {"key": "a", "value": 1.0}', b"COMMIT", b"DEL a")
    assert say(session, b"HISTORY a") == [
        b'{"status": "Ok", "result": {"key": "a", "versions": ['
        b'{"commit_ts": 2, "time": "1970-01-01T00:00:01.000000Z", "deleted": true}, '
        b'{"commit_ts": 1, "time": "1970-01-01T00:00:01.000000Z", "label": "nightly", "value": 1.0}], '
        b'"next": null, "oldest_ts": 0}}'
    ]


def test_history_without_retention_is_what_others_still_read() -> None:
    house = House()
    reader, writer = house.session(), house.session()
    say(writer, b"PUT a 1")
    say(reader, b"START")
    say(writer, b"PUT a 2", b"PUT a 3")
    assert told(writer, b"HISTORY a") == {
        "key": "a",
        "versions": [{"commit_ts": 3, "value": "3"}, {"commit_ts": 1, "value": "1"}],
        "next": None,
        "oldest_ts": 3,
    }


def test_a_history_of_large_values_is_cut_at_about_a_mebibyte() -> None:
    house = with_history(retain_bytes=1 << 30)
    for _ in range(5):
        house.store.put(b"big", b'"%b"' % (b"x" * 500_000))
    session = house.session()
    page = told(session, b"HISTORY big")
    assert [it["commit_ts"] for it in page["versions"]] == [5, 4, 3]
    assert page["next"] == 3
    rest = told(session, b'HISTORY {"key": "big", "before": 3}')
    assert ([it["commit_ts"] for it in rest["versions"]], rest["next"]) == ([2, 1], None)


def test_a_snapshot_that_is_gone_is_told_at_each_read_and_dooms_nothing() -> None:
    house = with_history(retain_bytes=1500)
    session, writer = house.session(), house.session()
    say(writer, b"PUT a 1", b"PUT a 2")
    assert told(session, b'START {"at": 1}') == {"start_ts": 1}
    assert told(session, b"GET a")["value"] == "1"
    for _ in range(10):
        say(writer, b"PUT a 3")
    for read in (b"GET a", b"SCAN", b"HISTORY a"):
        gone = told(session, read)
        assert (gone["code"], gone["oldest_ts"]) == ("SNAPSHOT_GONE", house.store.oldest_ts)
    assert say(session, b"COMMIT") == [COMMITTED]
    assert code(session, b'START {"at": 1}') == "SNAPSHOT_GONE"
    assert code(session, b"COMMIT") == "NO_TRANSACTION"


# Who holds what


def test_open_transactions_are_listed_with_whose_they_are() -> None:
    house = House()
    one = Session(house.services, house.later.append, client="10.0.0.1:5000")
    say(one, b'START {"label": "nightly", "isolation": "serializable"}', b"PUT a 1", b'ADD {"key": "b"}')
    (listed,) = told(house.session(), b"TRANSACTIONS")["transactions"]
    assert listed.pop("read_set_bytes") == 0
    assert listed == {
        "transaction": 1,
        "age_s": 0.0,
        "start_ts": 0,
        "isolation": "serializable",
        "read_only": False,
        "label": "nightly",
        "client": "10.0.0.1:5000",
        "keys_written": 2,
        "pinned_bytes": 0,
    }


def test_the_list_of_open_transactions_is_bounded() -> None:
    house = House()
    opened = [house.store.begin() for _ in range(replies.TRANSACTIONS_MAX + 5)]
    session = house.session()
    listed = told(session, b"TRANSACTIONS")
    assert listed["total"] == len(opened) == len(listed["transactions"]) + 5
    assert listed["transactions"][0]["transaction"] == opened[0].id
    assert session.effort == len(opened), "and counts against the turn"
    for transaction in opened:
        transaction.rollback()


def test_a_killed_transaction_is_told_so_once_and_is_doomed_then() -> None:
    house = House()
    session, other = house.session(), house.session()
    say(session, b"START", b"PUT k v")
    assert told(other, b'KILL {"transaction": 1}') == {"transaction": 1}
    assert (session.begun_at, session.start_ts) == (None, None)
    assert house.store.stats()["active_transactions"] == 0
    first, second = told(session, b"PUT k w"), told(session, b"GET k")
    assert first["code"] == second["code"] == "TRANSACTION_DOOMED"
    assert first["cause"]["code"] == second["cause"]["code"] == "KILLED"
    assert not first["retryable"]
    assert code(session, b"COMMIT") == "TRANSACTION_DOOMED"
    assert code(session, b"GET k") == "KEY_NOT_FOUND"


def test_a_killed_transaction_does_not_time_out_before_it_was_told() -> None:
    house = House()
    session = house.session()
    say(session, b"START")
    house.store.kill(1)
    session.expire(5)
    assert told(session, b"PING")["cause"]["code"] == "KILLED"


def test_killing_what_is_not_open_is_refused() -> None:
    session = House().session()
    say(session, b"START", b"COMMIT")
    refused = json.loads(say(session, b'KILL {"transaction": 1}')[0])
    assert (refused["result"]["code"], refused["result"]["transaction"]) == ("BAD_REQUEST", 1)
    assert "TRANSACTIONS" in refused["message"]


def test_one_may_kill_ones_own_transaction() -> None:
    session = House().session()
    say(session, b"START")
    assert told(session, b'KILL {"transaction": 1}') == {"transaction": 1}
    assert told(session, b"COMMIT")["cause"]["code"] == "KILLED"
    assert code(session, b"COMMIT") == "NO_TRANSACTION"


def test_who_pins_too_much_is_told_that_its_snapshot_is_gone() -> None:
    house = House()
    house.store = VersionedStore(pinned_bytes_max=2000)
    house.services = replace(house.services, store=house.store)
    reader, writer = house.session(), house.session()
    for n in range(20):
        say(writer, b"PUT k%d x" % n)
    say(reader, b"START", b"PUT a 1")
    for n in range(20):
        say(writer, b"PUT k%d y" % n)
    gone = told(reader, b"GET k1")
    assert (gone["code"], gone["retryable"]) == ("SNAPSHOT_GONE", True)
    later = told(reader, b"COMMIT")
    assert (later["code"], later["retryable"], later["cause"]["code"]) == ("TRANSACTION_DOOMED", True, "SNAPSHOT_GONE")
    assert told(writer, b"PUT z 1")["value"] == "1"


# Early notice


@pytest.mark.parametrize(
    "command",
    [b"GET a", b"PUT b 1", b"DEL a", b"SCAN", b'ADD {"key": "n"}', b"HISTORY a", b"PING", b"PUT a 3"],
)
def test_a_command_that_succeeds_in_a_lost_transaction_says_so(command: bytes) -> None:
    house = House()
    session = house.session()
    say(session, b"PUT a 1", b"START", b"PUT a 2")
    say(house.session(), b"PUT a 9")
    reply = json.loads(say(session, command)[0])
    assert reply["status"] == "Ok"
    assert reply["message"] == "this transaction has lost key 'a' to commit 2 already; ROLLBACK and run it again"
    assert code(session, b"COMMIT") == "CONFLICT"
    assert b"message" not in say(session, b"GET a")[0]


def test_nothing_is_added_to_the_replies_of_a_transaction_that_can_still_commit() -> None:
    house = House()
    session = house.session()
    say(session, b"START", b"PUT a 2")
    say(house.session(), b"PUT b 9")
    assert say(session, b"PING", b"GET a", b"ROLLBACK", b"PUT a 3") == [
        b'{"status": "Ok", "result": "PONG"}',
        b'{"status": "Ok", "result": {"key": "a", "value": "2"}}',
        ROLLED_BACK,
        b'{"status": "Ok", "result": {"key": "a", "value": "3"}}',
    ]


def test_a_read_without_a_trace_is_nothing_to_lose() -> None:
    house = House()
    session = house.session()
    say(session, b'START {"isolation": "serializable"}', b'GET {"key": "a", "snapshot": true}', b"PUT out 1")
    say(session, b'SCAN {"snapshot": true}', b'HISTORY {"key": "a", "snapshot": true}')
    say(house.session(), b"PUT a 1")
    assert say(session, b"COMMIT") == [COMMITTED]


def test_a_read_set_that_grows_too_large_dooms_its_transaction() -> None:
    house = House()
    house.store = VersionedStore(read_set_bytes_max=1000)
    house.services = replace(house.services, store=house.store)
    session = house.session()
    say(session, b'START {"isolation": "serializable"}', b"PUT out 1")
    codes = [code(session, b"GET k%d" % n) for n in range(12)]
    refused = codes.index("LIMIT_EXCEEDED")
    assert codes == ["KEY_NOT_FOUND"] * refused + ["LIMIT_EXCEEDED"] + ["TRANSACTION_DOOMED"] * (11 - refused)
    assert code(session, b"COMMIT") == "TRANSACTION_DOOMED"
