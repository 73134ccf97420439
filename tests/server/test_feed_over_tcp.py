"""CHANGES on real sockets: who is woken when, what time does to a feed, and what one costs that nobody reads."""

from __future__ import annotations

from typing import Any

import pytest

from mvcc_kv.engine import VersionedStore

from .breaking_log import BreakingLog, logged
from .running import Client, Clock, Running, running, until


def following(run: Running, command: bytes = b"CHANGES", **options: Any) -> Client:
    """A client whose feed has begun."""
    client = run.connect(**options)
    assert "ts" in client.asked(command)
    return client


def told(client: Client, commit_ts: int) -> list[int]:
    """The commits that come up to that one."""
    seen = [0]
    while seen[-1] < commit_ts:
        seen.append(client.result()["commit_ts"])
    return seen[1:]


def test_everybody_who_follows_is_told_of_every_commit() -> None:
    with running() as run:
        feeds = [following(run) for _ in range(20)]
        writer = run.connect()
        assert writer.asked(b"STATS")["feeds"] == 20
        for n in range(300):
            writer.ask(b"PUT k%d %d" % (n % 7, n))
        for feed in feeds:
            assert told(feed, 300) == list(range(1, 301))
        assert run.is_at_rest()


def test_a_commit_is_told_when_it_is_durable_and_not_before() -> None:
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        feed, writer, other = following(run), run.connect(), run.connect()
        log.may_write.clear()
        writer.send(b"PUT a 1\n")
        until(lambda: run.store.commit_ts == 1)
        assert other.asked(b"PING") == "PONG" and not feed.has_answer()
        assert run.is_at_rest()
        log.may_write.set()
        assert told(feed, 1) == [1]
        assert writer.result()["key"] == "a"


def test_when_the_log_fails_feeds_live_on_at_what_is_durable() -> None:
    log = BreakingLog()
    with running(logged(log), log=log) as run:
        feed, writer = following(run), run.connect()
        writer.ask(b"PUT a 1")
        log.is_broken = True
        assert writer.asked(b"PUT a 2")["code"] == "UNAVAILABLE"
        assert told(feed, 1) == [1]
        run.advance(5)
        assert feed.result() == {"ts": 1}


def stuck(run: Running) -> Client:
    """A client that has begun a feed and doesn't read it, with more to say to it than there is room for."""
    client = following(run, receive_bytes=4096)
    connection = run.peers[-1].connection
    with run.held():
        for _ in range(15):  # that is less than what is kept, and more than what sockets take
            run.store.put(b"k", b'"' + b"x" * (1 << 20) + b'"')
    until(lambda: connection.output_bytes >= run.server._settings.output_high_bytes)
    return client


# Time


def test_a_silent_feed_says_where_it_is() -> None:
    with running() as run:
        feed, writer = following(run), run.connect()
        run.advance(4.9)
        assert not feed.has_answer()
        run.advance(0.1)
        assert feed.result() == {"ts": 0}
        run.advance(3)
        writer.ask(b"PUT a 1")
        assert told(feed, 1) == [1]
        run.advance(4.9)
        assert not feed.has_answer()
        run.advance(0.1)
        assert feed.result() == {"ts": 1}
        assert run.is_at_rest()


def test_a_feed_whose_prefix_nobody_touches_says_how_far_it_has_looked() -> None:
    with running(feed_heartbeat_s=1) as run:
        feed, writer = following(run, b'CHANGES {"prefix": "x"}'), run.connect()
        for n in range(1, 4):
            writer.ask(b"PUT a 1")
            run.advance(1)
            assert feed.result() == {"ts": n}


def test_without_heartbeats_a_silent_feed_is_silent() -> None:
    with running(feed_heartbeat_s=0) as run:
        feed = following(run)
        run.advance(100_000)
        assert not feed.has_answer()


def test_a_feed_that_ended_has_no_heartbeat() -> None:
    with running() as run:
        feed = following(run)
        assert feed.asked(b"PING") == "PONG"
        run.advance(100)
        assert not feed.has_answer()
        assert feed.asked(b"STATS")["feeds"] == 0


@pytest.mark.parametrize("heartbeat_s", [0.0, 5.0])
def test_who_has_taken_everything_is_not_idle(heartbeat_s: float) -> None:
    with running(idle_timeout_s=3, feed_heartbeat_s=heartbeat_s) as run:
        feed, idler = following(run), run.connect()
        for _ in range(5):
            run.advance(2)
        assert idler.is_closed_by_server()
        assert len(run.peers) == 1
        run.connect().ask(b"PUT a 1")
        while (line := feed.result()) == {"ts": 0}:
            pass
        assert line["commit_ts"] == 1


