"""How a command fails: one line on standard error that says why and what to do, and status 1."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mvcc_kv.errors import Error

__all__ = ["complain", "note", "reporting"]

P = ParamSpec("P")
R = TypeVar("R")


def note(message: str) -> None:
    """Say something beside the output, on standard error, as one line."""
    print(f"mvcc-kv: {' '.join(message.split())}", file=sys.stderr)


def complain(message: str) -> int:
    """Say what went wrong; the exit status for that."""
    note(message)
    return 1


def reporting(command: Callable[P, R]) -> Callable[P, R]:
    """The command, with its errors told in a line in place of a traceback."""

    @functools.wraps(command)
    def reported(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except Error as error:
            status = complain(error.message)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever read our output has left; the command line's frame ends quietly then
            status = complain(_told(error))
        sys.exit(status)

    return reported


def _told(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason
