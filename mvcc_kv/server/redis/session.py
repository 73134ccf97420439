"""A Redis session: one client's commands become replies.

    no transaction --MULTI--> queueing --EXEC, DISCARD--> no transaction
         |                       +--a command that can't be--> dirty: EXEC discards it all
         |
         +--START--> open --COMMIT, ROLLBACK--> no transaction
                      +--an error reply--> doomed: nothing of it is applied, and COMMIT says so

Queued commands run at EXEC, beside each other in one commit at the newest state, as in Redis. Between START and COMMIT
each runs at once, in a snapshot that doesn't change. WATCH is a transaction of ours that only waits: see `watching.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from mvcc_kv.errors import ConflictError, Error, TransactionDoomedError
from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.protocol.resp.requests import ProtocolError
from mvcc_kv.server.feed import Feed
from mvcc_kv.server.opened import Opened
from mvcc_kv.server.redis.commands import COMMANDS, Command
from mvcc_kv.server.redis.failures import Failure, failure_of, wrong_arity
from mvcc_kv.server.redis.keyspace import Reading, Space, Within, Writing
from mvcc_kv.server.redis.watching import Watch
from mvcc_kv.server.served import Services

__all__ = ["RedisSession"]

_NAME_SHOWN_MAX = 128
_EXECUTED_AT_ONCE = frozenset(("exec", "discard", "multi", "watch", "quit", "reset"))


class RedisSession:
    """Executes a client's commands one after the other; satisfies `dialects.Speaker`.

    `answer_later`: for a reply that `execute` didn't give. `push`: for what the client has not asked for.

    The rest is for its handlers. `space`: what the command at hand reads and writes. `proto`: 2 or 3. `queue`: the
    commands since MULTI; `is_dirty`: one of them can't be. `watch`: what it watches. `opened`: its transaction of ours.
    `last_conflict`: for CONFLICT LAST. `seen_ts`, `hold_ts`: as in `Session`.
    """

    __slots__ = (
        "address",
        "answer_later",
        "created_at",
        "effort",
        "hold_ts",
        "house",
        "id",
        "is_dirty",
        "is_locked",
        "last_conflict",
        "name",
        "opened",
        "proto",
        "push",
        "queue",
        "seen_ts",
        "services",
        "space",
        "speaks_http",
        "wants_to_close",
        "watch",
    )

    def __init__(
        self,
        services: Services,
        answer_later: Callable[[bytes], None],
        push: Callable[[bytes], None],
        client: str | None = None,
    ) -> None:
        self.services = services
        self.house = services.redis
        self.address = client
        self.answer_later = answer_later
        self.push = push
        self.id = self.house.enter(self)
        self.name = b""
        self.created_at = services.clock()
        self.proto = 2
        self.space: Space = Reading(services.store, 0)
        self.queue: list[tuple[Command, list[bytes]]] | None = None
        self.is_dirty = False
        self.watch: Watch | None = None
        self.opened: Opened | None = None
        self.last_conflict: ConflictError | None = None
        self.is_locked = services.password is not None
        self.seen_ts = 0
        self.hold_ts = 0
        self.effort = 0
        self.wants_to_close = False
        self.speaks_http = False

    # What a connection asks

    has_more = is_ready = gives_way = False
    feed: Feed | None = None

    @property
    def begun_at(self) -> float | None:
        """When the open transaction was begun, by the clock; None if there is none that could time out."""
        opened = self.opened
        return opened.begun_at if opened is not None and opened.is_running else None

    def more(self, bytes_max: int) -> bytes:
        raise AssertionError("no reply of Redis's comes in pieces")

    def refusal(self, error: Error) -> bytes:
        return resp.error(failure_of(error).text)

    def finish(self) -> None:
        """The client will ask for nothing more."""

    def expire(self, after_s: float) -> None:
        """Roll the open transaction back because it took too long; the client is told at its next command."""
        if self.opened is not None:
            self.opened.expire(after_s)

    def lose(self, cause: Error) -> None:
        """What this client saw beyond `visible_ts` will never be visible: forget it, and what was begun there."""
        self.seen_ts = self.hold_ts = 0
        if self.opened is not None and self.opened.transaction.start_ts > self.services.store.visible_ts:
            self.opened.lose(cause)

    def close(self) -> None:
        """The client is gone: roll its transaction back."""
        self.house.leave(self)
        self.forget()

    def forget(self) -> None:
        """End every transaction, of whatever kind."""
        self.discard()
        if self.opened is not None:
            self.opened.rollback()
            self.opened = None

    def discard(self) -> None:
        """Forget the queued commands, and what is watched."""
        self.queue, self.is_dirty = None, False
        self.unwatch()

    def unwatch(self) -> None:
        if self.watch is not None:
            self.watch.end()
            self.watch = None

    # Commands

    def execute(self, arguments: list[bytes] | ProtocolError) -> bytes | None:
        """The reply to a command, or None if it comes later. To what is none, it's the last one."""
        self.effort = 0
        if isinstance(arguments, ProtocolError):
            self.wants_to_close = True
            return arguments.reply
        try:
            command = self._find(arguments)
            self._must_be_allowed(command)
        except Failure as failure:
            self.is_dirty = self.is_dirty or self.queue is not None
            self._doom(failure)
            return resp.error(failure.text)
        if self.queue is not None and command.name not in _EXECUTED_AT_ONCE:
            self.queue.append((command, arguments))
            return resp.QUEUED
        try:
            if self.opened is not None:
                return self._run_in_transaction(self.opened, command, arguments)
            return self._run(command, arguments)
        except Failure as failure:
            return resp.error(failure.text)
        except Error as error:
            return self.refusal(error)

    def _find(self, arguments: list[bytes]) -> Command:
        name = arguments[0]
        command = COMMANDS.get(name) or COMMANDS.get(name.lower())
        if command is None:
            self._notice_http(name)
            raise _unknown(arguments)
        if command.subcommands and len(arguments) > 1:
            found = command.subcommands.get(arguments[1].lower())
            if found is None:
                raise Failure(f"ERR unknown subcommand '{_shown(arguments[1])}'. Try {command.name.upper()} HELP.")
            command = found
        if not command.takes(len(arguments)):
            raise wrong_arity(command.name)
        return command

    def _must_be_allowed(self, command: Command) -> None:
        if self.is_locked and "no_auth" not in command.flags:
            raise Failure("NOAUTH Authentication required.")
        if self.queue is not None and "no_multi" in command.flags:
            raise Failure("ERR Command not allowed inside a transaction")

    def _notice_http(self, name: bytes) -> None:
        """A browser that was tricked into talking to us is not talked to."""
        if name.lower() in (b"post", b"host:"):
            self.speaks_http = self.wants_to_close = True

    def _run(self, command: Command, arguments: list[bytes]) -> bytes | None:
        """A command that is a transaction of its own."""
        store = self.services.store
        if not command.writes:
            self.space = Reading(store, self.seen_ts)
            return self.called(command, arguments)
        rests_on_ts = store.commit_ts
        space = self.space = Writing(store)
        try:
            reply = self.called(command, arguments)
            space.commit()
        finally:
            self.wait_for(store.commit_ts if space.writes else rests_on_ts)
        return reply

    def called(self, command: Command, arguments: list[bytes]) -> bytes | None:
        """The handler's reply, in the `space` that is set."""
        calls = self.house.calls
        calls[command.name] = calls.get(command.name, 0) + 1
        return command.handler(self, arguments)

    def wait_for(self, commit_ts: int) -> None:
        """As in `Session`: the reply tells of this commit, so it leaves when that is visible."""
        commit_ts = min(commit_ts, self.services.store.reachable_ts)
        self.seen_ts = max(self.seen_ts, commit_ts)
        self.hold_ts = max(self.hold_ts, commit_ts)

    # In a transaction of ours

    def _run_in_transaction(self, opened: Opened, command: Command, arguments: list[bytes]) -> bytes | None:
        if (ended := opened.transaction.ended) is not None:
            opened.end(ended)
        if opened.cause is not None:
            return self._answer_too_late(opened, opened.cause, command)
        self.space = Within(self.services.store, opened.transaction)
        try:
            return self.called(command, arguments)
        except Failure as failure:
            self._doom(failure)
            raise
        except Error as error:
            self._doom(failure_of(error))
            raise

    def _doom(self, failure: Failure) -> None:
        """All or nothing: what was refused, whatever it is, must not be missing from what is applied."""
        opened = self.opened
        if opened is not None and opened.cause is None:
            code, _, message = failure.text.partition(" ")
            opened.doom(TransactionDoomedError(failure.text, cause={"code": code, "message": message}))

    def _answer_too_late(self, opened: Opened, cause: Error, command: Command) -> bytes:
        verb = command.name.upper()
        if opened.is_over_after(verb) or verb in ("QUIT", "RESET"):
            self.opened = None
        if verb == "ROLLBACK":
            return resp.OK
        opened.answer(verb, cause)
        raise AssertionError("only ROLLBACK has an answer")


def _unknown(arguments: list[bytes]) -> Failure:
    shown, left = "", _NAME_SHOWN_MAX
    for argument in arguments[1:]:
        if len(shown) >= _NAME_SHOWN_MAX:
            break
        shown += f"'{_shown(argument[: left - len(shown)])}' "
    return Failure(f"ERR unknown command '{_shown(arguments[0][:_NAME_SHOWN_MAX])}', with args beginning with: {shown}")


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