def test_who_leaves_lines_unread_for_so_long_is_idle(logs: pytest.LogCaptureFixture) -> None:
    with running(idle_timeout_s=3, feed_heartbeat_s=1) as run:
        stuck(run)
        for _ in range(5):
            run.advance(1)
        until(lambda: not run.peers)
    assert "closed: idle" in logs.text


# Its end


def test_a_client_that_closes_is_noticed_though_nothing_happens() -> None:
    with running(feed_heartbeat_s=0) as run:
        following(run).close()
        until(lambda: not run.peers)
        following(run).reset()
        until(lambda: not run.peers)
        assert run.server.stats()["feeds"] == 0


def test_a_client_that_vanishes_with_much_unread_is_noticed() -> None:
    with running(feed_heartbeat_s=0) as run:
        stuck(run).reset()
        until(lambda: not run.peers)


def test_a_command_without_a_newline_ends_it_after_its_silence() -> None:
    with running(clock=Clock(ticks=True)) as run:
        client = run.connect()
        client.send(b"CHANGES")
        assert client.result() == {"ts": 0}
        client.send(b"PING")
        assert client.result() == "PONG"


def test_a_stop_tells_what_there_is_and_closes() -> None:
    with running() as run:
        feed, writer = following(run), run.connect()
        with run.held():
            writer.send(b"PUT a 1\nPUT a 2\n")
            run.server.stop()
        assert run.stopped()
        assert feed.rest().count(b"commit_ts") == 2


def test_a_stop_waits_for_nobody_who_does_not_read() -> None:
    with running(stop_grace_s=5) as run:
        stuck(run)
        run.server.stop()
        until(lambda: run.has_ended_by(after_s=1))
        assert run.stopped()


# A consumer that is stuck

LINE_BYTES = 10_000
BUFFER_BYTES = 200_000
HIGH_BYTES = 100_000


def write(run: Running, count: int) -> None:
    """That many commits, by somebody who waits for nothing but their replies."""
    writer = run.connect()
    value = b'"' + b"x" * LINE_BYTES + b'"'
    for n in range(count):
        assert writer.asked(b'PUT {"key": "k%d", "value": %b}' % (n % 10, value))
    writer.close()
    until(lambda: len(run.peers) <= 1)


def test_a_stuck_consumer_costs_a_bounded_amount_and_holds_nobody_up() -> None:
    """Writers write many times what is kept; the consumer comes back, hears what was said to it, that some is lost,
    and goes on from there.
    """
    chosen: dict[str, Any] = {"changes_buffer_bytes": BUFFER_BYTES, "output_high_bytes": HIGH_BYTES}
    with running(VersionedStore(), max_transaction_bytes=1 << 20, feed_heartbeat_s=1, **chosen) as run:
        consumer = following(run, receive_bytes=4096)
        connection = run.peers[0].connection
        largest_bytes = largest_output_bytes = 0
        for _ in range(30):
            write(run, 50)
            run.advance(1)
            largest_bytes = max(largest_bytes, run.store.stats()["retained_bytes"])
            largest_output_bytes = max(largest_output_bytes, connection.output_bytes)
        written = run.store.commit_ts
        assert written * LINE_BYTES > 20 * (BUFFER_BYTES + HIGH_BYTES)
        assert largest_bytes <= BUFFER_BYTES + 2 * LINE_BYTES
        assert HIGH_BYTES < largest_output_bytes < HIGH_BYTES + 2 * LINE_BYTES
        seen: list[int] = []
        lost = []
        while (seen or [0])[-1] < written:
            line = consumer.result()
            if "ts" in line:  # said before the sockets were full
                assert line["ts"] == (seen or [0])[-1]
            elif "lost" in line:
                lost.append(line)
                seen += range(line["lost"][0], line["lost"][1] + 1)
            else:
                seen.append(line["commit_ts"])
        assert seen == list(range(1, written + 1)), "every commit was told, or told to be lost"
        assert len(lost) == 1 and lost[0]["resync_at"] == lost[0]["lost"][1]
        write(run, 5)
        assert [consumer.result()["commit_ts"] for _ in range(5)] == list(range(written + 1, written + 6))
        run.store.check()
