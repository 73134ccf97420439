"""One connection to a server: a non-blocking socket, and deadlines, around a `Conversation`.

A request is sent and its replies are read at the same time. That matters for long ones: a server stops
reading from a client that lets replies pile up, and a client that only sent would wait for it for ever.

Whatever goes wrong under a request, be it the socket, the deadline or a reply that is none, the
connection is closed, because nobody could tell the next reply's command. It stays closed; there is no
reconnecting here. What the loss means depends on how far the request got: `ConnectionLostError.unsent_bytes`.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

import msgspec

from mvcc_kv.client.core import Conversation, GarbageError, Reply
from mvcc_kv.client.encoding import encode_command
from mvcc_kv.errors import BadRequestError, Error, UnavailableError

__all__ = ["Address", "Connection", "ConnectionLostError", "nothing"]

T = TypeVar("T")
DEFAULT_PORT = 8080
RECEIVE_BYTES = 256 * 1024

# Where there is poll(), it knows no limit on descriptor numbers, and costs no descriptor of its own.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


_ADDRESS = re.compile(r"(?P<host>\[[^][]+\]|[^][:]+)(?::(?P<port>[0-9]{1,5}))?").fullmatch


class Address(NamedTuple):
    """Where a server listens.

    >>> [str(Address.parse(text)) for text in ("localhost", "127.0.0.1:9000", "[::1]:9000", "::1")]
    ['localhost:8080', '127.0.0.1:9000', '[::1]:9000', '[::1]:8080']
    """

    host: str
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address in `host`, `host:port` or `[IPv6]:port`. Raises `BadRequestError`."""
        bracketed = f"[{text}]" if text.count(":") > 1 and "[" not in text else text
        found = _ADDRESS(bracketed)
        if found is None or not 0 < int(found["port"] or DEFAULT_PORT) < 65536:
            raise BadRequestError(f"an address is host, host:port or [IPv6]:port, not {text!r}")
        return cls(found["host"].strip("[]"), int(found["port"] or DEFAULT_PORT))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ConnectionLostError(UnavailableError):
    """The connection failed under a request. Of that request, `unsent_bytes` never reached the socket.

    `died` tells a connection that ended from a server that was too slow, or answered garbage.
    """

    def __init__(self, address: str, error: Exception, *, unsent_bytes: int) -> None:
        is_garbage = isinstance(error, GarbageError)
        super().__init__(f"the connection to {address} was lost: {_reason(error)}", retryable=not is_garbage)
        self.unsent_bytes = unsent_bytes
        self.died = not isinstance(error, (GarbageError, TimeoutError))


