"""The remote store against scripted servers: what each kind of loss means, and what goes over the wire when."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import closing

import pytest

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.client import Patience, RemoteStore
from mvcc_kv.client.transaction import UNSENT_MAX_BYTES
from mvcc_kv.errors import (
    AuthRequiredError,
    BadRequestError,
    CommitUnknownError,
    ConflictError,
    LimitExceededError,
    NoTransactionError,
    ReadOnlyError,
    TransactionTimeoutError,
    UnavailableError,
)

from .scripted import COMMITTED, DONE, NO_STATS, STARTED, Script, ScriptedServer, Talk, greets, scripted

PUT_A = b'PUT {"key":"a","value":1}\n'  # in a transaction; by itself it carries an id
PUT_A_ONCE = b'PUT {"key":"a","value":1,"id":"id1"}\n'
DEL_A_ONCE = b'DEL {"key":"a","id":"id1"}\n'
COMMIT = b'COMMIT {"id":"id1"}\n'
WHAT_BECAME_OF_IT = b'COMMIT {"id":"id1","after":7}\n'
GET_A = b'GET {"key":"a"}\n'
DEL_A = b'DEL {"key":"a"}\n'
A_IS_1 = b'{"status": "Ok", "result": {"key": "a", "value": 1}}\n'
NOT_FOUND = (
    b'{"status": "Error", "result": {"code": "KEY_NOT_FOUND", "retryable": false}, "message": "Key not found"}\n'
)
TIMED_OUT = b'{"status": "Error", "result": {"code": "TIMEOUT", "retryable": true}, "message": "too long"}\n'
DOOMED = b'{"status": "Error", "result": {"code": "TRANSACTION_DOOMED", "retryable": false}, "message": "doomed"}\n'
LIMIT = b'{"status": "Error", "result": {"code": "LIMIT_EXCEEDED", "retryable": false, "limit": 9}, "message": "big"}\n'
CONFLICT = (
    b'{"status": "Error", "result": {"code": "CONFLICT", "retryable": true, "keys": ["a"], "start_ts": 7, '
    b'"winners": {"a": {"commit_ts": 8}}}, "message": "lost"}\n'
)
NOT_APPLIED = b'{"status": "Error", "result": {"code": "NO_TRANSACTION", "retryable": false}, "message": "none"}\n'
FORGOTTEN = (
    b'{"status": "Error", "result": {"code": "UNAVAILABLE", "retryable": false, "forgotten_ts": 9}, '
    b'"message": "forgotten"}\n'
)
LOG_FAILED = (
    b'{"status": "Error", "result": {"code": "UNAVAILABLE", "retryable": false}, "message": "the log failed"}\n'
)
AT_7 = b'{"status": "Ok", "result": {"visible_ts": 7}}\n'
GARBAGE = b"HTTP/1.1 400 Bad Request\r\n"


class Waiting:
    """A clock that only moves by the sleeps that it counts, and ids that count too."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.pauses: list[float] = []
        self._ids = 0

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds

    def new_token(self) -> str:
        self._ids += 1
        return f"id{self._ids}"

    def patience(self, timeout_s: float) -> Patience:
        return Patience(timeout_s=timeout_s, now=lambda: self.now_s, sleep=self.sleep, new_token=self.new_token)


def connect(
    server: ScriptedServer,
    *,
    timeout_s: float = 20.0,
    connections_max: int = 16,
    commit_timeout_s: float = 0.0,
    waiting: Waiting | None = None,
) -> RemoteStore:
    """With `commit_timeout_s` 0, nobody asks what became of a lost commit."""
    patience = (waiting or Waiting()).patience(commit_timeout_s)
    return RemoteStore.connect(server.address, timeout_s=timeout_s, connections_max=connections_max, patience=patience)


def after_greeting(script: Script) -> Script:
    def play(talk: Talk) -> None:
        greets(talk)
        script(talk)

    return play


