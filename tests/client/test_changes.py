"""A remote change feed against scripted servers: what goes over the wire, and what each kind of loss means."""

from __future__ import annotations

import gc

import pytest

from mvcc_kv.api import CommittedWrites
from mvcc_kv.client import RemoteStore
from mvcc_kv.client.changes import FeedTimeouts, RemoteChanges
from mvcc_kv.errors import BadRequestError, SnapshotGoneError, UnavailableError

from .scripted import Talk, greets, scripted
from .test_store import GARBAGE, Waiting, connect

AT_57 = b'{"status": "Ok", "result": {"ts": 57}}\n'
C58 = b'{"status": "Ok", "result": {"commit_ts": 58, "changes": [{"key": "a", "value": 1.0}]}}\n'
C59 = (
    b'{"status": "Ok", "result": {"commit_ts": 59, "time": "2026-11-23T09:22:37.123456Z", "label": "x", '
    b'"changes": [{"key": "b", "deleted": true}, {"key": "c", "value": null}]}}\n'
)
AT_70 = b'{"status": "Ok", "result": {"ts": 70}}\n'
LOST = b'{"status": "Ok", "result": {"lost": [58, 60], "resync_at": 60}}\n'
GONE = b'{"status": "Error", "result": {"code": "SNAPSHOT_GONE", "retryable": false, "oldest_ts": 80}, "message": ""}\n'
REFUSED = b'{"status": "Error", "result": {"code": "BAD_REQUEST", "retryable": false}, "message": "no"}\n'
FULL = b'{"status": "Error", "result": {"code": "UNAVAILABLE", "retryable": true}, "message": "no room"}\n'

COMMIT_58 = CommittedWrites(58, 0, None, ((b"a", b"1.0"),))
COMMIT_59 = CommittedWrites(59, 1_795_425_757_123_456, "x", ((b"b", None), (b"c", b"null")))
WAIT_S = 20.0


def coming(feed: RemoteChanges, *, look_s: float = WAIT_S) -> CommittedWrites:
    """The next commit, however many looks that takes."""
    for _ in range(1000):
        found = feed.next(look_s)
        if found is not None:
            return found
    raise AssertionError("it never came")


def begins(talk: Talk) -> None:
    talk.answers((b'CHANGES {"from":57}\n', AT_57))


def again(store: RemoteStore, again_s: float, waiting: Waiting) -> RemoteChanges:
    """A feed by a clock that stands still, but for its pauses."""
    timeouts = FeedTimeouts(again_s=again_s, silence_s=WAIT_S)
    return RemoteChanges(store._pool.dial, b"", 57, timeouts=timeouts, patience=waiting.patience(0))


def test_lines_become_commits_and_move_its_place() -> None:
    def tells(talk: Talk) -> None:
        talk.answers((b'CHANGES {"prefix":"u:"}\n', AT_57))
        talk.says(C58[:40])
        talk.says(C58[40:] + C59 + AT_70)
        talk.hears_the_end()

    with scripted(greets, tells) as server:
        store = connect(server)
        feed = store.changes(b"u:")
        assert feed.ts == 57
        assert (coming(feed), feed.ts) == (COMMIT_58, 58)
        assert (coming(feed), feed.ts) == (COMMIT_59, 59)
        while feed.ts != 70:
            assert feed.next(0.001) is None
        feed.close()
        feed.close()
        assert feed.next(0) is None
        store.close()
        server.finish()


@pytest.mark.parametrize(("reply", "expected"), [(GONE, SnapshotGoneError), (REFUSED, BadRequestError)])
def test_a_refusal_is_raised_at_once_and_leaves_no_connection(reply: bytes, expected: type[Exception]) -> None:
    def refuses(talk: Talk) -> None:
        talk.answers((b'CHANGES {"from":57}\n', reply))
        talk.hears_the_end()

    with scripted(greets, refuses) as server:
        store = connect(server)
        with pytest.raises(expected):
            store.changes(from_ts=57)
        store.close()
        server.finish()


def test_a_lost_connection_is_made_anew_where_it_was() -> None:
    def tells_and_dies(talk: Talk) -> None:
        begins(talk)
        talk.says(C58 + C59[:30])

    def goes_on(talk: Talk) -> None:
        talk.answers((b'CHANGES {"from":58}\n', b'{"status": "Ok", "result": {"ts": 58}}\n'))
        talk.says(C59)
        talk.hears_the_end()

    with scripted(greets, tells_and_dies, goes_on) as server:
        store = connect(server)
        feed = store.changes(from_ts=57)
        assert [coming(feed), coming(feed)] == [COMMIT_58, COMMIT_59]
        feed.close()
        store.close()
        server.finish()


