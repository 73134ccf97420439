"""A log that fails: nobody waits for what will never be visible, nobody goes on seeing it, nobody loses more."""

from __future__ import annotations

import json

import pytest

from mvcc_kv.errors import UnavailableError
from mvcc_kv.server.checkpoints import CheckpointJob

from .breaking_log import BreakingLog, logged
from .running import Client, Running, running, until


def failing(run: Running, log: BreakingLog) -> None:
    """Let the write fail that is under way."""
    log.is_broken = True
    log.may_write.set()
    until(lambda: run.server.stats()["log_failure"] is not None)


def seer(run: Running, log: BreakingLog) -> Client:
    """A client that has seen a commit that is on its way to the disk; the others don't see it yet."""
    client = run.connect()
    client.ask(b"PUT a 1")
    log.may_write.clear()
    client.ask(b"START")
    client.ask(b"PUT a 2")
    assert client.asked(b'COMMIT {"durability": "none"}') == {"commit_ts": run.store.commit_ts}
    assert client.asked(b"GET a")["value"] == "2"
    return client


@pytest.mark.parametrize("command", [b"START {}", b"BACKUP", b"GET a", b"SCAN", b"PING"])
def test_who_saw_a_commit_that_was_lost_is_answered_as_everybody_else_is(command: bytes) -> None:
    """Only connections with held replies were told of the failure: this one waited for commit 2 for ever after."""
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        client = seer(run, log)
        failing(run, log)
        other = run.connect()
        assert client.ask(command) == other.ask(command)


def test_a_transaction_on_what_was_lost_is_over_with_its_next_reply() -> None:
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        client = seer(run, log)
        assert client.asked(b"START {}") == {"start_ts": 2}
        failing(run, log)
        assert client.asked(b"COMMIT")["code"] == "UNAVAILABLE"
        for _ in range(2):
            assert client.asked(b"START {}") == {"start_ts": 1}
            assert client.asked(b"GET a")["value"] == "1"
            assert client.asked(b"COMMIT {}") == {"commit_ts": 1}


def test_a_transaction_on_what_is_visible_stays() -> None:
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        reader = run.connect()
        reader.ask(b"PUT b 1")
        assert reader.asked(b"START {}") == {"start_ts": 1}
        seer(run, log)
        failing(run, log)
        assert reader.asked(b"GET b")["value"] == "1"
        assert reader.asked(b"COMMIT {}") == {"commit_ts": 1}


@pytest.mark.parametrize("batch", [[b"START"], [b"START", b"FROB"], [b"START", b"PUT b 1"]])
def test_a_start_among_refused_replies_leaves_a_transaction_that_says_so_once(batch: list[bytes]) -> None:
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        client = run.connect()
        client.ask(b"PUT a 1")
        log.may_write.clear()
        client.send(b"\n".join([b"PUT a 2", *batch, b""]))
        until(lambda: run.store.commit_ts == 2 and run.peers[0].connection.session.opened is not None)
        failing(run, log)
        said = [client.result()["code"] for _ in range(1 + len(batch))]
        assert said == ["UNAVAILABLE"] * len(said)
        assert client.asked(b"START")["code"] == "UNAVAILABLE"
        assert client.asked(b"START {}") == {"start_ts": 1}
        assert client.asked(b"GET a")["value"] == "1"


def test_a_backup_of_what_was_lost_is_one_error_and_no_more() -> None:
    """Every line that was held became an error, and the second one the reply to the next command."""
    log = BreakingLog()
    store = logged(log)
    with running(store, log=log) as run:
        client = seer(run, log)
        run.connect().send(b"".join(b"PUT k%04d 1\n" % number for number in range(2000)))
        until(lambda: store.commit_ts == 2002)
        client.send(b"PUT z 1\nBACKUP\n")
        until(lambda: run.store.stats()["active_transactions"] == 1)
        failing(run, log)
        assert [client.result()["code"] for _ in range(2)] == ["UNAVAILABLE"] * 2
        assert client.asked(b"PING") == "PONG"
        assert run.store.stats()["active_transactions"] == 0


def test_a_write_sent_again_is_answered_after_the_failure_too() -> None:
    """It waited for the newest commit, which was lost, though its own was on disk long before."""
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        client = run.connect()
        put = b'PUT {"key": "p", "value": 1, "id": "P1"}'
        first = client.ask(put)
        seer(run, log)
        failing(run, log)
        assert client.ask(put) == first


def test_a_server_whose_log_failed_stops_without_a_grace() -> None:
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        client = seer(run, log)
        client.send(b"START\nCOMMIT\n")
        assert client.result() == "Transaction started"
        until(lambda: run.peers[0].connection.is_held)
        failing(run, log)
        assert client.result()["code"] == "UNAVAILABLE"
        client.send(b"START\nCOMMIT\n")
        assert [client.result(), client.result()] == ["Transaction started", "Transaction commited"]
        run.stop()  # on a clock that stands still


def test_replies_keep_their_order_when_a_checkpoint_writes_what_stands_before_it() -> None:
    """With --fsync interval CHECKPOINT writes the commits before it at once: their replies were left behind."""

    def no_checkpoint() -> CheckpointJob:
        raise UnavailableError("no room", retryable=True)

    log = BreakingLog()
    with running(logged(log), log=log, fsync="interval", begin_checkpoint=no_checkpoint) as run:
        client = run.connect()
        client.send(b"PUT a 1\nCHECKPOINT\nPING\n")
        said = [json.loads(client.reply())["result"] for _ in range(3)]
        assert said[0] == {"key": "a", "value": "1"}
        assert said[1]["code"] == "UNAVAILABLE" and said[2] == "PONG"


def test_of_a_pipeline_in_a_round_each_reply_that_waited_is_refused() -> None:
    """They waited as one, and became one error: from then on each reply stood where another's belongs."""
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        client = run.connect()
        client.send(_packed(b"PING") + _packed(b"SET", b"k", b"0"))
        assert _lines(client, 2) == [b"+PONG", b"+OK"]
        log.may_write.clear()
        several = [(b"SET", b"k", b"1"), (b"INCR", b"k"), (b"GET", b"k"), (b"MULTI",), (b"SET", b"k", b"2"), (b"EXEC",)]
        client.send(b"".join(_packed(*arguments) for arguments in [(b"GET", b"k"), *several, (b"PING",)]))
        until(lambda: run.store.commit_ts == 4)
        failing(run, log)
        assert _lines(client, 2) == [b"$1", b"0"], "it waited for nothing"
        refused = _lines(client, len(several) + 1)
        assert [line[:12] for line in refused] == [b"-UNAVAILABLE"] * len(refused)
        client.send(_packed(b"GET", b"k") + _packed(b"PING"))
        assert _lines(client, 3) == [b"$1", b"0", b"+PONG"]


def _packed(*arguments: bytes) -> bytes:
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(it), it) for it in arguments)


def _lines(client: Client, count: int) -> list[bytes]:
    return [client.reply().rstrip() for _ in range(count)]
