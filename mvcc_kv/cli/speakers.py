"""How a session speaks: to a server over TCP, or to a server's own sessions without a socket.

Both are `stress.script.Speak`: a name and a command line in, the reply line out. A session is made when its name
is first heard, and again after it said QUIT or its connection was lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from mvcc_kv.cli.wire import LineConnection
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import BadRequestError, Error
from mvcc_kv.protocol.grammar import verb_of
from mvcc_kv.protocol.replies import error_reply
from mvcc_kv.server.served import Services
from mvcc_kv.server.session import Session
from mvcc_kv.server.settings import Settings

__all__ = ["EngineSpeaker", "ServerSpeaker"]

_TOO_MANY = {
    verb: error_reply(BadRequestError(f"{verb} answers with many lines, and one is wanted here; {instead}")).rstrip(
        b"\n"
    )
    for verb, instead in (
        ("BACKUP", "`mvcc-kv backup` writes them to a file"),
        ("CHANGES", "`mvcc-kv changes` prints them"),
    )
}


def _refusal(command: str) -> bytes | None:
    """What is answered to a command with many replies, in place of them."""
    return _TOO_MANY.get(verb_of(command.encode(errors="replace")))


class ServerSpeaker:
    """Each session is a connection to the server at `address`."""

    def __init__(self, address: str, password: str | None = None) -> None:
        self._address = address
        self._password = password
        self._connections: dict[str, LineConnection] = {}

    def __call__(self, name: str, command: str) -> bytes:
        """The reply line. Raises `UnavailableError` when the connection is lost; the next command makes a new one."""
        refusal = _refusal(command)
        if refusal is not None:
            return refusal
        try:
            reply = self._connection(name).ask(command.encode(errors="surrogateescape"))
        except Error:
            self._drop(name)
            raise
        if command.strip().upper() == "QUIT":
            self._drop(name)
        return reply

    def connect(self, name: str) -> None:
        """Make the session now, so that a server that isn't there is known. Raises `UnavailableError`."""
        self._connection(name)

    def close(self) -> None:
        """Hang up all of them."""
        for name in list(self._connections):
            self._drop(name)

    def _connection(self, name: str) -> LineConnection:
        if name not in self._connections:
            self._connections[name] = LineConnection.open(self._address, self._password)
        return self._connections[name]

    def _drop(self, name: str) -> None:
        connection = self._connections.pop(name, None)
        if connection is not None:
            with suppress(OSError):
                connection.close()


class EngineSpeaker:
    """Each session is one as a server would make it, over a store of this process."""

    def __init__(
        self,
        store: VersionedStore,
        *,
        checkpoint: Callable[[], int],
        max_transaction_bytes: int = Settings().max_transaction_bytes,
    ) -> None:
        self._store = store
        self._checkpoint = checkpoint
        self._max_transaction_bytes = max_transaction_bytes
        self._sessions: dict[str, Session] = {}
        self._late: list[bytes] = []

    def __call__(self, name: str, command: str) -> bytes:
        """The reply line."""
        refusal = _refusal(command)
        if refusal is not None:
            return refusal
        session = self._sessions.get(name) or self._begin(name)
        reply = session.execute(command.encode(errors="surrogateescape"))
        if reply is None:
            reply = self._late.pop()
        if session.wants_to_close:
            session.close()
            del self._sessions[name]
        return reply.rstrip(b"\n")

    @property
    def snapshots(self) -> dict[str, int]:
        """The `start_ts` of each session's open transaction."""
        found = {name: session.start_ts for name, session in self._sessions.items()}
        return {name: start_ts for name, start_ts in found.items() if start_ts is not None}

    def close(self) -> None:
        """Hang up all of them."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _begin(self, name: str) -> Session:
        services = Services(
            store=self._store,
            stats=self._store.stats,
            checkpoint=self._answer_with_checkpoint,
            clock=time.monotonic,
            max_transaction_bytes=self._max_transaction_bytes,
        )
        session = self._sessions[name] = Session(services, self._late.append, client=name)
        return session

    def _answer_with_checkpoint(self, answer: Callable[[int | Error], None]) -> None:
        try:
            answer(self._checkpoint())
        except Error as error:
            answer(error)