def starts(talk: Talk) -> None:
    greets(talk)
    talk.answers((b"START {}\n", STARTED))


def after_start(script: Script) -> Script:
    def play(talk: Talk) -> None:
        starts(talk)
        script(talk)

    return play


# Where the connection is lost


def test_a_connection_lost_during_commit_leaves_it_unknown() -> None:
    with scripted(after_start(lambda talk: talk.hears(PUT_A, COMMIT))) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        with pytest.raises(CommitUnknownError, match="applied whole, or not at all") as caught:
            tx.commit()
        assert not caught.value.retryable
        assert server.address in str(caught.value)
        assert tx.commit_ts is None
        store.close()


def test_a_connection_lost_before_commit_was_sent_applied_nothing() -> None:
    with scripted(starts) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        server.finish()
        with pytest.raises(UnavailableError, match="the server closed it") as caught:
            tx.commit()
        assert caught.value.retryable
        store.close()


def test_a_transaction_whose_connection_was_lost_at_a_read_can_only_be_run_again() -> None:
    with scripted(after_start(lambda talk: talk.hears(PUT_A, GET_A))) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        with pytest.raises(UnavailableError) as at_the_read:
            tx.get(b"a")
        with pytest.raises(UnavailableError) as at_the_commit:
            tx.commit()
        assert at_the_read.value.retryable
        assert at_the_commit.value.retryable
        store.close()


def test_losing_the_commit_of_a_transaction_that_only_read_loses_nothing() -> None:
    with scripted(after_start(lambda talk: talk.hears(b"COMMIT {}\n"))) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        with pytest.raises(UnavailableError) as caught:
            tx.commit()
        assert caught.value.retryable
        store.close()


@pytest.mark.parametrize(
    ("command", "write"),
    [(PUT_A_ONCE, lambda store: store.put(b"a", b"1")), (DEL_A_ONCE, lambda store: store.delete(b"a"))],
)
def test_an_autocommit_write_without_its_reply_is_unknown(command: bytes, write: Callable[[RemoteStore], None]) -> None:
    with scripted(after_greeting(lambda talk: talk.hears(command))) as server:
        store = connect(server)
        with pytest.raises(CommitUnknownError):
            write(store)
        store.close()


def test_an_autocommit_write_finds_a_dead_pooled_connection_before_it_writes() -> None:
    with scripted(greets, lambda talk: talk.answers((PUT_A_ONCE, A_IS_1))) as server:
        store = connect(server)
        server.played(1)
        store.put(b"a", b"1")
        store.close()


@pytest.mark.parametrize(
    ("command", "reply", "read"),
    [
        (GET_A, A_IS_1, lambda store: store.get(b"a")),
        (b"STATS\n", NO_STATS, lambda store: store.stats()),
        (b"START {}\n", STARTED, lambda store: store.begin(TransactionOptions())),
        (
            b'SCAN {"limit":5}\n',
            b'{"status": "Ok", "result": {"items": [], "next": null}}\n',
            lambda store: store.scan(KeyRange(), limit=5),
        ),
    ],
)
def test_what_applies_nothing_is_asked_once_more_on_a_new_connection(
    command: bytes, reply: bytes, read: Callable[[RemoteStore], object]
) -> None:
    with scripted(
        after_greeting(lambda talk: talk.hears(command)), lambda talk: talk.answers((command, reply))
    ) as server:
        store = connect(server)
        assert read(store) is not None
        store.close()


def test_it_is_asked_once_more_and_no_oftener() -> None:
    with scripted(after_greeting(lambda talk: talk.hears(GET_A)), lambda talk: talk.hears(GET_A)) as server:
        store = connect(server)
        with pytest.raises(UnavailableError, match="was lost"):
            store.get(b"a")
        store.close()


# Time


def silent_after(*lines: bytes) -> Script:
    def play(talk: Talk) -> None:
        talk.hears(*lines)
        talk.hears_the_end()

    return play


