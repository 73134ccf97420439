"""One connection that speaks the line protocol as it is: command lines out, reply lines back, to the letter.

The client in mvcc_kv/client turns replies into values and errors. Who shows them to people, or counts what a
long load did key by key, wants the lines themselves.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from mvcc_kv.client.connection import Address
from mvcc_kv.client.encoding import encode_command
from mvcc_kv.errors import Error, UnavailableError, error_from_result

__all__ = ["LineConnection", "Reply", "decode_reply"]

CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 60.0


class Reply(msgspec.Struct, frozen=True):
    """A reply line, its result still JSON text."""

    status: str
    result: msgspec.Raw = msgspec.Raw(b"null")
    message: str = ""

    @property
    def error(self) -> Error | None:
        """The error that it tells of; None for an Ok."""
        if self.status == "Ok":
            return None
        return error_from_result(msgspec.json.decode(self.result, type=dict[str, Any]), self.message)


_decode = msgspec.json.Decoder(Reply).decode


def decode_reply(line: bytes) -> Reply:
    """The reply in a line. Raises `UnavailableError` if it is none: then that is no mvcc-kv server."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        excerpt = line if len(line) <= 60 else line[:60] + b"..."
        raise UnavailableError(f"no reply of this protocol: {excerpt!r} (is that an mvcc-kv server?)") from None


class LineConnection:
    """A connection to a server. After an error of its own it is of no use any more."""

    def __init__(self, address: Address) -> None:
        self._address = address
        try:
            self._socket = socket.create_connection(address, timeout=CONNECT_TIMEOUT_S)
        except OSError as error:
            raise UnavailableError(
                f"can't connect to {address}: {_reason(error)}; is the server running?", retryable=True
            ) from None
        self._socket.settimeout(REPLY_TIMEOUT_S)
        with suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._socket.makefile("rb")

    @classmethod
    def open(cls, address: str, password: str | None) -> LineConnection:
        """A new connection, with the password given if there is one. Raises `UnavailableError`, `AuthRequiredError`."""
        connection = cls(Address.parse(address))
        try:
            if password is not None:
                connection._authenticate(password)
        except BaseException:
            connection.close()
            raise
        return connection

    def _authenticate(self, password: str) -> None:
        error = decode_reply(self.ask(encode_command("AUTH", password=password).rstrip(b"\n"))).error
        if error is not None:
            raise error

    def ask(self, line: bytes) -> bytes:
        """The reply line to a command line, both without their newline."""
        return self.ask_all([line])[0]

    def ask_all(self, lines: Sequence[bytes]) -> list[bytes]:
        """The reply lines to a batch. Keep it small: the replies aren't read before all of it is sent."""
        try:
            self._socket.sendall(b"".join(b"%b\n" % line for line in lines))
            return [self._receive() for _ in lines]
        except OSError as error:
            raise UnavailableError(
                f"the connection to {self._address} was lost: {_reason(error)}", retryable=True
            ) from None

    def ask_for_many(self, line: bytes) -> Iterator[bytes]:
        """The reply lines to a command that has many; the caller knows the last one, and reads no further."""
        try:
            self._socket.sendall(line + b"\n")
            while True:
                yield self._receive()
        except OSError as error:
            raise UnavailableError(
                f"the connection to {self._address} was lost: {_reason(error)}", retryable=True
            ) from None

    def close(self) -> None:
        """Close it; the server rolls an open transaction back."""
        self._replies.close()
        self._socket.close()

    def _receive(self) -> bytes:
        line = self._replies.readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the server closed it")
        return line[:-1]


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
