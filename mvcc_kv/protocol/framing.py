"""Framing: where a command ends in a stream of bytes.

A newline (LF or CRLF) ends a command. But the original's clients send a command, or several joined
by newlines, with none at the end. So there are two ways to end the last one:

    b"PUT a 1\nGET a"          ... quiet ...   two commands: the connection has been quiet for a while
    b'PUT {"key": "a", "va'    ... quiet ...   none yet: the JSON argument is not whole
    b"GET a\n"  b"PUT b hel"   ... quiet ...   one: this client ended what it sent with a newline once, so it is
                                               taken at its word, and only newlines end its commands from then on

The framer doesn't know the time: whoever owns the socket tells it `quiet()`.

Rule: what is buffered is bounded. Of a line past `line_bytes_max` only its length is kept, as an `OverlongLine`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Line", "LineFramer", "OverlongLine"]

_ARGUMENT_IS_JSON = re.compile(rb"\s*\S+\s+\{")
# A string that is whole or still open, a bracket, or nothing of interest.
_JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*("|\\?\Z)|[{}\[\]]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class OverlongLine:
    """A line that was longer than the limit: its first bytes, and how long it was."""

    beginning: bytes
    actual_bytes: int


Line: TypeAlias = "bytes | OverlongLine"


class LineFramer:
    r"""Cuts a connection's bytes into lines; blank ones are no commands and are dropped.

    >>> framer = LineFramer(line_bytes_max=1024)
    >>> framer.receive(b"START\nDEL k")
    [b'START']
    >>> framer.receive(b"ey1\nCOMMIT")
    [b'DEL key1']
    >>> framer.quiet()
    [b'COMMIT']
    """

    def __init__(self, *, line_bytes_max: int, strict: bool = False) -> None:
        self._line_bytes_max = line_bytes_max
        self._strict = strict
        self._tail = bytearray()  # the unfinished line's bytes, or its beginning if it is overlong
        self._dropped_bytes = 0
        self._dropped_last = b""
        self._extent = _JsonExtent()

    @property
    def is_unfinished(self) -> bool:
        """Whether `quiet` could complete a command: a line has begun, and it need not end with a newline."""
        return not self._strict and bool(self._tail)

    def receive(self, data: bytes, *, is_burst_end: bool = True) -> list[Line]:
        """Take bytes in; returns the lines they complete.

        `is_burst_end` says that nothing more was waiting behind `data`: only then does a newline at its
        end show that the client means to end its commands so.
        """
        if data.endswith(b"\n"):
            self._strict = self._strict or is_burst_end
            if not self._tail and (lines := self._split(data)) is not None:
                return lines
        first, newline, rest = data.partition(b"\n")
        self._extend(first)
        if not newline:
            return []
        lines = self._finish()
        *whole, last = rest.split(b"\n")
        if 0x0D not in rest and max(map(len, whole), default=0) <= self._line_bytes_max:
            lines += [line for line in whole if line.strip()]
        else:
            for line in whole:
                lines += self._complete(line)
        self._extend(last)
        return lines

    def _split(self, data: bytes) -> list[Line] | None:
        """What `receive` returns for nothing but whole lines that are not too long and end with LF; None for others."""
        if 0x0D in data:
            return None
        lines = data.split(b"\n")
        lines.pop()
        if len(data) > self._line_bytes_max and max(map(len, lines)) > self._line_bytes_max:
            return None
        return [line for line in lines if line and not line.isspace()]

    def quiet(self) -> list[Line]:
        """The connection has been quiet: returns the last line, if it counts as complete now."""
        if not self.is_unfinished or (self._is_json() and not self._extent.is_whole):
            return []
        return self._finish()

    def end(self) -> list[Line]:
        """The client has sent all it will send; a half line of a client that ends lines with newlines is dropped."""
        return self.quiet()

    def _is_json(self) -> bool:
        return _ARGUMENT_IS_JSON.match(self._tail) is not None

    def _extend(self, data: bytes) -> None:
        if not data:
            return
        if not self._strict:
            self._extent.receive(data)
        room = self._line_bytes_max + 1 - len(self._tail)  # one more, for the \r of a line that just fits
        self._tail += data[: max(room, 0)]
        if len(data) > room:
            self._dropped_bytes += len(data) - max(room, 0)
            self._dropped_last = data[-1:]

    def _finish(self) -> list[Line]:
        line, dropped_bytes, last = bytes(self._tail), self._dropped_bytes, self._dropped_last
        self._tail.clear()
        self._dropped_bytes = 0
        self._dropped_last = b""
        self._extent = _JsonExtent()
        return self._complete(line, dropped_bytes - (last == b"\r"), is_cut=bool(last))

    def _complete(self, line: bytes, dropped_bytes: int = 0, *, is_cut: bool = False) -> list[Line]:
        if not is_cut:
            line = line.removesuffix(b"\r")
        actual_bytes = len(line) + dropped_bytes
        if actual_bytes > self._line_bytes_max:
            return [OverlongLine(line[: self._line_bytes_max], actual_bytes)]
        return [line] if line and not line.isspace() else []


class _JsonExtent:
    """Follows brackets and strings through a text as it comes in, to know whether its JSON is whole."""

    def __init__(self) -> None:
        self._depth = 0
        self._open = b""  # the unfinished string's last bytes: its quote, and a trailing backslash
        self.is_whole = False

    def receive(self, data: bytes) -> None:
        text = self._open + data
        self._open = b""
        for token in _JSON_TOKEN.finditer(text):
            found = token.group()
            if found in (b"{", b"["):
                self._depth += 1
            elif found in (b"}", b"]"):
                self._depth -= 1
                self.is_whole = self.is_whole or self._depth <= 0
            elif token.group(1) != b'"':
                self._open = b'"\\' if token.group(1) == b"\\" else b'"'