def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_the_timeout() -> None:
    with scripted(after_greeting(silent_after(GET_A))) as server:
        store = connect(server, timeout_s=0.05)
        with pytest.raises(UnavailableError, match=r"no answer within 0\.05 s") as caught:
            store.get(b"a")
        assert caught.value.retryable
        store.close()


def test_a_commit_without_an_answer_in_time_is_unknown() -> None:
    with scripted(after_start(silent_after(PUT_A, COMMIT))) as server:
        store = connect(server, timeout_s=0.05)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        with pytest.raises(CommitUnknownError, match="no answer within"):
            tx.commit()
        store.close()


def test_connecting_where_nobody_listens_says_so() -> None:
    with scripted() as server:
        server.finish()
        with pytest.raises(UnavailableError, match="is the server running") as caught:
            connect(server)
    assert server.address in str(caught.value)
    assert caught.value.retryable


# What is no mvcc-kv server


def test_garbage_closes_the_connection_and_says_what_came() -> None:
    garbled = scripted(lambda talk: talk.answers((b"STATS\n", GARBAGE)))
    with garbled as server, pytest.raises(UnavailableError, match="is that an mvcc-kv") as caught:
        connect(server)
    assert not caught.value.retryable


def test_garbage_for_an_answer_leaves_a_commit_unknown() -> None:
    def play(talk: Talk) -> None:
        talk.hears(PUT_A, COMMIT)
        talk.says(A_IS_1, GARBAGE)

    with scripted(after_start(play)) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        with pytest.raises(CommitUnknownError):
            tx.commit()
        store.close()


def test_a_refusal_at_the_door_is_raised_as_what_it_is() -> None:
    full = b'{"status": "Error", "result": {"code": "UNAVAILABLE", "retryable": true}, "message": "full"}\n'
    with scripted(lambda talk: talk.says(full)) as server:
        with pytest.raises(UnavailableError, match=r"^full$") as caught:
            connect(server)
        assert caught.value.retryable


# The password


def test_the_password_is_sent_first_on_every_connection() -> None:
    login = (b'AUTH {"password":"open sesame"}\n', DONE)
    with scripted(
        lambda talk: talk.answers(login, (b"STATS\n", NO_STATS)), lambda talk: talk.answers(login, (GET_A, A_IS_1))
    ) as server:
        store = RemoteStore.connect(server.address, password="open sesame")
        server.played(1)
        assert store.get(b"a") == b"1"
        store.close()


def test_a_wrong_password_is_known_when_connecting() -> None:
    refusal = b'{"status": "Error", "result": {"code": "AUTH_REQUIRED", "retryable": false}, "message": "wrong"}\n'

    def refuses(talk: Talk) -> None:
        talk.answers((b'AUTH {"password":"x"}\n', refusal))
        talk.hears_the_end()

    with scripted(refuses) as server, pytest.raises(AuthRequiredError):
        RemoteStore.connect(server.address, password="x")


# Pipelining


def test_puts_go_out_with_the_commit_in_one_go() -> None:
    def play(talk: Talk) -> None:
        talk.hears(PUT_A, b'PUT {"key":"b","value":2.0}\n', COMMIT)
        talk.says(A_IS_1, A_IS_1, COMMITTED)

    with scripted(after_start(play)) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        tx.put(b"b", b"2.0")
        assert tx.commit() == 8
        assert (tx.start_ts, tx.commit_ts) == (7, 8)
        store.close()


def test_puts_go_out_before_a_read_that_could_see_them() -> None:
    def play(talk: Talk) -> None:
        talk.hears(PUT_A, GET_A)
        talk.says(A_IS_1, A_IS_1)
        talk.answers((DEL_A, NOT_FOUND), (b"ROLLBACK\n", DONE))

    with scripted(after_start(play)) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        assert tx.get(b"a") == b"1"
        assert not tx.delete(b"a")
        tx.put(b"c", b"never sent")
        tx.rollback()
        tx.rollback()
        store.close()


