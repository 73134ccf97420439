"""What is put to the test: a database that clients connect to, and that faults can be done to.

    EmbeddedTarget    a database in this process, which every client shares
    ServerTarget      a server process of our own (server.py)
    RemoteTarget      a server that is somebody else's: nothing is done to it but work

What a target can't do isn't among its `faults`, and is never asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol

from mvcc_kv.api import Database
from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.stress.client import Connect

__all__ = ["EmbeddedTarget", "RemoteTarget", "Target", "embedded_faults"]


class Target(Protocol):
    """A store, and what can be done to it. `connect` can be pickled if `has_processes`."""

    @property
    def name(self) -> str: ...
    @property
    def faults(self) -> frozenset[str]:
        """The kinds of faults that can be done to it; see nemesis.py."""
        ...

    @property
    def connect(self) -> Connect: ...
    @property
    def has_processes(self) -> bool:
        """Whether clients in other processes can connect."""
        ...

    def stop(self) -> None:
        """End it, as its owner would: what is acknowledged is kept. Idempotent."""
        ...

    def kill(self) -> None:
        """End it at once, as a crash would."""
        ...

    def pause(self) -> None:
        """Let it do nothing until `resume`."""
        ...

    def resume(self) -> None: ...
    def restart(self) -> None:
        """Start it again after `stop` or `kill`, with the data that it had."""
        ...

    def complaints(self) -> list[str]:
        """What it did by itself that no target should: an end without a reason."""
        ...


def embedded_faults(*, is_durable: bool) -> frozenset[str]:
    """The kinds of faults that can be done to a database of this process."""
    return frozenset({"restart"} if is_durable else ())


class EmbeddedTarget:
    """A database of this process: `open_database` opens it, again after each `stop`."""

    name = "embedded"
    has_processes = False

    def __init__(self, open_database: Callable[[], Database], *, is_durable: bool) -> None:
        self._open = open_database
        self._db: Database | None = open_database()
        self.faults = embedded_faults(is_durable=is_durable)

    @property
    def connect(self) -> Connect:
        """All clients have the same database."""
        return self._connect

    def _connect(self, _: int) -> AbstractContextManager[Database]:
        db = self._db
        if db is None:
            raise UnavailableError("the database is closed; wait until it is open again", retryable=True)
        return nullcontext(db)  # one client's end is not everybody's

    def stop(self) -> None:
        """Close it, under its clients."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(Error):
                db.close()

    def restart(self) -> None:
        """Open it again."""
        self._db = self._open()

    def complaints(self) -> list[str]:
        """None: if this process ended, nobody would ask."""
        return []

    def kill(self) -> None:
        raise NotImplementedError("a database in this process can't be killed; stress a server")

    pause = resume = kill


class RemoteTarget:
    """A server that is running already, and goes on running. `direct` connects past whatever clients go through."""

    has_processes = True
    faults: frozenset[str] = frozenset()

    def __init__(self, address: str, connect: Connect, *, direct: Connect | None = None) -> None:
        self.name = address
        self.connect = connect
        self.direct = connect if direct is None else direct

    def stop(self) -> None:
        """Nothing: it isn't ours."""

    restart = kill = pause = resume = stop

    def complaints(self) -> list[str]:
        """None that we could know of."""
        return []
