"""Finding out what became of a commit whose reply was lost.

    COMMIT {"id": "x"}   --lost--   dial, refused; pause; dial, refused; pause; dial, COMMIT {"id": "x", "after": 41}
                                    |<--------------------- commit_timeout_s, at most ---------------------->|

    the answer is a commit_ts      it was applied: the caller is told so, as if nothing had happened
    the answer is NO_TRANSACTION   it was not applied, and never will be
    no answer in time, or the      nobody can tell: CommitUnknownError
    server has forgotten

`after` is a timestamp that the commit must have come after. Without it a server that has forgotten
the commit would say that there was none, and the caller would apply it twice.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from mvcc_kv.client.connection import ConnectionLostError
from mvcc_kv.client.decoding import decode_commit_ts
from mvcc_kv.client.encoding import encode_command
from mvcc_kv.client.pool import Lease
from mvcc_kv.errors import CommitUnknownError, Error, NoTransactionError, UnavailableError

__all__ = ["Inquiry", "Patience", "is_in_doubt", "not_applied"]

FIRST_PAUSE_S = 0.01
PAUSE_MAX_S = 0.5
TOKEN_BYTES = 9  # 12 characters: a server counts them, and meets no two alike among those that it remembers


def _new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long, and by which clock, a server is waited for that was lost under a commit."""

    timeout_s: float = 10.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    new_token: Callable[[], str] = _new_token


class Inquiry:
    """About the commit with the id `token`, which came after `after_ts` if at all."""

    def __init__(self, token: str, after_ts: int, patience: Patience) -> None:
        self._command = encode_command("COMMIT", id=token, after=after_ts)
        self._patience = patience

    def commit_ts(self, lease: Lease, lost: Error, *, until_s: float) -> int | None:
        """The commit's timestamp, or None if it was not applied. Raises `CommitUnknownError`."""
        pause_s = FIRST_PAUSE_S
        while (left_s := until_s - self._patience.now()) > 0:
            try:
                return lease.renewed().request([self._command], decode_commit_ts, timeout_s=left_s)
            except NoTransactionError:
                return None
            except UnavailableError as error:
                if "forgotten_ts" in error.evidence:
                    raise _unknown(error.message) from error
            except Error as error:
                raise _unknown(error.message) from error
            self._patience.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)
        raise _unknown(
            f"{lost.message}, and for {self._patience.timeout_s:g} s (commit_timeout_s) the server couldn't be asked"
        ) from lost


def _unknown(why: str) -> CommitUnknownError:
    return CommitUnknownError(
        f"a commit was in flight, and was applied whole, or not at all: {why}. "
        f"Read what it would have written, then decide"
    )


def is_in_doubt(error: UnavailableError, command: bytes) -> bool:
    """Whether `command`, the last one of the request that failed so, may have committed all the same.

    Beside lost replies these are a server's that says it can't go on: what its disk has of the commit,
    its next start will find out.
    """
    if isinstance(error, ConnectionLostError):
        return error.unsent_bytes < len(command)
    return not error.retryable


def not_applied(lost: UnavailableError) -> UnavailableError:
    """The loss of a commit of which the server has said that it was not applied, and never will be."""
    if not isinstance(lost, ConnectionLostError):
        return lost
    return UnavailableError(f"{lost.message}; nothing was applied: run it again", retryable=True)