def test_the_first_refusal_is_raised_and_not_what_followed_from_it() -> None:
    def play(talk: Talk) -> None:
        talk.hears(PUT_A, PUT_A, COMMIT)
        talk.says(LIMIT, DOOMED, DOOMED)

    with scripted(after_start(play)) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        tx.put(b"a", b"1")
        with pytest.raises(LimitExceededError, match="big"):
            tx.commit()
        store.close()


def test_a_refusal_that_arrived_before_the_loss_says_that_nothing_was_committed() -> None:
    def play(talk: Talk) -> None:
        talk.hears(PUT_A, COMMIT)
        talk.says(LIMIT)

    with scripted(after_start(play)) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        with pytest.raises(LimitExceededError):
            tx.commit()
        store.close()


def test_many_puts_do_not_pile_up_here_but_go_out_by_themselves() -> None:
    value = b'"%s"' % (b"x" * 1000)
    line = b'PUT {"key":"a","value":%s}\n' % value
    count = UNSENT_MAX_BYTES // len(line) + 1

    def play(talk: Talk) -> None:
        talk.hears(*[line] * count)
        talk.says(*[A_IS_1] * count)
        talk.answers((COMMIT, COMMITTED))

    with scripted(after_start(play)) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        for _ in range(count):
            tx.put(b"a", value)
        assert tx.commit() == 8
        store.close()


def test_a_server_that_stops_reading_until_its_replies_are_read_is_no_deadlock() -> None:
    """Each side's buffers full and each waiting for the other: so the client reads while it sends."""
    small, large = b'PUT {"key":"a","value":1}\n', b'PUT {"key":"a","value":"%s"}\n' % (b"x" * 8_000_000)
    long_reply = b'{"status": "Ok", "result": {"key": "a", "value": "%s"}}\n' % (b"y" * 4_000_000)

    def play(talk: Talk) -> None:
        talk.hears(small)
        talk.says(long_reply)
        talk.hears(large)
        talk.says(A_IS_1)
        talk.answers((b"ROLLBACK\n", DONE))

    with scripted(after_start(play)) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        tx.put(b"a", b'"%s"' % (b"x" * 8_000_000))
        tx.rollback()
        store.close()


# What becomes of the connection


def test_a_connection_is_used_again_after_every_kind_of_end() -> None:
    def play(talk: Talk) -> None:
        talk.answers((b"START {}\n", STARTED), (b"COMMIT {}\n", COMMITTED))
        talk.answers((b"START {}\n", STARTED))
        talk.hears(PUT_A, COMMIT)
        talk.says(A_IS_1, CONFLICT)
        talk.answers((b"START {}\n", STARTED), (GET_A, TIMED_OUT), (b"ROLLBACK\n", DONE))
        talk.answers((GET_A, NOT_FOUND))
        talk.hears_the_end()

    with scripted(after_greeting(play)) as server:
        store = connect(server, connections_max=1)
        store.begin(TransactionOptions()).commit()
        loser = store.begin(TransactionOptions())
        loser.put(b"a", b"1")
        with pytest.raises(ConflictError):
            loser.commit()
        late = store.begin(TransactionOptions())
        with pytest.raises(TransactionTimeoutError):
            late.get(b"a")
        late.rollback()
        assert store.get(b"a") is None
        store.close()


def test_a_forgotten_transaction_closes_its_connection_and_makes_room() -> None:
    with scripted(after_start(lambda talk: talk.hears_the_end()), lambda talk: talk.answers((GET_A, A_IS_1))) as server:
        store = connect(server, connections_max=1)
        tx = store.begin(TransactionOptions())
        tx.put(b"a", b"1")
        del tx
        gc.collect()
        assert store.get(b"a") == b"1"
        store.close()


def test_a_transaction_that_is_over_says_so() -> None:
    with scripted(after_start(lambda talk: talk.answers((b"COMMIT {}\n", COMMITTED)))) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.commit()
        with pytest.raises(NoTransactionError):
            tx.get(b"a")
        store.close()