class Connection:
    """A connection to a server. Belongs to one thread at a time."""

    def __init__(self, sock: socket.socket, address: str, *, timeout_s: float) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._address = address
        self._timeout_s = timeout_s
        self._conversation = Conversation()
        self._selector = _Selector()
        self._selector.register(sock, selectors.EVENT_READ)
        self._closed_because: str | None = None

    @classmethod
    def open(cls, address: Address, *, password: str | None, connect_timeout_s: float, timeout_s: float) -> Connection:
        """A new connection, with the password given if there is one. Raises `UnavailableError`, `AuthRequiredError`."""
        try:
            sock = socket.create_connection(address, timeout=connect_timeout_s)
        except OSError as error:
            raise UnavailableError(
                f"can't connect to {address}: {_reason(error)}; is the server running?", retryable=True
            ) from error
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = cls(sock, str(address), timeout_s=timeout_s)
        if password is not None:
            connection._authenticate(password)
        return connection

    def _authenticate(self, password: str) -> None:
        try:
            self.request([encode_command("AUTH", password=password)], nothing)
        except BaseException:
            self.close()
            raise

    @property
    def is_reusable(self) -> bool:
        """Whether it is open, everything was answered, and nothing else came."""
        return self._closed_because is None and self._conversation.is_idle

    @property
    def notice(self) -> str:
        """What the last reply that was no error said to people beside its result."""
        return self._conversation.notice

    def is_alive(self) -> bool:
        """Whether the peer has neither closed it nor said anything unasked. One system call."""
        if not self.is_reusable:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def request(
        self, commands: Sequence[bytes], decode: Callable[[msgspec.Raw], T], *, timeout_s: float | None = None
    ) -> T:
        """Send the commands in one go; the last one's result. Raises the first error among their replies.

        All of it takes at most the connection's timeout, and `timeout_s` if that is less. Raises
        `ConnectionLostError`, unless an error had been replied before the loss: then that.
        """
        replies = self._exchange(commands, self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s))
        _raise_first(replies)
        try:
            return decode(_result(replies[-1]))
        except GarbageError as error:
            raise self._lost(error) from None

    def follow(self, command: bytes) -> None:
        """Begin with a command whose replies have no end, and which is this connection's last; `hear` gives them."""
        self._conversation.follow(command)

    def hear(self, timeout_s: float) -> list[msgspec.Raw]:
        """The replies that have come since, after a wait of so long at most for the first one of them.

        Raises the error if one of them is one; or `ConnectionLostError`, and then it was the end.
        """
        try:
            self._turn(time.monotonic() + timeout_s)
        except (OSError, GarbageError) as error:
            raise self._ended(error) from error
        except BaseException:
            self.close("it was cut short")
            raise
        replies = self._conversation.take_replies()
        _raise_first(replies)
        return [_result(reply) for reply in replies]

    def lose(self, error: Exception) -> ConnectionLostError:
        """Close it because of the error; the loss, for raising."""
        return self._lost(error)

    def close(self, because: str = "it was closed") -> None:
        """Close it. Calling it again does nothing."""
        if self._closed_because is None:
            self._closed_because = because
            self._selector.close()
            self._socket.close()

    def _exchange(self, commands: Sequence[bytes], timeout_s: float) -> list[Reply]:
        conversation = self._conversation
        is_alive = self.is_alive()  # known before the first byte goes: then nothing can have been committed
        conversation.ask(commands)
        if not is_alive:
            raise self._ended(ConnectionError(self._closed_because or "the server closed it, or spoke unasked"))
        deadline_s = time.monotonic() + timeout_s
        try:
            while not conversation.is_answered:
                if not self._turn(deadline_s):
                    raise TimeoutError(f"no answer within {timeout_s:g} s")
        except (OSError, GarbageError) as error:
            raise self._ended(error) from error
        finally:
            if not conversation.is_answered:
                self.close("its last request was cut short")
        return conversation.take_replies()

    def _ended(self, error: Exception) -> ConnectionLostError:
        """The loss, for raising. Raises the server's last word instead, if it left one and that is an error."""
        if isinstance(error, OSError) and self._closed_because is None:
            with suppress(OSError, GarbageError):
                self._receive()
        lost = self._lost(error)
        _raise_first(self._conversation.take_replies())
        return lost

    def _turn(self, deadline_s: float) -> bool:
        """Send what the socket takes; then wait for it to take more, or to have something; whether it had in time."""
        unsent = self._conversation.unsent
        if unsent:
            with suppress(BlockingIOError):
                self._conversation.sent(self._socket.send(unsent))
        ready = self._wait(deadline_s, to_send=bool(unsent))
        if ready & selectors.EVENT_READ:
            self._receive()
        return bool(ready)

    def _wait(self, deadline_s: float, *, to_send: bool) -> int:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if to_send else 0)
        if self._selector.get_key(self._socket).events != events:
            self._selector.modify(self._socket, events)
        ready = self._selector.select(max(0.0, deadline_s - time.monotonic()))
        return ready[0][1] if ready else 0

    def _receive(self) -> None:
        with suppress(BlockingIOError):
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise ConnectionResetError("the server closed it")
            self._conversation.receive(data)

    def _lost(self, error: Exception) -> ConnectionLostError:
        self.close(_reason(error))
        return ConnectionLostError(self._address, error, unsent_bytes=len(self._conversation.unsent))


def nothing(result: msgspec.Raw) -> None:
    """The decoding of a result that nobody needs."""


def _raise_first(replies: Sequence[Reply]) -> None:
    for reply in replies:
        if isinstance(reply, Error):
            raise reply


def _result(reply: Reply) -> msgspec.Raw:
    assert not isinstance(reply, Error)
    return reply


def _reason(error: Exception) -> str:
    if isinstance(error, GarbageError):
        return f"it sent {error} (is that an mvcc-kv server?)"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
