"""A session: one client's commands become replies.

    no transaction --START--> open --COMMIT, ROLLBACK--> no transaction
                               |
                               +--refused command---> doomed --COMMIT, ROLLBACK--> no transaction
                               +--timeout, KILL,
                               |  too much pinned---> ended  --its next command is told, then as doomed
                               +--log failed--------> lost   --its next command is told--> no transaction
                               +--another commit----> open: a COMMIT will be a CONFLICT, and commands that
                                                      succeed say so meanwhile; see notice.py

Outside a transaction every command is one of its own. A *doomed* transaction has had a command refused:
it answers TRANSACTION_DOOMED until the client ends it, so that a batch sent in one go is all or nothing.
One that the server *ended* behaves the same after its next command was told why; were it simply over,
the rest of a batch would be executed outside any transaction. One that had seen what will never be visible,
because the log failed, is *lost*: no write is taken any more, so it may be over at once. In each case its snapshot
is let go immediately.

SNAPSHOT_GONE, where a transaction reads at a timestamp that retention has moved past, is an answer, as KEY_NOT_FOUND
is: it dooms nothing, and each read is told anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from hmac import compare_digest
from typing import Any, Protocol

from mvcc_kv.api import (
    CommittedWrites,
    KeyRange,
    OpenTransaction,
    Page,
    StoreTransaction,
    TransactionOptions,
    VersionPage,
)
from mvcc_kv.engine.changes import CHANGES_BUFFER_BYTES, feed_begin
from mvcc_kv.engine.turns import Ticket, Turns
from mvcc_kv.errors import (
    AuthRequiredError,
    BadRequestError,
    ConflictError,
    Error,
    KeyNotFoundError,
    LimitExceededError,
    NoTransactionError,
    ReadOnlyError,
    TransactionDoomedError,
    TransactionOpenError,
    TransactionTimeoutError,
    UnknownCommandError,
)
from mvcc_kv.protocol import commands, replies
from mvcc_kv.protocol.framing import Line
from mvcc_kv.protocol.grammar import parse, verb_of
from mvcc_kv.protocol.guard import is_host_header
from mvcc_kv.protocol.usage import USAGE
from mvcc_kv.server.backup import Backup
from mvcc_kv.server.deadlines import Deadlines
from mvcc_kv.server.feed import Feed
from mvcc_kv.server.notice import EarlyNotice
from mvcc_kv.server.scans import bounded_history, bounded_page
from mvcc_kv.server.streams import Stream
from mvcc_kv.server.waiting import Wait

__all__ = ["Services", "Session"]

_DOOMING = (BadRequestError, UnknownCommandError, LimitExceededError, ReadOnlyError)
_NOTICED = frozenset(
    (
        commands.Get,
        commands.Put,
        commands.Delete,
        commands.Add,
        commands.Scan,
        commands.History,
        commands.Ping,
    )
)
_WITHOUT_LOGIN = (commands.Auth, commands.Ping, commands.Help, commands.Quit)


class ServedTransaction(StoreTransaction, Protocol):
    """A transaction whose commit can carry a token.

    `ended`: why somebody else has ended it. `clash`: what it has lost already, a key and the commit that took it.
    """

    @property
    def ended(self) -> Error | None: ...
    def clash(self) -> tuple[bytes, int] | None: ...
    def commit(self, token: str | None = None) -> int: ...


class ServedStore(Protocol):
    """What sessions need of a store: `api.Store`, and to know how far commits are on their way to the disk.

    A commit is on its way until `visible_ts` has reached it; no one beyond `reachable_ts` will arrive any more.
    Who has seen the one at `seen_ts` reads at it.
    """

    @property
    def commit_ts(self) -> int: ...
    @property
    def visible_ts(self) -> int: ...
    @property
    def reachable_ts(self) -> int: ...
    @property
    def oldest_ts(self) -> int: ...
    def commits_after(self, ts: int, limit: int) -> list[CommittedWrites]: ...
    def keep_changes(self, bytes_max: int) -> None: ...
    def get(self, key: bytes, seen_ts: int = 0) -> bytes | None: ...
    def put(self, key: bytes, value: bytes, token: str | None = None) -> None: ...
    def delete(self, key: bytes, token: str | None = None) -> bool: ...
    def add(self, key: bytes, by: bytes, token: str | None = None) -> bytes: ...
    def scan(
        self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False, seen_ts: int = 0
    ) -> Page: ...
    def history(self, key: bytes, *, limit: int, before_ts: int | None = None, seen_ts: int = 0) -> VersionPage: ...
    def begin(
        self, options: TransactionOptions, seen_ts: int = 0, *, client: str | None = None
    ) -> ServedTransaction: ...
    def transactions(self) -> list[OpenTransaction]: ...
    def kill(self, transaction_id: int) -> bool: ...
    def newest_ts(self, key: bytes) -> int: ...
    def outcome(self, token: str, after_ts: int | None = None) -> int | None: ...
    def publish(self, ts: int) -> None: ...
    @property
    def has_garbage(self) -> bool: ...
    def collect(self, steps_max: int = ...) -> None: ...
    def expire(self) -> None: ...
    def stats(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What every session of a server shares.

    `checkpoint` starts one and calls back with its commit_ts or the error, later; `clock` gives seconds, and
    `deadlines` are told the time by whoever made them. `turns`: who may begin now, of those who ask.
    """

    store: ServedStore
    stats: Callable[[], dict[str, Any]]
    checkpoint: Callable[[Callable[[int | Error], None]], None]
    clock: Callable[[], float]
    max_transaction_bytes: int = 1024
    password: str | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)
    turns: Turns = field(default_factory=Turns)
    changes_buffer_bytes: int = CHANGES_BUFFER_BYTES