def test_a_read_only_transaction_refuses_writes_without_asking() -> None:
    start = (b'START {"read_only":true}\n', STARTED)
    with scripted(after_greeting(lambda talk: talk.answers(start, (b"ROLLBACK\n", DONE)))) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions(read_only=True))
        with pytest.raises(ReadOnlyError):
            tx.put(b"a", b"1")
        with pytest.raises(ReadOnlyError):
            tx.delete(b"a")
        tx.rollback()
        store.close()


def test_a_checkpoint_answers_with_its_timestamp() -> None:
    reply = b'{"status": "Ok", "result": {"checkpoint_ts": 41}}\n'
    with scripted(after_greeting(lambda talk: talk.answers((b"CHECKPOINT\n", reply)))) as server:
        store = connect(server)
        assert store.checkpoint() == 41
        store.close()


@pytest.mark.parametrize("options", [{"connections_max": 0}, {"timeout_s": 0.0}, {"connect_timeout_s": -1.0}])
def test_limits_that_would_stop_everything_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(BadRequestError):
        RemoteStore.connect("127.0.0.1:1", **options)  # type: ignore[arg-type]


# What became of a commit whose reply was lost


def lost_at_the_commit(talk: Talk) -> None:
    talk.hears(PUT_A, COMMIT)


def commits_a(store: RemoteStore) -> int:
    tx = store.begin(TransactionOptions())
    tx.put(b"a", b"1")
    return tx.commit()


def test_a_commit_whose_reply_was_lost_is_asked_about_and_returns_as_if_nothing_had_happened() -> None:
    answers = after_start(lost_at_the_commit), lambda talk: talk.answers((WHAT_BECAME_OF_IT, COMMITTED))
    with scripted(*answers) as server:
        store = connect(server, commit_timeout_s=10.0)
        assert commits_a(store) == 8
        store.close()


def test_a_commit_that_was_not_applied_can_be_run_again() -> None:
    answers = after_start(lost_at_the_commit), lambda talk: talk.answers((WHAT_BECAME_OF_IT, NOT_APPLIED))
    with scripted(*answers) as server:
        store = connect(server, commit_timeout_s=10.0)
        with pytest.raises(UnavailableError, match=r"was lost.*; nothing was applied") as caught:
            commits_a(store)
        assert caught.value.retryable
        store.close()


def test_the_server_is_asked_again_and_again_until_it_answers() -> None:
    waiting = Waiting()
    asked = lambda talk: talk.hears(WHAT_BECAME_OF_IT)  # noqa: E731
    answered = lambda talk: talk.answers((WHAT_BECAME_OF_IT, COMMITTED))  # noqa: E731
    with scripted(after_start(lost_at_the_commit), asked, asked, asked, answered) as server:
        store = connect(server, commit_timeout_s=10.0, waiting=waiting)
        assert commits_a(store) == 8
        assert waiting.pauses == [0.01, 0.02, 0.04]
        store.close()


def test_a_server_that_stays_away_leaves_a_commit_unknown_when_the_time_is_over() -> None:
    waiting = Waiting()
    with scripted(after_start(lost_at_the_commit)) as server:
        store = connect(server, commit_timeout_s=3.0, waiting=waiting)
        with pytest.raises(CommitUnknownError, match=r"for 3 s \(commit_timeout_s\) the server couldn't be asked"):
            commits_a(store)
        assert sum(waiting.pauses) == pytest.approx(3.0)
        assert max(waiting.pauses) == 0.5
        store.close()


def test_what_the_server_has_forgotten_is_unknown_and_not_taken_for_lost() -> None:
    answers = after_start(lost_at_the_commit), lambda talk: talk.answers((WHAT_BECAME_OF_IT, FORGOTTEN))
    with scripted(*answers) as server:
        store = connect(server, commit_timeout_s=10.0)
        with pytest.raises(CommitUnknownError, match="forgotten"):
            commits_a(store)
        store.close()


