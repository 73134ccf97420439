"""Redis's error texts, word for word: its clients know some of them by heart."""

from __future__ import annotations

from mvcc_kv.errors import Error

__all__ = [
    "NOT_AN_INTEGER",
    "NOT_A_FLOAT",
    "ONLY_SUBSCRIBING",
    "SYNTAX",
    "Failure",
    "failure_of",
    "shown",
    "unknown_command",
    "unknown_subcommand",
    "wrong_arity",
    "wrong_subcommand",
]

_SHOWN_MAX = 128


class Failure(Exception):
    """A command's error reply, without the dash: `ERR syntax error`. A new one each time: once raised, it holds what
    was being done, so what is kept is the text.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


SYNTAX = "ERR syntax error"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
ONLY_SUBSCRIBING = (
    "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
)
NOT_A_FLOAT = "ERR value is not a valid float"


def wrong_arity(name: str) -> Failure:
    return Failure(f"ERR wrong number of arguments for '{name}' command")


def wrong_subcommand(arguments: list[bytes]) -> Failure:
    """For a subcommand that there is, with arguments that it doesn't take; as the client wrote it."""
    name, container = shown(arguments[1][:_SHOWN_MAX]), shown(arguments[0]).upper()
    return Failure(f"ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP.")


def unknown_subcommand(container: str, name: bytes) -> Failure:
    return Failure(f"ERR unknown subcommand '{shown(name[:_SHOWN_MAX])}'. Try {container.upper()} HELP.")


def unknown_command(arguments: list[bytes]) -> Failure:
    """With the beginning of its arguments, as far as 128 bytes reach."""
    told = ""
    for argument in arguments[1:]:
        if len(told) >= _SHOWN_MAX:
            break
        told += f"'{shown(argument[: _SHOWN_MAX - len(told)])}' "
    return Failure(f"ERR unknown command '{shown(arguments[0][:_SHOWN_MAX])}', with args beginning with: {told}")


def shown(text: bytes) -> str:
    """A client's bytes in an error's text; they come out as they went in, up to a NUL: Redis's are strings of C."""
    return text.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def failure_of(error: Error) -> Failure:
    """One of our errors in RESP: its code is the first word, as in `CONFLICT key 'a' was committed at 7, ...`."""
    return Failure(f"{error.code} {error.message}")
