"""MULTI, EXEC, WATCH as in Redis, and START, COMMIT, ROLLBACK as nowhere else."""

from __future__ import annotations

from tests.server.redis.clients import Place


def test_queued_commands_run_at_exec_in_one_commit() -> None:
    place = Place()
    client = place.client()
    assert [client("MULTI"), client("SET", "a", 1), client("INCR", "a")] == [b"OK", b"QUEUED", b"QUEUED"]
    assert place.store.commit_ts == 0
    assert client("EXEC") == [b"OK", 2]
    assert place.store.commit_ts == 1


def test_a_watched_key_that_changed_loses_the_exec() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("WATCH", "a")
    other("SET", "a", 1)
    client("MULTI")
    client("SET", "b", 1)
    assert client("EXEC") is None
    assert client("GET", "b") is None


def test_a_command_that_cannot_be_discards_the_batch() -> None:
    client = Place().client()
    client("MULTI")
    assert client.fails("NOSUCH", "x") == "ERR unknown command 'NOSUCH', with args beginning with: 'x' "
    assert client.fails("EXEC") == "EXECABORT Transaction discarded because of previous errors."


def test_between_start_and_commit_one_snapshot_is_read() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("SET", "a", 1)
    assert client("START") == 1
    other("SET", "a", 2)
    assert client("GET", "a") == b"1"
    assert client("ROLLBACK") == b"OK"
    assert client("GET", "a") == b"2"


def test_a_lost_key_is_told_by_commit_and_by_conflict_last() -> None:
    place = Place()
    client, other = place.client(), place.client()
    client("START")
    client("SET", "a", 1)
    other("SET", "a", 2)
    assert client.fails("COMMIT").startswith("CONFLICT key 'a' was committed at 1")
    assert client("CONFLICT", "LAST") == [b"keys", [b"a"], b"start_ts", 0, b"winners", [b"a", [b"commit_ts", 1]]]


def test_an_error_reply_dooms_the_transaction_that_start_began() -> None:
    client = Place().client()
    client("START")
    client("SET", "a", "x")
    assert client.fails("INCR", "a") == "ERR value is not an integer or out of range"
    assert client.fails("SET", "a", "y").startswith("TRANSACTION_DOOMED")
    assert client.fails("COMMIT").startswith("TRANSACTION_DOOMED")
    assert client("GET", "a") is None


def test_reset_and_quit_work_in_a_doomed_transaction_too() -> None:
    client = Place().client()
    for word in ("RESET", "QUIT"):
        client("HELLO", 3)
        client("START")
        client.fails("NOPE")
        assert client(word) == (b"RESET" if word == "RESET" else b"OK")
        assert client.session.opened is None
        assert client.session.proto == (2 if word == "RESET" else 3)
    assert client.session.wants_to_close


def test_reset_works_in_a_transaction_that_the_server_ended() -> None:
    client = Place().client()
    client("START")
    client.session.expire(1.0)
    assert client("RESET") == b"RESET"
    assert client("SET", "a", 1) == b"OK"


def test_nobody_begins_to_listen_inside_a_transaction() -> None:
    for word in ("SUBSCRIBE", "PSUBSCRIBE"):
        client = Place().client()
        client("START")
        assert "inside a transaction that START began" in client.fails(word, "c")
        assert client.session.subscriptions is None
        assert client.fails("COMMIT").startswith("TRANSACTION_DOOMED")
        assert client(word, "c")[0] == word.lower().encode()


def test_a_listener_who_turns_to_resp2_inside_a_transaction_can_still_end_it() -> None:
    client = Place().client()
    client("HELLO", 3)
    client.raw("SUBSCRIBE", "c")
    client("START")
    client("SET", "a", 1)
    client("HELLO", 2)
    assert client("COMMIT") == 1
    assert "only (P|S)SUBSCRIBE" in client.fails("GET", "a")
    assert client("UNSUBSCRIBE") == [b"unsubscribe", b"c", 0]
    assert client("GET", "a") == b"1"
