"""A bounded pool of connections, shared by threads.

    permits   o o o . .        one for each connection that may still be taken (SimpleQueue)
    idle      [c1, c2]         open ones for reuse, the latest used on top (deque)

Taking a connection takes a permit, then the top idle one or a new one; giving it back puts it on top and
then the permit. So idle ones and lent ones together are never more than the permits made at the start.

There is no lock of our own here, on purpose. Python may collect a forgotten transaction, and with it give
back a connection, at any point of any thread, also halfway through the code below; `SimpleQueue.put` and
`deque.append` are made to be called there.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable

from mvcc_kv.client.connection import Connection
from mvcc_kv.errors import UnavailableError

__all__ = ["ConnectionPool", "Lease"]


class ConnectionPool:
    """Up to `connections_max` connections made by `dial`; whoever finds all lent waits up to `wait_s` for one."""

    def __init__(self, dial: Callable[[], Connection], *, connections_max: int, wait_s: float) -> None:
        self._dial = dial
        self._connections_max = connections_max
        self._wait_s = wait_s
        self._idle: deque[Connection] = deque()
        self._permits: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._closed = False
        for _ in range(connections_max):
            self._permits.put(None)

    def acquire(self) -> Connection:
        """A connection to be given back: the latest used that is still alive, or a new one.

        Raises `UnavailableError` (retryable) when none came free in time, and whatever dialling raises.
        """
        self._take_permit()
        try:
            return self._reuse() or self._dial()
        except BaseException:
            self._permits.put(None)
            raise

    def release(self, connection: Connection) -> None:
        """Give a connection back. One that is closed or in the middle of something is dropped."""
        if connection.is_reusable:
            self._idle.append(connection)
        else:
            connection.close()
        self._permits.put(None)
        if self._closed:
            self._drop_idle()

    def dial(self) -> Connection:
        """A connection beside the pool's, which the caller closes. Raises what dialling raises."""
        self._must_be_open()
        return self._dial()

    def lease(self) -> Lease:
        """A connection as `acquire` gives it, or whatever takes its place, until the end of a `with` block."""
        return Lease(self, self.acquire())

    def renew(self, connection: Connection) -> Connection:
        """A connection in place of a lent one, if that is of no use any more. Raises what dialling raises."""
        if connection.is_alive():
            return connection
        connection.close()
        return self._reuse() or self._dial()

    def close(self) -> None:
        """Close the idle connections now and the lent ones as they come back."""
        self._closed = True
        self._drop_idle()
        self._permits.put(None)  # wakes one waiter, who wakes the next

    def _take_permit(self) -> None:
        try:
            self._permits.get(timeout=self._wait_s)
        except queue.Empty:
            raise UnavailableError(
                f"all {self._connections_max} connections were in use for {self._wait_s:g} s; "
                "end transactions sooner, or connect with a larger connections_max",
                retryable=True,
            ) from None
        if self._closed:
            self._permits.put(None)
        self._must_be_open()

    def _must_be_open(self) -> None:
        if self._closed:
            raise UnavailableError("this client was closed; connect again", retryable=False)

    def _reuse(self) -> Connection | None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if connection.is_alive():
                return connection
            connection.close()
        return None

    def _drop_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return


class Lease:
    """A lent connection. `renewed` may put another one in its place; `end` gives back what there is then, once."""

    __slots__ = ("_pool", "connection")

    def __init__(self, pool: ConnectionPool, connection: Connection) -> None:
        self._pool = pool
        self.connection: Connection | None = connection

    def renewed(self) -> Connection:
        """The connection if it is of use, or a new one. Raises what dialling raises."""
        assert self.connection is not None, "it has not ended"
        self.connection = self._pool.renew(self.connection)
        return self.connection

    def end(self) -> None:
        """Give the connection back. Calling it again does nothing."""
        connection, self.connection = self.connection, None
        if connection is not None:
            self._pool.release(connection)

    def __enter__(self) -> Connection:
        assert self.connection is not None, "it has not ended"
        return self.connection

    def __exit__(self, *exc_info: object) -> None:
        self.end()
