"""What is said to people beside the output: one line on standard error; for a failure, why and what to do."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mvcc_kv.errors import AuthRequiredError, Error

__all__ = ["complain", "note", "printable", "reporting", "told"]

P = ParamSpec("P")
R = TypeVar("R")


def note(message: str) -> None:
    """Say something beside the output, on standard error, as one line."""
    print(f"mvcc-kv: {' '.join(message.split())}", file=sys.stderr)


def complain(message: str) -> int:
    """Say what went wrong; the exit status for that."""
    note(message)
    return 1


def printable(text: str) -> str:
    r"""The text with what a terminal might obey, or can't show, written as JSON writes it. Lines stay lines.

    >>> printable("clear \x1b[2J the screen")
    'clear \\u001b[2J the screen'
    """
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() or it == "\n" else f"\\u{ord(it):04x}" for it in text)


def reporting(command: Callable[P, R]) -> Callable[P, R]:
    """The command, with its errors told in a line in place of a traceback."""

    @functools.wraps(command)
    def reported(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (Error, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # whoever read our output has left; the command line's frame ends quietly then
            status = complain(told(error))
        sys.exit(status)

    return reported


def told(error: Error | OSError) -> str:
    """What went wrong, and what to do, in words."""
    if isinstance(error, AuthRequiredError):
        return f"{error.message} (here: --password, or MVCC_KV_PASSWORD in the environment)"
    if isinstance(error, Error):
        return error.message
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason
