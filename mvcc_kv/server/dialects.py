"""Dialects: how a client's bytes become requests, and whose words the answers are in.

    first bytes                        dialect
    b"*1\\r\\n$4\\r\\nPING\\r\\n"            RESP
    b"SET a 1\\r\\n"                     RESP: an inline command that only Redis has
    b"PUT a 1\\n", b"GET a", b"PING\\n"  lines

A dialect is a parser (protocol/) with its session. A connection speaks one of them to its end; it begins with lines,
and `Sniffer` says when it must be the other one: before anything was executed, because the first line decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from mvcc_kv.errors import Error
from mvcc_kv.protocol.framing import Line, LineFramer
from mvcc_kv.protocol.guard import is_host_header, may_hold_host_header, speaks_http
from mvcc_kv.protocol.resp.hiredis_requests import request_parser
from mvcc_kv.protocol.resp.sniffing import is_redis_inline, speaks_resp
from mvcc_kv.server.feed import Feed
from mvcc_kv.server.redis.handlers import RedisSession
from mvcc_kv.server.served import Services
from mvcc_kv.server.session import Session
from mvcc_kv.server.settings import Settings

__all__ = ["Dialect", "LineDialect", "RespDialect", "Sniffer", "Speaker"]

_FIRST_LINE_BYTES_MAX = 64 * 1024


class Speaker(Protocol):
    """What a connection needs of a session, whatever it speaks; see `Session`.

    `active_at`: when the client last sent something, by the clock.
    """

    hold_ts: int
    seen_ts: int
    effort: int
    active_at: float
    speaks_http: bool
    wants_to_close: bool

    @property
    def begun_at(self) -> float | None: ...
    @property
    def has_more(self) -> bool: ...
    @property
    def is_ready(self) -> bool: ...
    @property
    def gives_way(self) -> bool: ...
    @property
    def feed(self) -> Feed | None: ...
    @property
    def is_listening(self) -> bool:
        """Whether the client has nothing to say because it follows what others do."""
        ...

    def execute(self, request: Any, /) -> bytes | None: ...
    def more(self, bytes_max: int) -> bytes: ...
    def refusal(self, error: Error) -> bytes:
        """The reply that tells of an error."""
        ...

    def finish(self) -> None: ...
    def expire(self, after_s: float) -> None: ...
    def lose(self, cause: Error) -> None: ...
    def close(self) -> None: ...


class Dialect(Protocol):
    """A connection's parser and session. What `receive`, `quiet` and `end` return is for the session to execute."""

    @property
    def session(self) -> Speaker: ...
    @property
    def is_unfinished(self) -> bool:
        """Whether silence could complete a request."""
        ...

    @property
    def is_plain(self) -> bool:
        """Whether the next commands are nothing but commands, and may be executed in a round."""
        ...

    @property
    def is_held(self) -> bool:
        """Whether there are more requests in what was received, which `receive(b"")` gives when these are executed."""
        ...

    def receive(self, data: bytes, *, is_burst_end: bool) -> list[Any]:
        """Take bytes in; the requests they complete. `is_burst_end` as in `LineFramer.receive`."""
        ...

    def quiet(self) -> list[Any]: ...
    def end(self) -> list[Any]: ...


class LineDialect:
    """The line protocol, with its guard against browsers."""

    __slots__ = ("_clock", "_framer", "_is_fresh", "session")

    def __init__(
        self, services: Services, settings: Settings, answer_later: Callable[[bytes], None], client: str | None
    ) -> None:
        self.session = Session(services, answer_later, client)
        self._clock = services.clock
        self._framer = LineFramer(line_bytes_max=settings.max_transaction_bytes, strict=settings.strict_lines)
        self._is_fresh = True  # nothing of its first line has come yet

    is_held = is_plain = False

    @property
    def is_unfinished(self) -> bool:
        return self._framer.is_unfinished

    def receive(self, data: bytes, *, is_burst_end: bool) -> list[Line]:
        self.session.active_at = self._clock()
        return self._guarded(self._framer.receive(data, is_burst_end=is_burst_end), data)

    def quiet(self) -> list[Line]:
        return self._guarded(self._framer.quiet())

    def end(self) -> list[Line]:
        return self._guarded(self._framer.end())

    def _guarded(self, lines: list[Line], data: bytes = b"") -> list[Line]:
        """The lines, or none if this is a browser."""
        if not lines:
            return lines
        if (self._is_fresh or may_hold_host_header(data)) and speaks_http(lines, from_the_first=self._is_fresh):
            self.session.speaks_http = self.session.wants_to_close = True
            return []
        self._is_fresh = False
        return lines


class RespDialect:
    """Redis's protocol, with Redis's commands."""

    __slots__ = ("_clock", "_has_failed", "_house", "_parser", "session")

    def __init__(
        self,
        services: Services,
        answer_later: Callable[[bytes], None],
        push: Callable[[bytes], None],
        client: str | None,
        hang_up: Callable[[], None],
    ) -> None:
        self.session = RedisSession(services, answer_later, push, client, hang_up)
        self._house = services.redis
        self._clock = services.clock
        self._parser = request_parser(members_max=self._house.settings.max_array_members)
        self._has_failed = False

    is_unfinished = False  # silence ends nothing here

    @property
    def is_plain(self) -> bool:
        return not self._parser.is_unfinished and self.session.is_plain

    def receive(self, data: bytes, *, is_burst_end: bool) -> list[Any]:
        """Commands; behind them, where the bytes made no sense any more, what is wrong with them."""
        self.session.active_at, self.session.received_bytes = self._clock(), len(data)
        parser = self._parser
        parser.is_authenticated = not self.session.is_locked
        parser.bulk_bytes_max = self._house.bulk_bytes_max
        requests: list[Any] = parser.receive(data)
        if may_hold_host_header(data) and any(is_host_header(arguments[0]) for arguments in requests):
            self.session.speaks_http = self.session.wants_to_close = True
            return []
        if parser.error is not None and not self._has_failed:
            self._has_failed = True
            requests.append(parser.error)
        return requests

    @property
    def is_held(self) -> bool:
        """Whether requests that have come wait for those before them: they may be logging in."""
        return self._parser.is_held

    def quiet(self) -> list[Any]:
        return []

    def end(self) -> list[Any]:
        return []


class Sniffer:
    """Keeps a new connection's first bytes until they tell what it speaks."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first = b""

    def speaks_resp(self, data: bytes) -> bool | None:
        """Whether the connection that sent this, too, speaks RESP; None if nobody can say yet."""
        first = self._first = self._first + data
        if speaks_resp(first):
            return True
        begun = first.lstrip(b"\r\n")
        if b"\n" in begun or len(begun) > _FIRST_LINE_BYTES_MAX:
            return is_redis_inline(begun)
        return None

    @property
    def first(self) -> bytes:
        """Everything that came so far."""
        return self._first
