"""A connection without its socket: bytes in, replies out, both bounded.

    receive() -> dialect's parser -> requests waiting -> run(): its session -> output, which the loop sends

`run` executes a bounded number of commands, those that look at many keys counting for several, so that nobody
starves, and stops at a command whose reply comes later, or while the client leaves too much of its output unread. A
reply of many lines is a helping of them a run, under the same conditions. As long as requests wait, the loop reads no
more: so what a connection holds is what one `receive` brought, an unfinished request, and its output up to the high
mark and one reply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from mvcc_kv.errors import Error
from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.dialects import Dialect, LineDialect, RespDialect, Sniffer, Speaker
from mvcc_kv.server.served import Services
from mvcc_kv.server.settings import Settings

__all__ = ["Connection"]

# To look at so many keys counts as a command: 256 a turn are some four thousand keys, a SCAN of 2,000 being 126.
KEYS_PER_COMMAND = 16

# About so much is sent at once.
SEND_BYTES = 256 * 1024


class Connection:
    """One client, as the loop drives it."""

    __slots__ = (
        "_commands_per_turn",
        "_dialect",
        "_has_ended",
        "_held",
        "_held_bytes",
        "_is_answer_awaited",
        "_is_cut",
        "_output",
        "_output_high_bytes",
        "_requests",
        "_sniffer",
        "_speak_resp",
        "_store",
        "_visible_ts",
        "has_been_pushed",
        "on_answer",
        "output_bytes",
        "session",
    )

    def __init__(self, services: Services, settings: Settings, client: str | None = None) -> None:
        self.on_answer: Callable[[], None] = lambda: None  # called when a reply that was to come later has come
        self._dialect: Dialect = LineDialect(services, settings, self._answer, client)
        self._sniffer: Sniffer | None = Sniffer()
        self._speak_resp = partial(RespDialect, services, self._answer, self._push, client, self._hang_up)
        self.session: Speaker = self._dialect.session
        self._commands_per_turn = settings.commands_per_turn
        self._output_high_bytes = settings.output_high_bytes
        self._requests: deque[Any] = deque()
        self._store = services.store
        self._visible_ts = 0  # the newest commit of which this connection knows that it is visible; it stays so
        self._output: deque[bytes] = deque()
        self._held: deque[tuple[int, bytes]] = deque()  # replies that wait for a commit to become visible
        self._held_bytes = 0
        self.output_bytes = 0
        self._is_answer_awaited = False
        self._has_ended = False
        self.has_been_pushed = False  # its output grows without its asking
        self._is_cut = False

    # In

    def receive(self, data: bytes, *, is_burst_end: bool) -> None:
        """Take in what the client sent; `is_burst_end` as in `LineFramer.receive`."""
        if self._sniffer is not None:
            data = self._sniff(self._sniffer, data)
        self._take(self._dialect.receive(data, is_burst_end=is_burst_end))

    @property
    def is_plain(self) -> bool:
        """Whether what it sends next may be executed in a round with others; see `rounds.py`."""
        if self._requests or self._held or self.output_bytes or self._is_answer_awaited or self._sniffer is not None:
            return False
        return self._dialect.is_plain and not self._is_over and not self._is_cut

    @property
    def is_silent(self) -> bool:
        """Whether nothing is left to do, and nothing to be said, before the client says more."""
        if (
            self._requests
            or self._held
            or self.output_bytes
            or self._is_answer_awaited
            or self._has_ended
            or self._is_cut
        ):
            return False
        session = self.session
        return not session.has_more and not session.wants_to_close and session.feed is None

    @property
    def is_answered(self) -> bool:
        """Whether nothing is left to do but to send its output, in one go."""
        is_through = not self._requests and not self._held and not self._is_answer_awaited and not self.session.has_more
        is_open = not self._is_over and not self._is_cut and self.session.feed is None
        return is_through and is_open and 0 < self.output_bytes <= SEND_BYTES

    def hold(self, replies: bytes, commit_ts: int) -> None:
        """A round has executed commands of this client: what it answers tells of that commit, or stands behind it."""
        self.session.seen_ts = self.session.hold_ts = commit_ts
        self._held.extend(
            (commit_ts, reply) for reply in resp.each(replies)
        )  # should they be refused, it is one by one
        self._held_bytes += len(replies)

    def go_on(self, data: bytes) -> None:
        """A round has come as far as this: the rest is for the session."""
        self._take(self._dialect.receive(data, is_burst_end=True))

    def _sniff(self, sniffer: Sniffer, data: bytes) -> bytes:
        """Find out what is spoken here; what the dialect that it is has to receive now."""
        is_resp = sniffer.speaks_resp(data)
        if is_resp is not None:
            self._sniffer = None
        if not is_resp:
            return data
        self._dialect.session.close()
        self._dialect = self._speak_resp()
        self.session = self._dialect.session
        return sniffer.first

    def quiet(self) -> None:
        """Nothing has come for a while: that ends the last line of a client that sends no newline behind it."""
        self._take(self._dialect.quiet())
        if self._requests:
            self._sniffer = None

    def end(self) -> None:
        """The client will send no more; it may still read."""
        self._take(self._dialect.end())
        self._has_ended = True
        self.session.finish()

    def stop(self) -> None:
        """We will take in no more: what has come whole is finished, half a line is not for us to end."""
        self._has_ended = True
        self.session.finish()

    def _take(self, requests: list[Any]) -> None:
        if self.session.speaks_http:
            self._requests.clear()
        elif not self.session.wants_to_close:
            self._requests.extend(requests)

    # Running

    @property
    def wants_quiet(self) -> bool:
        """Whether a request waits for its end, which may be silence."""
        return self._dialect.is_unfinished and self.can_receive

    @property
    def is_served(self) -> bool:
        """Whether it is the server's turn: a command is under way, or waits for nothing but its own turn."""
        return self._is_answer_awaited or self.can_run

    @property
    def can_run(self) -> bool:
        """Whether `run` would execute something now."""
        session = self.session
        if session.has_more and not (self._requests and session.gives_way):
            # One reply at most is held: should it have to be refused, that is one.
            return session.is_ready and not self._held and self._has_room
        return bool(self._requests) and not self._is_answer_awaited and self._has_room

    @property
    def can_receive(self) -> bool:
        """Whether there is room for more from the client."""
        session = self.session
        if session.has_more and not session.gives_way:
            return False
        return not self._requests and not self._is_over and self._has_room

    @property
    def _has_room(self) -> bool:
        return self.output_bytes + self._held_bytes < self._output_high_bytes

    @property
    def is_held(self) -> bool:
        """Whether replies wait for a commit to become visible."""
        return bool(self._held)

    @property
    def is_done(self) -> bool:
        """Whether the socket can be closed: everything that will be said has been said."""
        if self.session.speaks_http or self._is_cut:
            return True
        has_answers = not self._requests and not self.session.has_more and not self._is_answer_awaited
        return self._is_over and has_answers and not self.output_bytes and not self._held

    @property
    def _is_over(self) -> bool:
        """Whether nothing more is taken in, because of either side."""
        return self._has_ended or self.session.wants_to_close

    def run(self) -> None:
        """Execute waiting commands: one turn's worth."""
        requests = self._requests
        if self._say_more():
            return
        session, high_bytes = self.session, self._output_high_bytes
        left = self._commands_per_turn
        while requests and left > 0:
            if self._is_answer_awaited or self.output_bytes + self._held_bytes >= high_bytes:
                return
            request = requests.popleft()
            self._is_answer_awaited = True  # a reply that comes later may come while the command is executed
            reply = session.execute(request)
            left -= 1 + session.effort // KEYS_PER_COMMAND
            if reply is None:
                continue
            self._is_answer_awaited = False
            self._say(reply)
            if session.wants_to_close:
                requests.clear()
                return
            if session.has_more:
                if self._has_ended:
                    session.finish()
                return
        if not requests and self._dialect.is_held:
            self._take(self._dialect.receive(b"", is_burst_end=True))

    def _say_more(self) -> bool:
        """Say the next lines of a reply in many; whether it was its turn."""
        session = self.session
        if not session.has_more or (self._requests and session.gives_way):
            return False
        said = session.more(self._output_high_bytes - self.output_bytes - self._held_bytes)
        if said:
            self._say(said)
        return True

    def _answer(self, reply: bytes) -> None:
        """The reply that was to come later."""
        self._is_answer_awaited = False
        self._say(reply)
        self.on_answer()

    def _push(self, said: bytes) -> None:
        """Something that the client didn't ask for."""
        self._say(said)
        self.has_been_pushed = True
        self.on_answer()

    def _hang_up(self) -> None:
        """Nothing is said or done any more: somebody killed this connection."""
        self._is_cut = True
        self._requests.clear()
        self.on_answer()

    def _say(self, reply: bytes) -> None:
        hold_ts = self.session.hold_ts
        if hold_ts > self._visible_ts:
            self._visible_ts = self._store.visible_ts
        if hold_ts > self._visible_ts:
            self._held.append((hold_ts, reply))
            self._held_bytes += len(reply)
            return
        if self._held:
            self.release(self._store.visible_ts)  # what stands before it comes before it
        self._append(reply)

    def release(self, visible_ts: int) -> None:
        """Commits up to `visible_ts` are visible: the replies that waited for them may leave."""
        held = self._held
        while held and held[0][0] <= visible_ts:
            reply = held.popleft()[1]
            self._held_bytes -= len(reply)
            self._append(reply)

    def refuse_held(self, error: Error) -> None:
        """What is not visible yet never will be: a held reply is an error instead, and the session forgets it."""
        self.release(self._store.visible_ts)
        reply = self.session.refusal(error)
        for _ in self._held:
            self._append(reply)
        self._held.clear()
        self._held_bytes = 0
        self.session.lose(error)

    # Out

    def _append(self, reply: bytes) -> None:
        """Put a reply behind the output, in pieces if it is long: what is given back is then little."""
        self.output_bytes += len(reply)
        if len(reply) <= SEND_BYTES:
            self._output.append(reply)
        else:
            self._output.extend(reply[at : at + SEND_BYTES] for at in range(0, len(reply), SEND_BYTES))

    def take_output(self) -> bytes:
        """What to send next, not all of it if it is much; what could not be sent is given back with `put_back`."""
        output = self._output
        if len(output) == 1:
            data = output.popleft()
        else:
            parts, length = [], 0
            while output and length < SEND_BYTES:
                parts.append(output.popleft())
                length += len(parts[-1])
            data = b"".join(parts)
        self.output_bytes -= len(data)
        return data

    def put_back(self, unsent: bytes) -> None:
        """The end of what `take_output` gave, which the client has no room for yet."""
        if unsent:
            self._output.appendleft(unsent)
            self.output_bytes += len(unsent)

    def close(self) -> None:
        """The socket is gone: roll back, forget what waits."""
        self.on_answer = lambda: None
        self._requests.clear()
        self._output.clear()
        self._held.clear()
        self.output_bytes = self._held_bytes = 0
        self.session.close()
