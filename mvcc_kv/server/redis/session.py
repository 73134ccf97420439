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
from time import perf_counter

from mvcc_kv.errors import ConflictError, Error, TransactionDoomedError
from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.protocol.resp.requests import ProtocolError
from mvcc_kv.server.feed import Feed
from mvcc_kv.server.opened import Opened
from mvcc_kv.server.redis.commands import COMMANDS, Command
from mvcc_kv.server.redis.counting import Tally
from mvcc_kv.server.redis.failures import Failure, failure_of, wrong_arity
from mvcc_kv.server.redis.finding import command_of, must_be_allowed
from mvcc_kv.server.redis.keyspace import Reading, Space, Within, Writing
from mvcc_kv.server.redis.seats import Seat
from mvcc_kv.server.redis.silence import Silence, executed_specially
from mvcc_kv.server.redis.subscriptions import Subscriptions
from mvcc_kv.server.redis.watching import Watch
from mvcc_kv.server.served import ServedTransaction, Services

__all__ = ["RedisSession"]


class RedisSession:
    """Executes a client's commands one after the other; satisfies `dialects.Speaker`.

    `answer_later`: for a reply that `execute` didn't give. `push`: for what the client has not asked for. `hang_up`:
    to end the connection at once, whatever is under way.

    The rest is for its handlers. `space`: what the command at hand reads and writes. `proto`: 2 or 3. `queue`: the
    commands since MULTI; `is_dirty`: one of them can't be; `is_in_batch`: EXEC runs them. `watch`: what it watches.
    `opened`: its transaction of ours; `inside`: what is read and written in it; `seat`: in the quick lane.
    `last_conflict`: for CONFLICT LAST; `lost_to_ts`: who won it. `seen_ts`, `hold_ts`: as in `Session`. `silence`:
    which replies it wants. `told`: messages that stand before the reply at hand, inside EXEC's; None where they need no
    place. `subscriptions`: its channels. `last`: the command before. `active_at`: when it last sent something, of
    `received_bytes`. `library`: what CLIENT SETINFO said. `flags`: letters, as CLIENT LIST shows them.
    """

    __slots__ = (
        "_reading",
        "_writing",
        "active_at",
        "address",
        "answer_later",
        "created_at",
        "effort",
        "flags",
        "hang_up",
        "hold_ts",
        "house",
        "id",
        "inside",
        "is_dirty",
        "is_in_batch",
        "is_locked",
        "last",
        "last_conflict",
        "library",
        "lost_to_ts",
        "name",
        "opened",
        "proto",
        "push",
        "queue",
        "received_bytes",
        "seat",
        "seen_ts",
        "services",
        "silence",
        "space",
        "speaks_http",
        "subscriptions",
        "told",
        "wants_to_close",
        "watch",
    )

    def __init__(
        self,
        services: Services,
        answer_later: Callable[[bytes], None],
        push: Callable[[bytes], None],
        client: str | None = None,
        hang_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.services = services
        self.house = services.redis
        self.address = client
        self.answer_later = answer_later
        self.push = push
        self.hang_up = hang_up
        self.id = self.house.enter(self)
        self.name = b""
        self.created_at = self.active_at = services.clock()
        self.received_bytes = 0
        self.proto = 2
        self._reading = Reading(services.store, 0, self.house.lookups)
        self._writing = Writing(services.store)
        self.space: Space = self._reading
        self.queue: list[tuple[Command, list[bytes]]] | None = None
        self.is_dirty = False
        self.is_in_batch = False
        self.watch = Watch(services.store, client)
        self.opened: Opened | None = None
        self.inside: Space = self._reading
        self.seat = Seat(self)
        self.last_conflict: ConflictError | None = None
        self.lost_to_ts = 0
        self.last: Command | None = None
        self.library: dict[str, bytes] = {}
        self.flags: set[str] = set()
        self.silence = Silence.NONE
        self.subscriptions: Subscriptions | None = None
        self.told: list[bytes] | None = None
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
    def is_listening(self) -> bool:
        return self.subscriptions is not None

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
        self.seen_ts = self.hold_ts = self.lost_to_ts = 0
        if self.opened is not None and self.opened.transaction.start_ts > self.services.store.visible_ts:
            self.opened.lose(cause)

    def close(self) -> None:
        """The client is gone: roll its transaction back."""
        self.house.leave(self)
        self.unsubscribe()
        self.forget()

    def kill(self) -> None:
        """End the client's connection, from outside."""
        self.wants_to_close = True
        self.close()
        self.hang_up()

    def tell(self, message: bytes) -> None:
        """Say what was published; to who publishes it itself, right before its command's reply."""
        if self.told is None:
            self.push(message)
        else:
            self.told.append(message)

    def unsubscribe(self) -> None:
        """Hear of no channel any more."""
        if self.subscriptions is not None:
            self.house.exchange.forget(self, self.subscriptions)
            self.subscriptions = None

    def forget(self) -> None:
        """End every transaction, of whatever kind."""
        self.discard()
        opened = self.take_opened()
        if opened is not None:
            opened.rollback()

    def discard(self) -> None:
        """Forget the queued commands, and what is watched."""
        self.queue, self.is_dirty = None, False
        self.unwatch()

    def unwatch(self) -> None:
        self.watch.end()

    # Commands

    @property
    def is_plain(self) -> bool:
        """Whether a command is nothing but a command: no state of this session, but what the lane knows, changes it."""
        return (
            self.queue is None
            and (self.opened is None or (self.seat.transaction is not None and self.opened.is_running))
            and not self.is_locked
            and not self.silence
            and self.subscriptions is None
            and not self.wants_to_close
            and self.seen_ts <= self.services.store.visible_ts
        )

    def execute(self, arguments: list[bytes] | ProtocolError, *, is_special: bool | None = None) -> bytes | None:
        """The reply to a command, or None if it comes later. To what is none, it's the last one."""
        self.effort = 0
        if isinstance(arguments, ProtocolError):
            self.wants_to_close = True
            return arguments.reply
        if is_special is None and (self.silence or self.house.pause is not None):
            return executed_specially(self, arguments)
        command, queue = None, self.queue
        try:
            found = COMMANDS.get(arguments[0])
            if found is None or found.subcommands:
                found = command_of(self, arguments)
            command = self.last = found
            count, arity = len(arguments), command.arity
            if count != arity and (arity >= 0 or count < -arity):
                raise wrong_arity(command.name)
            if self.is_locked or self.subscriptions is not None or (queue is not None and not command.may_be_queued):
                must_be_allowed(self, command)
        except Failure as failure:
            self.is_dirty = self.is_dirty or queue is not None
            self._doom(failure)
            return self._refused(command, failure)
        if queue is not None and command.is_queued:
            queue.append((command, arguments))
            return resp.QUEUED
        try:
            opened = self.opened
            if opened is not None and command.heeds_transaction:
                if opened.cause is not None or opened.transaction.ended is not None:
                    return self._answer_too_late(opened, command)
                self.space = self.inside
            elif command.writes:
                return self._run_writing(command, arguments)
            else:
                reading = self.space = self._reading
                reading.seen_ts = self.seen_ts
            return self.called(command, arguments)
        except Failure as failure:
            return self._broken_off(command, failure)
        except Error as error:
            return self._broken_off(command, failure_of(error))

    def resume(self, arguments: list[bytes]) -> None:
        """Execute what was put off, if the client is still there."""
        if self.id in self.house.sessions:
            reply = self.execute(arguments)
            if reply is not None:
                self.answer_later(reply)

    def say_later(self, reply: bytes) -> None:
        """The reply that `execute` didn't give; nothing, for a client that wants none."""
        self.answer_later(b"" if self.silence is Silence.OFF else reply)

    def _refused(self, command: Command | None, failure: Failure) -> bytes:
        """The reply to what was not even tried."""
        if command is not None:
            self.house.tally(command).rejected += 1
            if command.name == "exec":
                self.discard()
                why = failure.text.removeprefix("ERR ")
                failure = Failure(f"EXECABORT Transaction discarded because of: {why}")
        self.house.count_error(failure.text)
        return resp.error(failure.text)

    def _broken_off(self, command: Command, failure: Failure) -> bytes:
        """The same, and with it the open transaction, if there is one, is lost."""
        self._doom(failure)
        return self.failed(command, failure)

    def failed(self, command: Command, failure: Failure) -> bytes:
        """The reply of a command that failed."""
        self.house.tally(command).failed += 1
        self.house.count_error(failure.text)
        return resp.error(failure.text)

    def _run_writing(self, command: Command, arguments: list[bytes]) -> bytes | None:
        store = self.services.store
        rests_on_ts = store.commit_ts
        space = self.space = self.begin_writing()
        try:
            reply = self.called(command, arguments)
            space.commit()
        finally:
            self.wait_for(store.commit_ts if space.has_written else rests_on_ts)
        return reply

    def begin_reading(self) -> Reading:
        """What a reading command looks at, now."""
        reading = self._reading
        reading.seen_ts = self.seen_ts
        return reading

    def begin_writing(self) -> Writing:
        """What a writing command reads and writes, with nothing written yet."""
        self._writing.begin()
        return self._writing

    def called(self, command: Command, arguments: list[bytes]) -> bytes | None:
        """The handler's reply, in the `space` that is set."""
        tally = self.house.tallies.get(command.name) or self.house.tally(command)
        calls = tally.calls
        tally.calls = calls + 1
        if calls & tally.untimed:
            return command.handler(self, arguments)
        return self._called_by_the_clock(tally, command, arguments)

    def _called_by_the_clock(self, tally: Tally, command: Command, arguments: list[bytes]) -> bytes | None:
        began_s = perf_counter()
        reply = command.handler(self, arguments)
        took_s = perf_counter() - began_s
        tally.timed += 1
        tally.seconds += took_s
        if took_s >= self.house.slow_s:
            self.house.slowlog.note(self, command, arguments, took_s)
        return reply

    def wait_for(self, commit_ts: int) -> None:
        """As in `Session`: the reply tells of this commit, so it leaves when that is visible."""
        if commit_ts <= self.hold_ts and commit_ts <= self.seen_ts:
            return
        store = self.services.store
        if commit_ts > store.visible_ts:
            commit_ts = min(commit_ts, store.reachable_ts)
        if commit_ts > self.seen_ts:
            self.seen_ts = commit_ts
        if commit_ts > self.hold_ts:
            self.hold_ts = commit_ts

    # In a transaction of ours

    def open(self, transaction: ServedTransaction) -> None:
        """From now on, and until it is taken, commands are executed in this transaction."""
        self.opened = Opened(transaction, self.services.clock(), 0)
        self.inside = Within(self.services.store, transaction)
        self.seat.take(transaction)

    def take_opened(self) -> Opened | None:
        """The open transaction, which nothing is executed in any more; None if there is none."""
        opened, self.opened = self.opened, None
        self.inside, self.seat.transaction = self._reading, None
        return opened

    def _doom(self, failure: Failure) -> None:
        """All or nothing: what was refused, whatever it is, must not be missing from what is applied."""
        opened = self.opened
        if opened is not None and opened.cause is None:
            code, _, message = failure.text.partition(" ")
            opened.doom(TransactionDoomedError(failure.text, cause={"code": code, "message": message}))

    def _answer_too_late(self, opened: Opened, command: Command) -> bytes:
        """The transaction has come to an end before this command."""
        if opened.transaction.ended is not None:
            opened.end(opened.transaction.ended)
        verb, cause = command.name.upper(), opened.cause
        assert cause is not None, "it has come to an end"
        if opened.is_over_after(verb):
            self.take_opened()
        if verb == "ROLLBACK":
            return resp.OK
        opened.answer(verb, cause)
        raise AssertionError("only ROLLBACK has an answer")