def test_a_login_that_is_refused_meanwhile_leaves_a_commit_unknown() -> None:
    refusal = b'{"status": "Error", "result": {"code": "AUTH_REQUIRED", "retryable": false}, "message": "wrong"}\n'
    answers = after_start(lost_at_the_commit), lambda talk: talk.answers((WHAT_BECAME_OF_IT, refusal))
    with scripted(*answers) as server:
        store = connect(server, commit_timeout_s=10.0)
        with pytest.raises(CommitUnknownError, match="wrong"):
            commits_a(store)
        store.close()


def test_a_server_whose_log_failed_under_the_commit_is_asked_until_its_next_start_knows() -> None:
    waiting = Waiting()

    def fails(talk: Talk) -> None:
        talk.hears(PUT_A, COMMIT)
        talk.says(A_IS_1, LOG_FAILED)
        talk.answers((WHAT_BECAME_OF_IT, LOG_FAILED))

    with scripted(after_start(fails), lambda talk: talk.answers((WHAT_BECAME_OF_IT, COMMITTED))) as server:
        store = connect(server, commit_timeout_s=10.0, waiting=waiting)
        assert commits_a(store) == 8
        assert waiting.pauses
        store.close()


def test_a_commit_that_a_failed_log_refused_says_so() -> None:
    def fails(talk: Talk) -> None:
        talk.hears(PUT_A, COMMIT)
        talk.says(A_IS_1, LOG_FAILED)
        talk.answers((WHAT_BECAME_OF_IT, NOT_APPLIED))

    with scripted(after_start(fails)) as server:
        store = connect(server, commit_timeout_s=10.0)
        with pytest.raises(UnavailableError, match="the log failed") as caught:
            commits_a(store)
        assert not caught.value.retryable
        store.close()


def test_asking_needs_no_second_place_among_the_connections() -> None:
    answers = after_start(lost_at_the_commit), lambda talk: talk.answers((WHAT_BECAME_OF_IT, COMMITTED))
    with scripted(*answers) as server:
        store = connect(server, connections_max=1, commit_timeout_s=10.0)
        assert commits_a(store) == 8
        store.close()


def knows_7(script: Script) -> Script:
    def play(talk: Talk) -> None:
        talk.answers((b"STATS\n", AT_7))
        script(talk)

    return play


def test_a_lost_put_that_was_applied_is_done() -> None:
    scripts = knows_7(lambda talk: talk.hears(PUT_A_ONCE)), lambda talk: talk.answers((WHAT_BECAME_OF_IT, COMMITTED))
    with scripted(*scripts) as server:
        store = connect(server, commit_timeout_s=10.0)
        store.put(b"a", b"1")
        store.close()


def test_a_lost_put_that_was_not_applied_is_sent_again_under_another_id() -> None:
    def plays(talk: Talk) -> None:
        talk.answers((WHAT_BECAME_OF_IT, NOT_APPLIED), (PUT_A_ONCE.replace(b"id1", b"id2"), A_IS_1))

    with scripted(knows_7(lambda talk: talk.hears(PUT_A_ONCE)), plays) as server:
        store = connect(server, commit_timeout_s=10.0)
        store.put(b"a", b"1")
        store.close()


@pytest.mark.parametrize(("replies", "was_there"), [((COMMITTED,), True), ((NOT_APPLIED, NOT_FOUND), False)])
def test_a_lost_delete_still_tells_whether_the_key_was_there(replies: tuple[bytes, ...], was_there: bool) -> None:
    commands = (WHAT_BECAME_OF_IT, DEL_A_ONCE.replace(b"id1", b"id2"))
    pairs = tuple(zip(commands, replies, strict=False))
    with scripted(knows_7(lambda talk: talk.hears(DEL_A_ONCE)), lambda talk: talk.answers(*pairs)) as server:
        store = connect(server, commit_timeout_s=10.0)
        assert store.delete(b"a") is was_there
        store.close()