def test_a_server_that_stays_away_is_tried_for_a_while() -> None:
    waiting = Waiting()

    with scripted(greets, begins) as server:
        store = connect(server)
        feed = again(store, 5.0, waiting)
        server.finish()
        with pytest.raises(UnavailableError, match="can't connect") as caught:
            coming(feed)
        assert caught.value.retryable
        assert sum(waiting.pauses) == pytest.approx(5.0)
        assert waiting.pauses[:3] == [0.01, 0.02, 0.04] and max(waiting.pauses) == 0.5
        feed.close()
        store.close()


def test_a_server_that_has_no_room_yet_is_tried_again() -> None:
    waiting = Waiting()

    def is_full(talk: Talk) -> None:
        talk.says(FULL)

    def goes_on(talk: Talk) -> None:
        begins(talk)
        talk.says(C58)
        talk.hears_the_end()

    with scripted(greets, begins, is_full, goes_on) as server:
        store = connect(server)
        feed = again(store, 5.0, waiting)
        assert coming(feed) == COMMIT_58
        assert waiting.pauses == [0.01]
        feed.close()
        store.close()
        server.finish()


def test_what_was_kept_no_more_when_it_came_back_is_told() -> None:
    def forgets(talk: Talk) -> None:
        talk.answers((b'CHANGES {"from":57}\n', GONE))
        talk.hears_the_end()

    with scripted(greets, begins, forgets) as server:
        store = connect(server)
        feed = store.changes(from_ts=57)
        with pytest.raises(SnapshotGoneError) as caught:
            coming(feed)
        assert (caught.value.evidence["oldest_ts"], feed.ts) == (80, 57)
        feed.close()
        store.close()
        server.finish()


def test_a_lost_line_is_told_and_the_place_stays() -> None:
    def loses(talk: Talk) -> None:
        begins(talk)
        talk.says(LOST)
        talk.hears_the_end()

    with scripted(greets, loses) as server:
        store = connect(server)
        feed = store.changes(from_ts=57)
        with pytest.raises(SnapshotGoneError) as caught:
            coming(feed)
        assert (caught.value.evidence["oldest_ts"], feed.ts) == (60, 57)
        feed.close()
        store.close()
        server.finish()


def test_a_connection_that_is_silent_for_too_long_counts_as_lost() -> None:
    waiting = Waiting()

    def is_silent(talk: Talk) -> None:
        begins(talk)
        talk.hears_the_end()

    def goes_on(talk: Talk) -> None:
        begins(talk)
        talk.says(C58)
        talk.hears_the_end()

    with scripted(greets, is_silent, goes_on) as server:
        store = connect(server)
        feed = again(store, 5.0, waiting)
        assert feed.next(0) is None
        waiting.now_s += WAIT_S + 1
        assert coming(feed, look_s=0.01) == COMMIT_58
        feed.close()
        store.close()
        server.finish()


@pytest.mark.parametrize("garbage", [GARBAGE, b'{"status": "Ok", "result": {}}\n', b'{"status": "Ok", "result": 7}\n'])
def test_a_server_that_talks_nonsense_is_not_asked_again(garbage: bytes) -> None:
    def talks_nonsense(talk: Talk) -> None:
        begins(talk)
        talk.says(garbage)
        talk.hears_the_end()

    with scripted(greets, talks_nonsense) as server:
        store = connect(server)
        with pytest.raises(UnavailableError, match="is that an mvcc-kv server") as caught:
            coming(store.changes(from_ts=57))
        assert not caught.value.retryable
        store.close()
        server.finish()


def test_one_that_is_forgotten_closes_its_connection() -> None:
    def is_forgotten(talk: Talk) -> None:
        begins(talk)
        talk.hears_the_end()

    with scripted(greets, is_forgotten) as server:
        store = connect(server)
        feed = store.changes(from_ts=57)
        del feed
        gc.collect()
        server.finish()
        store.close()


def test_a_closed_store_has_none() -> None:
    with scripted(greets) as server:
        store = connect(server)
        store.close()
        with pytest.raises(UnavailableError, match="closed"):
            store.changes()
