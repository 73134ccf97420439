r"""Requests: where a Redis command ends in a stream of bytes, and what is an error in it, by the rules of Redis 7.0.

    b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"     GET a: a count of arguments, and each behind its length
    b"GET a\r\n"                          the same as an inline command, which people type
    b"*0\r\n"  b"\r\n"                    nothing, which is skipped

Two readers stand behind one parser. The quick one (`scanning.py`) takes the commands that are whole and written as
every client writes them; what it doesn't take at once goes to the careful one, which knows all that Redis forgives
(any two bytes end an argument, any byte may stand for the \n of a length) and all that it doesn't, one argument at a
time.

           receive(b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI")
                     '------ quick -------''- careful -'      "PI" waits for the rest

Rule: the stream alone decides, never how it was cut. So a line is too long when its end isn't within 64 KiB, where
Redis looks only after each read.
"""

from __future__ import annotations

from mvcc_kv.errors import Error
from mvcc_kv.protocol.resp.inline import split_arguments
from mvcc_kv.protocol.resp.scanning import BY_HEART_BYTES, BY_HEART_MEMBERS, SCAN_BYTES_MAX, Command, Scan, scan

__all__ = ["BULK_BYTES_MAX", "LINE_BYTES_MAX", "MEMBERS_MAX", "ProtocolError", "RequestParser"]

BULK_BYTES_MAX = 512 * 1024 * 1024
MEMBERS_MAX = 1024 * 1024
LINE_BYTES_MAX = 64 * 1024
# Who has not logged in yet gets no memory.
UNAUTHENTICATED_MEMBERS_MAX = 10
UNAUTHENTICATED_BULK_BYTES_MAX = 16_384

_STAR, _DOLLAR, _NUL = b"*"[0], b"$"[0], b"\0"
_LL_MAX = 2**63 - 1


class ProtocolError(Error):
    """These bytes are not the Redis protocol: send `reply`, then close."""

    code = "PROTOCOL_ERROR"

    @property
    def reply(self) -> bytes:
        """The error in Redis's words, as it goes over the wire."""
        return b"-ERR Protocol error: %b\r\n" % self.message.encode("latin-1")


