"""A session: one client's commands become replies.

    no transaction --START--> open --COMMIT, ROLLBACK--> no transaction
                               |
                               +--refused command, timeout, KILL, failed log--> its commands come too late: opened.py
                               +--another commit--> open: a COMMIT will be a CONFLICT, and commands that succeed say so
                                                    meanwhile: notice.py

Outside a transaction every command is one of its own. What each does is in handlers/; here is what they have in
common: the limit, the login, the commits that the client has seen.

SNAPSHOT_GONE, where a transaction reads at a timestamp that retention has moved past, is an answer, as KEY_NOT_FOUND
is: it dooms nothing, and each read is told anew.
"""

from __future__ import annotations

from collections.abc import Callable

from mvcc_kv.errors import (
    AuthRequiredError,
    BadRequestError,
    Error,
    LimitExceededError,
    ReadOnlyError,
    UnknownCommandError,
)
from mvcc_kv.protocol import replies
from mvcc_kv.protocol.commands import Add, Auth, Command, Delete, Get, Help, History, Ping, Put, Quit, Scan
from mvcc_kv.protocol.framing import Line
from mvcc_kv.protocol.grammar import parse, verb_of
from mvcc_kv.protocol.guard import is_host_header
from mvcc_kv.server.feed import Feed
from mvcc_kv.server.handlers import HANDLERS
from mvcc_kv.server.handlers.conversation import leave
from mvcc_kv.server.opened import Opened, is_ending
from mvcc_kv.server.served import Services
from mvcc_kv.server.streams import Stream
from mvcc_kv.server.waiting import Wait

__all__ = ["Session"]

_DOOMING = (BadRequestError, UnknownCommandError, LimitExceededError, ReadOnlyError)
_NOTICED = frozenset((Get, Put, Delete, Add, Scan, History, Ping))
_WITHOUT_LOGIN = (Auth, Ping, Help, Quit)