@dataclass(slots=True)
class _Opened:
    """The open transaction. `cause` is set when it is doomed, or was ended by the server.

    `untold`: the client's next command is answered with the cause. `is_lost`: with that it is over.
    """

    transaction: ServedTransaction
    begun_at: float
    spent_bytes: int
    notice: EarlyNotice
    cause: Error | None = None
    untold: bool = False
    ended_by_server: bool = False
    is_lost: bool = False
    ticket: Ticket | None = None

    def commit(self, token: str | None) -> int:
        try:
            return self.transaction.commit(token)
        finally:
            self._end_turn()

    def rollback(self) -> None:
        self.transaction.rollback()
        self._end_turn()

    def _end_turn(self) -> None:
        if self.ticket is not None:
            self.ticket.end()

    @property
    def is_running(self) -> bool:
        return self.cause is None and self.transaction.ended is None


class Session:
    """Executes a client's commands one after the other.

    `execute` returns a command's reply, or None if it comes later, through `answer_later`; until then
    no other command may be executed. Nor while `has_more`: the reply has more lines, and `more` makes the next ones.
    But if it `gives_way`, a command may be executed, and ends it.
    `client` is what others are told of who this is. `effort`: how many keys the last command looked at, beyond one.
    """

    __slots__ = (
        "_answer_later",
        "_client",
        "_locked",
        "_opened",
        "_seen_ts",
        "_services",
        "_spent_bytes",
        "_stream",
        "_wait",
        "effort",
        "hold_ts",
        "speaks_http",
        "wants_to_close",
    )

    def __init__(self, services: Services, answer_later: Callable[[bytes], None], client: str | None = None) -> None:
        self._services = services
        self._client = client
        self._answer_later = answer_later
        self._opened: _Opened | None = None
        self._stream: Stream | None = None
        self._locked = services.password is not None
        self._spent_bytes = 0  # by the command at hand and those before it in its transaction
        self._wait: Wait | None = None  # of a START for its turn
        self._seen_ts = 0  # the newest commit that this client knows of: it must not read behind that
        self.effort = 0
        self.hold_ts = 0  # replies wait until this commit is visible: they tell of it
        self.wants_to_close = False
        self.speaks_http = False

    @property
    def begun_at(self) -> float | None:
        """When the open transaction was begun, by the clock; None if there is none that could time out."""
        opened = self._opened
        return opened.begun_at if opened is not None and opened.is_running else None

    @property
    def start_ts(self) -> int | None:
        """The snapshot that the open transaction reads; None if there is none."""
        opened = self._opened
        return opened.transaction.start_ts if opened is not None and opened.is_running else None

    def execute(self, line: Line) -> bytes | None:
        """The reply to a command line, or None if it comes later."""
        if self._stream is not None:
            self._end_stream()
        opened = self._opened
        self.effort = 0
        try:
            if opened is not None:
                if (ended := opened.transaction.ended) is not None:
                    self._end(ended)
                if opened.cause is not None:
                    return self._answer_when_over(opened, opened.cause, line)
            text = self._spend(line)
            command = parse(text)
            if self._locked and not isinstance(command, _WITHOUT_LOGIN):
                raise AuthRequiredError("this server wants a password: send AUTH first")
            reply = _HANDLERS[type(command)](self, command)
            if opened is not None and reply is not None and type(command) in _NOTICED:
                return self._noticed(opened, command, reply)
            return reply
        except Error as error:
            if is_host_header(_text(line)):
                self.speaks_http = self.wants_to_close = True
                return b""
            if isinstance(error, _DOOMING):
                self._doom(error, verb_of(_text(line)))
            return replies.error_reply(error)

    @property
    def has_more(self) -> bool:
        """Whether the last command's reply has more lines."""
        return self._stream is not None

    @property
    def is_ready(self) -> bool:
        """Whether `more` would say something now."""
        return self._stream is not None and self._stream.is_ready

    @property
    def gives_way(self) -> bool:
        """Whether a command may be executed though the last one's reply has more lines."""
        return self._stream is not None and self._stream.gives_way

    @property
    def feed(self) -> Feed | None:
        """The feed that the client follows."""
        stream = self._stream
        return stream if isinstance(stream, Feed) else None

    def more(self, bytes_max: int) -> bytes:
        """The next lines of a reply in many: made now, so that nothing is made before there is room for it."""
        stream = self._stream
        assert stream is not None, "there is more"
        try:
            said = stream.more(bytes_max)
        except Error as error:  # its snapshot was ended
            self._end_stream()
            return replies.error_reply(error)
        if stream.is_over:
            self._end_stream()
        return said

    def finish(self) -> None:
        """The client will ask for nothing more."""
        if self._stream is not None:
            self._stream.finish()
            if self._stream.is_over:
                self._end_stream()

    def expire(self, after_s: float) -> None:
        """Roll the open transaction back because it took too long; the client is told at its next command."""
        self._end(
            TransactionTimeoutError(
                f"the transaction was open for more than {after_s:g} s and was rolled back; run it again",
                limit_s=after_s,
                setting="--transaction-timeout-s",
            )
        )

    def lose(self, cause: Error) -> None:
        """What this client saw beyond `visible_ts` will never be visible: forget it, and what was begun there."""
        self._seen_ts = self.hold_ts = 0
        visible_ts = self._services.store.visible_ts
        if self._stream is not None and self._stream.ts > visible_ts:
            self._end_stream()
        opened = self._opened
        if opened is not None and opened.transaction.start_ts > visible_ts:
            if opened.cause is None:
                opened.rollback()
            opened.cause, opened.untold, opened.is_lost = cause, True, True

    def close(self) -> None:
        """The client is gone: roll its transaction back."""
        self._end_stream()
        self._end_wait(withdraw=True)
        if self._opened is not None:
            self._opened.rollback()
            self._opened = None

    # The transaction's state

    def _spend(self, line: Line) -> bytes:
        """Count the command against the limit; returns its text. Raises `LimitExceededError`."""
        limit = self._services.max_transaction_bytes
        length = len(line) if isinstance(line, bytes) else line.actual_bytes
        opened = self._opened
        actual = self._spent_bytes = length if opened is None else opened.spent_bytes + length
        if actual > limit and not (isinstance(line, bytes) and verb_of(line) == "ROLLBACK"):
            what = "a command" if opened is None else "a transaction's commands"
            raise LimitExceededError(
                f"{what} may have {limit} bytes in all, not {actual}; start the server with a larger "
                f"--max-transaction-bytes",
                limit=limit,
                actual=actual,
                setting="--max-transaction-bytes",
            )
        if opened is not None:
            opened.spent_bytes = actual
        assert isinstance(line, bytes), "an overlong line is over the limit"
        return line

    def _doom(self, cause: Error, verb: str) -> None:
        opened = self._opened
        if opened is None:
            return
        opened.rollback()
        opened.cause = cause
        if verb in ("COMMIT", "ROLLBACK"):
            self._opened = None

    def _end(self, cause: Error) -> None:
        opened = self._opened
        if opened is not None and opened.cause is None:
            opened.rollback()
            opened.cause = opened.transaction.ended or cause
            opened.untold = opened.ended_by_server = True

    def _noticed(self, opened: _Opened, command: commands.Command, reply: bytes) -> bytes:
        """The reply, with the early notice in it if the transaction is known to have lost."""
        notice, kind = opened.notice, type(command)
        exactly = kind is commands.Ping or (kind is commands.Delete and notice.is_given)
        said = notice.after(1 + self.effort, self._services.store.visible_ts, exactly=exactly)
        if exactly:
            self.effort += notice.keys
        return reply if said is None else replies.noticed(reply, said)

    def _answer_when_over(self, opened: _Opened, cause: Error, line: Line) -> bytes | None:
        verb = verb_of(_text(line))
        if verb == "QUIT":
            return self._quit(commands.Quit())
        if opened.ended_by_server and not opened.untold and verb == "START":
            self._opened = None
            return self.execute(line)
        if verb in ("COMMIT", "ROLLBACK"):
            self._opened = None
        if opened.untold:
            opened.untold = False
            if opened.is_lost:  # nothing of the rest can be applied either: every write is refused from now on
                self._opened = None
            raise cause
        if verb == "ROLLBACK":
            return replies.ROLLED_BACK
        first = cause.evidence.get("cause") or {"code": cause.code, "message": cause.message}
        ended = "the server has ended this transaction"
        refused = "an earlier command of this transaction was refused"
        raise TransactionDoomedError(
            f"{ended if opened.ended_by_server else refused} ({first['code']}), so nothing of it is applied: "
            f"ROLLBACK, and run it again",
            retryable=cause.retryable,
            cause=first,
        )

    # The commands

    def _get(self, command: commands.Get) -> bytes:
        if self._opened is not None:
            value = self._opened.transaction.get(command.key, tracked=command.tracked)
        else:
            value = self._services.store.get(command.key, self._seen_ts)
        if value is None:
            raise KeyNotFoundError(key=command.key.decode())
        return replies.pair_reply(command.key, value)

    def _put(self, command: commands.Put) -> bytes:
        if self._opened is not None:
            _must_have_no_id(command.id)
            self._opened.transaction.put(command.key, command.value)
        else:
            self._services.store.put(command.key, command.value, command.id)
            self._wait_for(self._services.store.commit_ts)
        return replies.pair_reply(command.key, command.value)

    def _delete(self, command: commands.Delete) -> bytes:
        if self._opened is not None:
            _must_have_no_id(command.id)
            was_there = self._opened.transaction.delete(command.key)
        else:
            was_there = self._services.store.delete(command.key, command.id)
            self._wait_for(self._services.store.commit_ts)
        if not was_there:
            raise KeyNotFoundError(key=command.key.decode())
        return replies.key_reply(command.key)

    def _add(self, command: commands.Add) -> bytes:
        if self._opened is not None:
            _must_have_no_id(command.id)
            self._opened.transaction.add(command.key, command.by)
            return replies.addend_reply(command.key, command.by)
        value = self._services.store.add(command.key, command.by, command.id)
        self._wait_for(self._services.store.commit_ts)
        return replies.pair_reply(command.key, value)

    def _scan(self, command: commands.Scan) -> bytes:
        if self._opened is not None:
            scan = partial(self._opened.transaction.scan, tracked=command.tracked)
        else:
            scan = partial(self._services.store.scan, seen_ts=self._seen_ts)
        scan = partial(scan, keys_only=command.keys_only)
        page, self.effort = bounded_page(scan, command.keys, limit=command.limit, reverse=command.reverse)
        return replies.page_reply(page, keys_only=command.keys_only)

    def _history(self, command: commands.History) -> bytes:
        if self._opened is not None:
            history = partial(self._opened.transaction.history, command.key, tracked=command.tracked)
        else:
            history = partial(self._services.store.history, command.key, seen_ts=self._seen_ts)
        page = bounded_history(history, limit=command.limit, before_ts=command.before_ts)
        self.effort = len(page.versions)
        return replies.history_reply(command.key, page)

    def _start(self, command: commands.Start) -> bytes | None:
        if self._opened is not None:
            raise TransactionOpenError(
                "a transaction is open already, and they don't nest; COMMIT or ROLLBACK it first"
            )
        if command.options.turn is not None:
            self._ask_for_turn(command.options, command.options.turn)
            return None
        start_ts = self._begin(command.options)
        return replies.result_reply({"start_ts": start_ts}) if command.wants_object else replies.STARTED

    def _begin(self, options: TransactionOptions, ticket: Ticket | None = None) -> int:
        transaction = self._services.store.begin(options, self._seen_ts, client=self._client)
        spent_bytes = self._spent_bytes if ticket is None else 0  # so that what fitted once fits in turn, too
        notice = EarlyNotice(transaction)
        self._opened = _Opened(transaction, self._services.clock(), spent_bytes, notice, ticket=ticket)
        return transaction.start_ts

    def _ask_for_turn(self, options: TransactionOptions, key: bytes) -> None:
        """Begin, and answer, when the turn on the key has come: now or later."""
        services = self._services

        def begin(ticket: Ticket) -> None:
            self._end_wait()
            self._answer_later(self._begin_in_turn(options, key, ticket))

        ticket = services.turns.ask(key, options.lost, begin)
        if ticket.is_waiting:
            self._wait = Wait(ticket, services.deadlines, services.clock)

    def _begin_in_turn(self, options: TransactionOptions, key: bytes, ticket: Ticket) -> bytes:
        """The reply to START. The key's newest commit may not be visible yet, but who begins before it has lost."""
        store = self._services.store
        try:
            self._wait_for(store.newest_ts(key))
            start_ts = self._begin(replace(options, turn=None), ticket)
        except Error as error:
            ticket.end()
            return replies.error_reply(error)
        return replies.result_reply({"start_ts": start_ts, "waited": ticket.waited, "waiting": ticket.waiting})

    def _end_wait(self, *, withdraw: bool = False) -> None:
        wait, self._wait = self._wait, None
        if wait is not None:
            wait.stop()
            if withdraw:
                wait.ticket.end()

    def _commit(self, command: commands.Commit) -> bytes:
        if self._opened is None and command.id is not None:
            commit_ts = self._ask_for(command.id, command.after)
        else:
            try:
                commit_ts = self._take_opened("COMMIT").commit(command.id)
            except ConflictError as lost:  # told when the winners are visible, so that a retry starts after them
                self._wait_for(max(won.commit_ts for won in lost.winners.values()))
                raise
        if command.waits:
            self._wait_for(commit_ts)
        self._seen_ts = max(self._seen_ts, commit_ts)
        return replies.result_reply({"commit_ts": commit_ts}) if command.wants_object else replies.COMMITTED

    def _ask_for(self, token: str, after_ts: int | None) -> int:
        """The commit_ts of an earlier commit whose reply was lost."""
        commit_ts = self._services.store.outcome(token, after_ts)
        if commit_ts is None:
            raise NoTransactionError(f"no commit with the id {token!r} was applied, and none will be")
        return commit_ts

    def _wait_for(self, commit_ts: int) -> None:
        """Our reply tells of this commit, so it, and what follows it, leaves when the commit is visible.

        Nothing waits for what can't arrive: an answer that tells of such a commit is an error anyway.
        """
        commit_ts = min(commit_ts, self._services.store.reachable_ts)
        self._seen_ts = max(self._seen_ts, commit_ts)
        self.hold_ts = max(self.hold_ts, commit_ts)

    def _rollback(self, _: commands.Rollback) -> bytes:
        self._take_opened("ROLLBACK").rollback()
        return replies.ROLLED_BACK

    def _take_opened(self, verb: str) -> _Opened:
        """The open transaction, which is over from here on."""
        opened = self._opened
        if opened is None:
            raise NoTransactionError(f"{verb} without a transaction; START begins one")
        self._opened = None
        return opened

    def _transactions(self, _: commands.Transactions) -> bytes:
        transactions = self._services.store.transactions()
        self.effort = len(transactions)
        return replies.transactions_reply(transactions)

    def _kill(self, command: commands.Kill) -> bytes:
        if not self._services.store.kill(command.transaction):
            raise BadRequestError(
                f"no transaction {command.transaction} is open; TRANSACTIONS lists those that are",
                transaction=command.transaction,
            )
        return replies.result_reply({"transaction": command.transaction})

    def _stats(self, _: commands.Stats) -> bytes:
        return replies.result_reply(self._services.stats())

    def _checkpoint(self, _: commands.Checkpoint) -> None:
        def answer(outcome: int | Error) -> None:
            if isinstance(outcome, Error):
                self._answer_later(replies.error_reply(outcome))
            else:
                self._answer_later(replies.result_reply({"checkpoint_ts": outcome}))

        self._services.checkpoint(answer)

    def _backup(self, command: commands.Backup) -> bytes:
        if self._opened is not None:
            raise BadRequestError("BACKUP has a snapshot of its own; COMMIT or ROLLBACK this transaction first")
        options = TransactionOptions(read_only=True, label="BACKUP")
        snapshot = self._services.store.begin(options, self._seen_ts, client=self._client)
        self._wait_for(snapshot.start_ts)
        self._stream = Backup(snapshot, command.keys)
        return self.more(0)

    def _changes(self, command: commands.Changes) -> bytes:
        if self._opened is not None:
            raise BadRequestError("CHANGES tells of others' commits; COMMIT or ROLLBACK this transaction first")
        services = self._services
        from_ts = feed_begin(
            services.store, command.from_ts, bytes_max=services.changes_buffer_bytes, seen_ts=self._seen_ts
        )
        self._wait_for(from_ts)
        self._stream = Feed(services.store, command.prefix, from_ts, services.clock)
        return self.more(0)

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _ping(self, _: commands.Ping) -> bytes:
        return replies.PONG

    def _help(self, _: commands.Help) -> bytes:
        return replies.result_reply(USAGE)

    def _quit(self, _: commands.Quit) -> bytes:
        self.close()
        self.wants_to_close = True
        return replies.result_reply("Bye")

    def _auth(self, command: commands.Auth) -> bytes:
        password = self._services.password
        if password is None:
            raise BadRequestError("this server has no password; go on without AUTH")
        if not compare_digest(password.encode(), command.password.encode()):
            raise AuthRequiredError("wrong password")
        self._locked = False
        return replies.result_reply("Authenticated")


def _must_have_no_id(token: str | None) -> None:
    if token is not None:
        raise BadRequestError("inside a transaction the id belongs to its COMMIT")


def _text(line: Line) -> bytes:
    return line if isinstance(line, bytes) else line.beginning


_HANDLERS: dict[type[commands.Command], Callable[[Session, Any], bytes | None]] = {
    commands.Get: Session._get,
    commands.Put: Session._put,
    commands.Delete: Session._delete,
    commands.Add: Session._add,
    commands.Scan: Session._scan,
    commands.History: Session._history,
    commands.Start: Session._start,
    commands.Commit: Session._commit,
    commands.Rollback: Session._rollback,
    commands.Transactions: Session._transactions,
    commands.Kill: Session._kill,
    commands.Stats: Session._stats,
    commands.Checkpoint: Session._checkpoint,
    commands.Backup: Session._backup,
    commands.Changes: Session._changes,
    commands.Ping: Session._ping,
    commands.Help: Session._help,
    commands.Quit: Session._quit,
    commands.Auth: Session._auth,
}