class RequestParser:
    r"""Cuts a connection's bytes into commands: each a list of at least one argument.

    Its limits may be changed at any time.

    >>> parser = RequestParser()
    >>> parser.receive(b"PING\r\n*2\r\n$3\r\nGET\r\n$1")
    [[b'PING']]
    >>> parser.receive(b"\r\na\r\n*x\r\n")
    [[b'GET', b'a']]
    >>> parser.error.reply
    b'-ERR Protocol error: invalid multibulk length\r\n'
    """

    def __init__(
        self,
        *,
        bulk_bytes_max: int = BULK_BYTES_MAX,
        members_max: int = MEMBERS_MAX,
        is_authenticated: bool = True,
        scan: Scan = scan,
    ) -> None:
        self.bulk_bytes_max = bulk_bytes_max
        self.members_max = members_max
        self.is_authenticated = is_authenticated
        self.error: ProtocolError | None = None
        self.is_held = False
        self._scan = scan
        self._pending = bytearray()  # what has come of the part that is being waited for
        self._arguments: Command = []  # of the command that has begun
        self._missing = 0  # how many more it has
        self._bulk_bytes = -1  # the length of the next one, once that is known

    @property
    def is_unfinished(self) -> bool:
        """Whether a command has begun and not ended."""
        return self._missing > 0 or bool(self._pending)

    def receive(self, data: bytes) -> list[Command]:
        """Take bytes in; returns the commands they complete. After an `error` there are no more.

        Of who has not logged in, a command past the limits may stand behind the one that logs in: then `is_held` is
        set; execute what was returned, and call `receive(b"")`.
        """
        commands: list[Command] = []
        if self.error is not None:
            return commands
        self.is_held = False
        is_scanned = not self._pending and not self._missing and self._may_scan(len(data))
        if is_scanned:
            commands, data = self._scan(data)
            if not data:
                return commands
        try:
            self._read(data, commands, is_scanned=is_scanned)
        except ProtocolError as error:
            self.error = error
            self._forget()
        return commands

    def _read(self, data: bytes, commands: list[Command], *, is_scanned: bool) -> None:
        """Take in what comes behind what was scanned, or what is not for scanning as it is."""
        if self._pending:
            self._pending += data
            if len(self._pending) < self._bulk_bytes + 2:
                return
            data = self._take_pending(commands)
        at = 0
        if self._missing and data:
            at = self._read_carefully(data, 0, commands, one=True)
        if not is_scanned and not self._missing and self._may_scan(len(data) - at):
            found, data = self._scan(data[at:] if at else data)
            commands += found
            at = 0
        if at < len(data):
            at = self._read_carefully(data, at, commands)
        if at < len(data):
            self._pending += memoryview(data)[at:]

    def _may_scan(self, length: int) -> bool:
        """Whether the limits can't be passed by what the quick reader would take."""
        is_large = self.bulk_bytes_max >= BY_HEART_BYTES and self.members_max >= BY_HEART_MEMBERS
        return is_large and self.is_authenticated and 0 < length <= SCAN_BYTES_MAX

    def _take_pending(self, commands: list[Command]) -> bytes:
        """What to read on with; a large argument is copied only once more."""
        pending, length = self._pending, self._bulk_bytes
        self._pending = bytearray()
        if length < 0:
            return bytes(pending)
        with memoryview(pending) as view:
            argument, rest = bytes(view[:length]), bytes(view[length + 2 :])
        self._take_argument(argument, commands)
        return rest

    def _read_carefully(self, data: bytes, at: int, commands: list[Command], *, one: bool = False) -> int:
        """Read on from `at`, only to the end of the command if `one`; returns where what is unfinished begins."""
        before = -1
        while before < at < len(data):
            before = at
            if self._missing:
                at = self._read_argument(data, at, commands)
                if one and not self._missing:
                    break
            elif data[at] == _STAR:
                at = self._read_count(data, at, commands)
            else:
                at = self._read_inline(data, at, commands)
        return at

    def _read_inline(self, data: bytes, at: int, commands: list[Command]) -> int:
        end = _line_end(data, at, b"\n", "too big inline request")
        if end < 0:
            return at
        arguments = split_arguments(data[at:end].removesuffix(b"\r"))
        if arguments is None:
            raise ProtocolError("unbalanced quotes in request")
        if arguments:
            commands.append(arguments)
        return end + 1

    def _read_count(self, data: bytes, at: int, commands: list[Command]) -> int:
        end = _line_end(data, at, b"\r", "too big mbulk count string")
        if end < 0 or end + 2 > len(data):
            return at
        count = _number(data[at + 1 : end])
        if count is None or count > self.members_max:
            raise ProtocolError("invalid multibulk length")
        if count > UNAUTHENTICATED_MEMBERS_MAX and not self.is_authenticated:
            return self._hold(at, commands, "unauthenticated multibulk length")
        self._missing = max(count, 0)
        return end + 2

    def _read_argument(self, data: bytes, at: int, commands: list[Command]) -> int:
        if self._bulk_bytes < 0:
            start = self._read_length(data, at, commands)
            if start == at or self._bulk_bytes < 0:
                return at
            at = start
        end = at + self._bulk_bytes
        if end + 2 > len(data):
            return at
        self._take_argument(data[at:end], commands)
        return end + 2

    def _read_length(self, data: bytes, at: int, commands: list[Command]) -> int:
        end = _line_end(data, at, b"\r", "too big bulk count string")
        if end < 0 or end + 2 > len(data):
            return at
        if data[at] != _DOLLAR:
            raise ProtocolError(f"expected '$', got '{_printed(data[at])}'")
        length = _number(data[at + 1 : end])
        if length is None or not 0 <= length <= self.bulk_bytes_max:
            raise ProtocolError("invalid bulk length")
        if length > UNAUTHENTICATED_BULK_BYTES_MAX and not self.is_authenticated:
            return self._hold(at, commands, "unauthenticated bulk length")
        self._bulk_bytes = length
        return end + 2

    def _take_argument(self, argument: bytes, commands: list[Command]) -> None:
        self._arguments.append(argument)
        self._bulk_bytes = -1
        self._missing -= 1
        if not self._missing:
            commands.append(self._arguments)
            self._arguments = []

    def _hold(self, at: int, commands: list[Command], complaint: str) -> int:
        if not commands:
            raise ProtocolError(complaint)
        self.is_held = True
        return at

    def _forget(self) -> None:
        self._pending, self._arguments = bytearray(), []
        self._missing, self._bulk_bytes = 0, -1


def _line_end(data: bytes, at: int, mark: bytes, complaint: str) -> int:
    """Where the line's `mark` stands, or -1 while it isn't there. Redis looks with strchr, so a NUL hides it."""
    end = data.find(mark, at, at + LINE_BYTES_MAX + 1)
    if end >= 0 and data.find(_NUL, at, end) < 0:
        return end
    if len(data) - at > LINE_BYTES_MAX:
        raise ProtocolError(complaint)
    return -1


def _number(text: bytes) -> int | None:
    """The number, if it is written in the one way that Redis reads and fits 64 bits."""
    if not text.removeprefix(b"-").isdigit() or len(text) > 20:
        return None
    number = int(text)
    return number if b"%d" % number == text and -_LL_MAX - 1 <= number <= _LL_MAX else None


def _printed(byte: int) -> str:
    """The byte as an error line can hold it."""
    return " " if byte in b"\r\n" else chr(byte)