class Session:
    """Executes a client's commands one after the other.

    `execute` returns a command's reply, or None if it comes later, through `answer_later`; until then
    no other command may be executed. Nor while it `has_more`: the reply has more lines, and `more` makes the next ones.
    But if it `gives_way`, a command may be executed, and ends it.
    `client` is what others are told of who this is. `effort`: how many keys the last command looked at, beyond one.
    `hold_ts`: replies wait until this commit is visible: they tell of it.

    The rest of its attributes are for its handlers. `opened`: the open transaction. `wait`: of a START for its turn.
    `seen_ts`: the newest commit that this client knows of; it must not read behind that. `spent_bytes`: by the command
    at hand and those before it in its transaction.
    """

    __slots__ = (
        "_stream",
        "active_at",
        "answer_later",
        "client",
        "effort",
        "has_more",
        "hold_ts",
        "is_locked",
        "opened",
        "seen_ts",
        "services",
        "speaks_http",
        "spent_bytes",
        "wait",
        "wants_to_close",
    )

    def __init__(self, services: Services, answer_later: Callable[[bytes], None], client: str | None = None) -> None:
        self.services = services
        self.client = client
        self.answer_later = answer_later
        self.opened: Opened | None = None
        self.wait: Wait | None = None
        self.is_locked = services.password is not None
        self.active_at = services.clock()
        self.spent_bytes = 0
        self.seen_ts = 0
        self.effort = 0
        self.hold_ts = 0
        self.wants_to_close = False
        self.speaks_http = False
        self.has_more = False
        self._stream: Stream | None = None

    @property
    def begun_at(self) -> float | None:
        """When the open transaction was begun, by the clock; None if there is none that could time out."""
        opened = self.opened
        return opened.begun_at if opened is not None and opened.is_running else None

    @property
    def start_ts(self) -> int | None:
        """The snapshot that the open transaction reads; None if there is none."""
        opened = self.opened
        return opened.transaction.start_ts if opened is not None and opened.is_running else None

    def execute(self, line: Line) -> bytes | None:
        """The reply to a command line, or None if it comes later."""
        if self._stream is not None:
            self._end_stream()
        opened = self.opened
        self.effort = 0
        try:
            if opened is not None:
                if (ended := opened.transaction.ended) is not None:
                    opened.end(ended)
                if opened.cause is not None:
                    return self._answer_too_late(opened, opened.cause, line)
            text = self._spend(line)
            command = parse(text)
            if self.is_locked and not isinstance(command, _WITHOUT_LOGIN):
                raise AuthRequiredError("this server wants a password: send AUTH first")
            reply = HANDLERS[type(command)](self, command)
            if opened is not None and reply is not None and type(command) in _NOTICED:
                return self._noticed(opened, type(command), reply)
            return reply
        except Error as error:
            if is_host_header(_text(line)):
                self.speaks_http = self.wants_to_close = True
                return b""
            if isinstance(error, _DOOMING):
                self._doom(error, verb_of(_text(line)))
            return replies.error_reply(error)

    @property
    def is_ready(self) -> bool:
        """Whether `more` would say something now."""
        return self._stream is not None and self._stream.is_ready

    @property
    def gives_way(self) -> bool:
        """Whether a command may be executed though the last one's reply has more lines."""
        return self._stream is not None and self._stream.gives_way

    @property
    def is_listening(self) -> bool:
        """Whether the client follows a feed."""
        return self.feed is not None

    @property
    def feed(self) -> Feed | None:
        """The feed that the client follows."""
        stream = self._stream
        return stream if isinstance(stream, Feed) else None

    def begin_stream(self, stream: Stream) -> bytes:
        """The first lines of a reply in many."""
        self._stream = stream
        self.has_more = True
        return self.more(0)

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

    def refusal(self, error: Error) -> bytes:
        """The reply that tells of the error."""
        return replies.error_reply(error)

    def expire(self, after_s: float) -> None:
        """Roll the open transaction back because it took too long; the client is told at its next command."""
        if self.opened is not None:
            self.opened.expire(after_s)

    def lose(self, cause: Error) -> None:
        """What this client saw beyond `visible_ts` will never be visible: forget it, and what was begun there."""
        self.seen_ts = self.hold_ts = 0
        visible_ts = self.services.store.visible_ts
        if self._stream is not None and self._stream.ts > visible_ts:
            self._end_stream()
        if self.opened is not None and self.opened.transaction.start_ts > visible_ts:
            self.opened.lose(cause)

    def close(self) -> None:
        """The client is gone: roll its transaction back."""
        self._end_stream()
        if self.wait is not None:
            self.wait.withdraw()
            self.wait = None
        if self.opened is not None:
            self.opened.rollback()
            self.opened = None

    def wait_for(self, commit_ts: int) -> None:
        """Our reply tells of this commit, so it, and what follows it, leaves when the commit is visible.

        Nothing waits for what can't arrive: an answer that tells of such a commit is an error anyway.
        """
        if commit_ts > self.services.store.visible_ts:
            commit_ts = min(commit_ts, self.services.store.reachable_ts)
        if commit_ts > self.seen_ts:
            self.seen_ts = commit_ts
        if commit_ts > self.hold_ts:
            self.hold_ts = commit_ts

    def _spend(self, line: Line) -> bytes:
        """Count the command against the limit; returns its text. Raises `LimitExceededError`."""
        opened, limit = self.opened, self.services.max_transaction_bytes
        actual = len(line) if isinstance(line, bytes) else line.actual_bytes
        if opened is not None:
            actual += opened.spent_bytes
        self.spent_bytes = actual
        if actual > limit and not (isinstance(line, bytes) and verb_of(line) == "ROLLBACK"):
            raise _overspent("a command" if opened is None else "a transaction's commands", limit, actual)
        if opened is not None:
            opened.spent_bytes = actual
        assert isinstance(line, bytes), "an overlong line is over the limit"
        return line

    def _doom(self, cause: Error, verb: str) -> None:
        if self.opened is not None:
            self.opened.doom(cause)
            if is_ending(verb):
                self.opened = None

    def _noticed(self, opened: Opened, kind: type[Command], reply: bytes) -> bytes:
        """The reply, with the early notice in it if the transaction is known to have lost."""
        notice = opened.notice
        assert notice is not None, "clients of this protocol are given them"
        exactly = kind is Ping or (kind is Delete and notice.is_given)
        said = notice.after(1 + self.effort, self.services.store.visible_ts, exactly=exactly)
        if exactly:
            self.effort += notice.keys
        return reply if said is None else replies.noticed(reply, said)

    def _answer_too_late(self, opened: Opened, cause: Error, line: Line) -> bytes | None:
        """The transaction has come to an end before this command."""
        verb = verb_of(_text(line))
        if verb == "QUIT":
            return leave(self, Quit())
        if verb == "START" and opened.gives_way:
            self.opened = None
            return self.execute(line)
        if opened.is_over_after(verb):
            self.opened = None
        return opened.answer(verb, cause)

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        self.has_more = False
        if stream is not None:
            stream.close()


def _overspent(what: str, limit: int, actual: int) -> LimitExceededError:
    return LimitExceededError(
        f"{what} may have {limit} bytes in all, not {actual}; start the server with a larger --max-transaction-bytes",
        limit=limit,
        actual=actual,
        setting="--max-transaction-bytes",
    )


def _text(line: Line) -> bytes:
    return line if isinstance(line, bytes) else line.beginning