def test_a_put_that_is_lost_over_and_over_gives_up_knowing_that_it_was_not_applied() -> None:
    waiting = Waiting()

    def loses_the_next(number: int) -> Script:
        def play(talk: Talk) -> None:
            talk.hears(WHAT_BECAME_OF_IT.replace(b"id1", b"id%d" % number))
            waiting.now_s += 6.0  # before the client can go on
            talk.says(NOT_APPLIED)
            if number == 1:
                talk.hears(PUT_A_ONCE.replace(b"id1", b"id2"))

        return play

    with scripted(knows_7(lambda talk: talk.hears(PUT_A_ONCE)), loses_the_next(1), loses_the_next(2)) as server:
        store = connect(server, commit_timeout_s=10.0, waiting=waiting)
        with pytest.raises(UnavailableError, match="nothing was applied"):
            store.put(b"a", b"1")
        store.close()


def test_a_client_that_only_puts_learns_now_and_then_how_far_the_server_is() -> None:
    waiting = Waiting()

    def play(talk: Talk) -> None:
        talk.answers((PUT_A_ONCE, A_IS_1), (b"STATS\n", AT_7), (PUT_A_ONCE.replace(b"id1", b"id2"), A_IS_1))

    with scripted(after_greeting(play)) as server:
        store = connect(server, waiting=waiting)
        store.put(b"a", b"1")
        waiting.now_s += 2.0
        store.put(b"a", b"1")
        store.close()


def test_a_commit_that_does_not_wait_for_the_disk_says_so() -> None:
    def play(talk: Talk) -> None:
        talk.hears(PUT_A, b'COMMIT {"id":"id1","durability":"none"}\n')
        talk.says(A_IS_1, COMMITTED)

    with scripted(after_start(play)) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions(durability="none"))
        tx.put(b"a", b"1")
        assert tx.commit() == 8
        store.close()


# Turns

IN_TURN = TransactionOptions(turn=b"a", lost=1)
START_IN_TURN = b'START {"lost":1,"turn":"a"}\n'
UNKNOWN_MEMBER = b'{"status": "Error", "result": {"code": "BAD_REQUEST", "retryable": false}, "message": "unknown"}\n'


@pytest.mark.parametrize(
    ("told", "is_contended"),
    [
        (b'"waited": false, "waiting": 0', False),
        (b'"waited": true, "waiting": 0', True),
        (b'"waited": false, "waiting": 3', True),
    ],
)
def test_a_transaction_in_turn_knows_whether_others_wanted_theirs(told: bytes, is_contended: bool) -> None:
    def script(talk: Talk) -> None:
        greets(talk)
        talk.answers((START_IN_TURN, b'{"status": "Ok", "result": {"start_ts": 7, %b}}\n' % told))

    with scripted(script) as server, closing(connect(server)) as store:
        tx = store.begin(IN_TURN)
        assert (tx.start_ts, tx.is_contended) == (7, is_contended)
        del tx


def test_a_server_that_knows_no_turns_is_asked_once() -> None:
    def script(talk: Talk) -> None:
        greets(talk)
        talk.answers((START_IN_TURN, UNKNOWN_MEMBER), (b"START {}\n", STARTED), (b"ROLLBACK\n", DONE))
        talk.answers((b"START {}\n", STARTED), (b"ROLLBACK\n", DONE))

    with scripted(script) as server, closing(connect(server)) as store:
        for _ in range(2):
            tx = store.begin(IN_TURN)
            assert not tx.is_contended
            tx.rollback()


def test_a_start_that_is_refused_for_something_else_says_nothing_about_turns() -> None:
    labelled = TransactionOptions(label="x", turn=b"a", lost=1)

    def script(talk: Talk) -> None:
        greets(talk)
        talk.answers((b'START {"label":"x","lost":1,"turn":"a"}\n', UNKNOWN_MEMBER))
        talk.answers((b'START {"label":"x"}\n', UNKNOWN_MEMBER))
        talk.answers((START_IN_TURN, STARTED), (b"ROLLBACK\n", DONE))

    with scripted(script) as server, closing(connect(server)) as store:
        with pytest.raises(BadRequestError):
            store.begin(labelled)
        store.begin(IN_TURN).rollback()


