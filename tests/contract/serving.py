"""A real server in a thread of the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from mvcc_kv.engine import VersionedStore
from mvcc_kv.server import Listeners, Server, Settings


@contextmanager
def serving(store: VersionedStore | None = None, *, port: int = 0, **settings: Any) -> Iterator[str]:
    """The address of a server over the store, or over an empty one, until the end of the block."""
    chosen = Settings(port=port, **settings)
    listeners = Listeners(chosen)
    listeners.listen()
    address = listeners.address
    server = Server(store or VersionedStore(), chosen, listeners)
    thread = Thread(target=server.serve)
    thread.start()
    try:
        yield address
    finally:
        server.stop()
        thread.join()
