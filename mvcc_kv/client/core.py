r"""The client's half of the line protocol, without a socket: commands as bytes, replies from bytes.

A `Conversation` is what one connection has said and still awaits. The protocol has no request ids; it
answers in order, one line a command, so counting is what matches a reply to its command:

    ask(PUT a, PUT b, COMMIT)   unsent: three lines              awaited: 3
    sent(n)                     unsent: what the socket left     awaited: 3
    receive(b'{"status": ...')  whole lines become replies       awaited: 1
    take_replies()              hands over all three, together, when the last has come

What a command is in bytes is in encoding.py, what a result says in decoding.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mvcc_kv.errors import Error, error_from_result

__all__ = ["Conversation", "GarbageError", "Reply", "excerpt"]

Reply = msgspec.Raw | Error
"""The JSON text of a reply's `result`, or the error that the reply told of."""


class GarbageError(Exception):
    """What came is no reply of this protocol; nothing after it can be trusted."""


class _ReplyLine(msgspec.Struct):
    status: str
    result: msgspec.Raw = msgspec.Raw(b"null")
    message: str = ""


class Conversation:
    """What was said on one connection, and what is still awaited.

    `notice` is what the last Ok said to people beside its result; mostly nothing.
    """

    def __init__(self) -> None:
        self.unsent = bytearray()
        self.notice = ""
        self._received = bytearray()
        self._searched = 0
        self._replies: list[Reply] = []
        self._awaited = 0
        self._is_following = False

    @property
    def is_idle(self) -> bool:
        """Whether everything was sent and answered, and nothing else came."""
        return not (self._awaited or self.unsent or self._received or self._is_following)

    @property
    def is_answered(self) -> bool:
        """Whether every command has its reply."""
        return self._awaited == 0

    def ask(self, commands: Sequence[bytes]) -> None:
        """Queue the commands; each will have one reply."""
        self.unsent += b"".join(commands)
        self._awaited += len(commands)

    def follow(self, command: bytes) -> None:
        """Queue a command whose replies have no end; it is the last one of this conversation."""
        self.unsent += command
        self._is_following = True

    def sent(self, count_bytes: int) -> None:
        """The socket took the first `count_bytes` of `unsent`."""
        del self.unsent[:count_bytes]

    def receive(self, data: bytes) -> None:
        """Take in what came. Raises `GarbageError` for what can't be a reply, or was not asked for."""
        self._received += data
        while (end := self._received.find(b"\n", self._searched)) >= 0:
            line = bytes(self._received[:end])
            del self._received[: end + 1]
            self._searched = 0
            self._accept(line)
        self._searched = len(self._received)

    def take_replies(self) -> list[Reply]:
        """The replies so far, in the order of their commands; they are handed over once."""
        replies, self._replies = self._replies, []
        return replies

    def check(self) -> None:
        """Raise AssertionError if the counts don't fit together."""
        assert self._awaited >= 0, "more replies than commands"
        assert b"\n" not in self._received, "a whole line was left lying"
        assert not self.unsent or self._awaited or self._is_following, "something unsent, but nothing awaited"

    def _accept(self, line: bytes) -> None:
        if self._awaited == 0 and not self._is_following:
            raise GarbageError(f"a reply that nobody asked for: {excerpt(line)}")
        reply, self.notice = _decode_reply(line)
        self._replies.append(reply)
        if not self._is_following:
            self._awaited -= 1


def _decode_reply(line: bytes) -> tuple[Reply, str]:
    """The reply, and what an Ok says beside it."""
    try:
        line.decode()  # once, because what a Raw skips over is not checked
        reply = _decode_line(line)
        if reply.status == "Ok":
            return reply.result, reply.message
        if reply.status == "Error":
            return error_from_result(_decode_evidence(reply.result), reply.message), ""
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    raise GarbageError(f"no reply of this protocol: {excerpt(line)}")


def excerpt(line: bytes) -> str:
    """The beginning of what came, for a message about it."""
    return repr(line if len(line) <= 60 else line[:60] + b"...")


_decode_line = msgspec.json.Decoder(_ReplyLine).decode
_decode_evidence = msgspec.json.Decoder(dict[str, Any]).decode
