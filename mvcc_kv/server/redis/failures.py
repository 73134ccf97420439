"""Redis's error texts, word for word: its clients know some of them by heart."""

from __future__ import annotations

from mvcc_kv.errors import Error

__all__ = ["NOT_AN_INTEGER", "NOT_A_FLOAT", "SYNTAX", "Failure", "failure_of", "wrong_arity", "wrong_subcommand"]


class Failure(Exception):
    """A command's error reply, without the dash: `ERR syntax error`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


SYNTAX = Failure("ERR syntax error")
NOT_AN_INTEGER = Failure("ERR value is not an integer or out of range")
NOT_A_FLOAT = Failure("ERR value is not a valid float")


def wrong_arity(name: str) -> Failure:
    return Failure(f"ERR wrong number of arguments for '{name}' command")


def wrong_subcommand(arguments: list[bytes]) -> Failure:
    """For a subcommand that there is, with arguments that it doesn't take; as the client wrote it."""
    shown = arguments[1][:128].decode("utf-8", "surrogateescape")
    container = arguments[0].decode("utf-8", "surrogateescape").upper()
    return Failure(f"ERR unknown subcommand or wrong number of arguments for '{shown}'. Try {container} HELP.")


def failure_of(error: Error) -> Failure:
    """One of our errors in RESP: its code is the first word, as in `CONFLICT key 'a' was committed at 7, ...`."""
    return Failure(f"{error.code} {error.message}")