# Adding, and what is there to know of a transaction

ADD_A_ONCE = b'ADD {"key":"a","by":2,"id":"id1"}\n'


def test_an_addition_whose_reply_was_lost_but_that_was_applied_returns_what_the_key_is_now() -> None:
    def lost(talk: Talk) -> None:
        talk.answers((b"STATS\n", AT_7))
        talk.hears(ADD_A_ONCE)

    def found(talk: Talk) -> None:
        talk.answers((WHAT_BECAME_OF_IT, COMMITTED), (GET_A, A_IS_1))

    with scripted(lost, found) as server:
        store = connect(server, commit_timeout_s=5.0)
        assert store.add(b"a", b"2") == b"1"
        store.close()


def test_an_addition_whose_reply_was_lost_and_that_was_not_applied_is_sent_again_under_another_id() -> None:
    def lost(talk: Talk) -> None:
        talk.answers((b"STATS\n", AT_7))
        talk.hears(ADD_A_ONCE)

    def found(talk: Talk) -> None:
        talk.answers((WHAT_BECAME_OF_IT, NOT_APPLIED), (b'ADD {"key":"a","by":2,"id":"id2"}\n', A_IS_1))

    with scripted(lost, found) as server:
        store = connect(server, commit_timeout_s=5.0)
        assert store.add(b"a", b"2") == b"1"
        store.close()


def test_additions_in_a_transaction_go_out_with_what_has_an_answer() -> None:
    def talk_of_it(talk: Talk) -> None:
        talk.hears(b'ADD {"key":"a","by":2}\n', PUT_A, COMMIT)
        talk.says(DONE, DONE, COMMITTED)

    with scripted(after_start(talk_of_it)) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        tx.add(b"a", b"2")
        tx.put(b"a", b"1")
        assert tx.commit() == 8
        store.close()


def test_whether_it_has_lost_is_asked_with_what_is_unsent() -> None:
    told = b'{"status": "Ok", "result": "PONG", "message": "this transaction has lost key \'a\'"}\n'

    def talk_of_it(talk: Talk) -> None:
        talk.answers((b"PING\n", b'{"status": "Ok", "result": "PONG"}\n'))
        talk.hears(PUT_A, b"PING\n")
        talk.says(DONE, told)
        talk.answers((b"PING\n", TIMED_OUT), (b"ROLLBACK\n", DOOMED))

    with scripted(after_start(talk_of_it)) as server:
        store = connect(server)
        tx = store.begin(TransactionOptions())
        before = tx.is_doomed
        tx.put(b"a", b"1")
        after = tx.is_doomed
        timed_out = tx.is_doomed
        assert (before, after, timed_out) == (False, True, True)
        tx.rollback()
        with pytest.raises(NoTransactionError):
            _ = tx.is_doomed
        store.close()


def test_the_server_says_whether_there_was_one_to_kill() -> None:
    none = (
        b'{"status": "Error", "result": {"code": "BAD_REQUEST", "retryable": false, "transaction": 2}, '
        b'"message": "no transaction 2 is open"}\n'
    )
    other = b'{"status": "Error", "result": {"code": "BAD_REQUEST", "retryable": false}, "message": "too new"}\n'

    def talk_of_it(talk: Talk) -> None:
        talk.answers(
            (b"STATS\n", NO_STATS),
            (b'KILL {"transaction":1}\n', b'{"status": "Ok", "result": {"transaction": 1}}\n'),
            (b'KILL {"transaction":2}\n', none),
            (b'KILL {"transaction":3}\n', other),
        )

    with scripted(talk_of_it) as server:
        store = connect(server)
        assert (store.kill(1), store.kill(2)) == (True, False)
        with pytest.raises(BadRequestError, match="too new"):
            store.kill(3)
        store.close()
