"""Every error that mvcc-kv raises or answers with: what happened, and what to do now.

An error is a class, a `code` (the word on the wire), `retryable` (may the same transaction
simply be run again?), a message for people, and `evidence`: named facts that programs can act on.
Embedded and remote use raise the same classes; `error_from_result` is how a reply becomes one again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

__all__ = [
    "AuthRequiredError",
    "BadRequestError",
    "CommitUnknownError",
    "ConflictError",
    "DataDirectoryError",
    "Error",
    "KeyNotFoundError",
    "LimitExceededError",
    "NoTransactionError",
    "ReadOnlyError",
    "SnapshotGoneError",
    "TransactionDoomedError",
    "TransactionOpenError",
    "TransactionTimeoutError",
    "UnavailableError",
    "UnknownCommandError",
    "Winner",
    "error_from_result",
]


class Error(Exception):
    """The base of all mvcc-kv errors.

    `code` and `retryable` are as in the protocol; `evidence` holds the error's facts (JSON values).
    """

    code = "ERROR"
    retryable = False

    def __init__(self, message: str, *, retryable: bool | None = None, **evidence: Any) -> None:
        super().__init__(message)
        self.message = message
        self.evidence = evidence
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return self.message

    def again(self) -> Self:
        """Another that says the same, to be kept or raised again: one that was raised holds all that went on then."""
        return type(self)(self.message, retryable=self.retryable, **self.evidence)

    def to_result(self) -> dict[str, Any]:
        """The error as the `result` member of a reply: code and retryable first, then the evidence."""
        return {"code": self.code, "retryable": self.retryable, **self.evidence}


class KeyNotFoundError(Error, KeyError):
    """The key has no value in what this transaction reads. Also a `KeyError`. `evidence`: `key`."""

    code = "KEY_NOT_FOUND"

    def __init__(self, message: str = "Key not found", **evidence: Any) -> None:
        super().__init__(message, **evidence)


class Winner(NamedTuple):
    """Who took a key before us: the commit's timestamp, and its transaction's label if it had one."""

    commit_ts: int
    label: str | None = None


class ConflictError(Error):
    """Another transaction committed a key that this one wrote, after this one's snapshot. Run it again.

    `evidence`: `keys` (every clashing key), `start_ts` (our snapshot) and `winners`
    (key to `{"commit_ts": ..., "label": ...}`, the label only where there was one).
    """

    code = "CONFLICT"
    retryable = True

    @classmethod
    def lost_to(cls, start_ts: int, winners: Mapping[str, Winner]) -> ConflictError:
        """The conflict of a transaction that started at `start_ts` with the winner of each clashing key."""
        key, first = next(iter(winners.items()))
        by = f" by {first.label!r}" if first.label is not None else ""
        others = f" (and {len(winners) - 1} more)" if len(winners) > 1 else ""
        return cls(
            f"key {key!r}{others} was committed at {first.commit_ts}{by}, after this transaction's snapshot "
            f"at {start_ts}; nothing was applied: run the transaction again",
            keys=list(winners),
            start_ts=start_ts,
            winners={
                key: {"commit_ts": won.commit_ts} if won.label is None else won._asdict()
                for key, won in winners.items()
            },
        )

    @property
    def keys(self) -> list[str]:
        """Every key that clashed."""
        return list(self.evidence["keys"])

    @property
    def start_ts(self) -> int:
        """The snapshot that the losing transaction read."""
        return int(self.evidence["start_ts"])

    @property
    def winners(self) -> dict[str, Winner]:
        """For each clashing key the commit that won it."""
        return {key: Winner(won["commit_ts"], won.get("label")) for key, won in self.evidence["winners"].items()}


class NoTransactionError(Error):
    """COMMIT or ROLLBACK without an open transaction."""

    code = "NO_TRANSACTION"


class TransactionOpenError(Error):
    """START while a transaction is open already: transactions don't nest."""

    code = "TRANSACTION_OPEN"


class TransactionDoomedError(Error):
    """An earlier command of this transaction was refused, so nothing of it can be applied.

    `evidence`: `cause`, the first refusal (`code` and `message`).
    """

    code = "TRANSACTION_DOOMED"


class ReadOnlyError(Error):
    """A write in a read-only transaction."""

    code = "READ_ONLY"


class SnapshotGoneError(Error):
    """The versions that this snapshot would read are kept no more. `evidence`: `oldest_ts`, the oldest readable one."""

    code = "SNAPSHOT_GONE"


class BadRequestError(Error, ValueError):
    """The request is not of the form that the command takes; the message says what is. Also a `ValueError`."""

    code = "BAD_REQUEST"


class UnknownCommandError(Error):
    """No command has this name."""

    code = "UNKNOWN_COMMAND"


class LimitExceededError(Error):
    """A limit was passed. `evidence`: `limit` and `actual` (in the limit's unit) and the `setting` that raises it."""

    code = "LIMIT_EXCEEDED"


class TransactionTimeoutError(Error, TimeoutError):
    """The transaction was open for too long and was rolled back. Also a `TimeoutError`."""

    code = "TIMEOUT"
    retryable = True


class UnavailableError(Error):
    """The store can't do this now; `retryable` says whether trying again can help.

    Nothing was applied; but of a commit that was under way when the log failed (`retryable` is false), only
    the next start will find out.
    """

    code = "UNAVAILABLE"


class AuthRequiredError(Error):
    """The server wants a password: send AUTH first, or connect with `password=`."""

    code = "AUTH_REQUIRED"


class CommitUnknownError(Error):
    """A commit was in flight when the connection was lost, and the server could not be asked what became of it.

    It was applied whole, or not at all. Never retried by itself, because that could apply it twice. Read what it
    would have written, then decide.
    """

    code = "COMMIT_UNKNOWN"


class DataDirectoryError(Error):
    """The data directory can't be used: damaged, foreign, locked or not accessible. Nothing in it was changed."""

    code = "DATA_DIRECTORY"


_BY_CODE: dict[str, type[Error]] = {
    cls.code: cls
    for cls in (
        KeyNotFoundError,
        ConflictError,
        NoTransactionError,
        TransactionOpenError,
        TransactionDoomedError,
        ReadOnlyError,
        SnapshotGoneError,
        BadRequestError,
        UnknownCommandError,
        LimitExceededError,
        TransactionTimeoutError,
        UnavailableError,
        AuthRequiredError,
    )
}


def error_from_result(result: Mapping[str, Any], message: str) -> Error:
    """The error that a reply tells of: the class of its code, with its message, `retryable` and evidence.

    A code from a newer server becomes a plain `Error` that carries it.
    """
    evidence = {name: fact for name, fact in result.items() if name not in ("code", "retryable")}
    code = str(result.get("code", Error.code))
    cls = _BY_CODE.get(code, Error)
    error = cls(message, retryable=bool(result.get("retryable", False)), **evidence)
    if cls is Error:
        error.code = code
    return error
