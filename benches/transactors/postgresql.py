"""Transactions in PostgreSQL, at REPEATABLE READ, which is its snapshot isolation.

    BEGIN ...; SELECT value ... WHERE key = $1    ->  UPDATE kv SET value = $2 WHERE key = $1; COMMIT

Statements are prepared, and those of a round trip are sent at once, in libpq's pipeline mode: through psycopg's binding
of it, with none of its own objects around the rows. Who lost gets an error for the UPDATE or the COMMIT and has to roll
back, which goes along with the next BEGIN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from psycopg import pq

from benches.databases import POSTGRESQL_USER
from benches.transactors.attempts import Script, incremented, key_name

__all__ = ["ASYNCHRONOUS", "SYNCHRONOUS"]

_Statement: TypeAlias = "tuple[bytes, list[bytes]]"
_PREPARED = {
    b"begin": b"BEGIN ISOLATION LEVEL REPEATABLE READ",
    b"read": b"SELECT value FROM kv WHERE key = $1",
    b"write": b"UPDATE kv SET value = $2 WHERE key = $1",
    b"commit": b"COMMIT",
    b"rollback": b"ROLLBACK",
}
_LOST = (b"40001", b"40P01")  # a serialization failure, a deadlock
_FINE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED)


class _PgConnection:
    """A connection in pipeline mode: some statements at once, then their results."""

    def __init__(self, connection: pq.PGconn) -> None:
        self._connection = connection
        for name, statement in _PREPARED.items():
            _checked(connection.prepare(name, statement))
        connection.nonblocking = 1
        connection.enter_pipeline_mode()
        self._results: list[pq.PGresult] = []
        self._has_lost = False
        self.close = connection.finish

    def fileno(self) -> int:
        number: int = self._connection.socket
        return number

    def begin(self, request: list[_Statement]) -> None:
        """Send these statements."""
        self._results = []
        for name, parameters in request:
            self._connection.send_query_prepared(name, parameters)
        self._connection.pipeline_sync()
        while self._connection.flush():
            pass

    def take(self) -> list[pq.PGresult] | None:
        """Their results, or None as long as one is missing."""
        self._connection.consume_input()
        while not self._connection.is_busy():
            result = self._connection.get_result()
            if result is None:
                continue  # the end of one statement's results
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return self._results
            self._results.append(result)
        return None

    def attempt(self, keys: Sequence[bytes]) -> Script:
        """BEGIN and SELECT, UPDATE and COMMIT."""
        head: list[_Statement] = [(b"rollback", [])] if self._has_lost else []
        reads = yield [*head, (b"begin", []), *((b"read", [key]) for key in keys)]
        values = [_checked(result).get_value(0, 0) for result in reads[-len(keys) :]]
        writes = [(b"write", [key, incremented(value)]) for key, value in zip(keys, values, strict=True)]
        done = yield [*writes, (b"commit", [])]
        self._has_lost = any(_is_lost(result) for result in done)
        return not self._has_lost


def _is_lost(result: pq.PGresult) -> bool:
    if result.status in _FAILED and result.error_field(pq.DiagnosticField.SQLSTATE) in (*_LOST, None):
        return True
    _checked(result)
    return False


def _checked(result: pq.PGresult) -> Any:
    """The result. Raises `RuntimeError` if it is an error."""
    if result.status not in _FINE:
        raise RuntimeError(f"PostgreSQL answered {result.error_message.decode().strip()}")
    return result


class _PostgreSQL:
    """A cluster, with one setting of synchronous_commit."""

    def __init__(self, synchronous_commit: str) -> None:
        self._options = f"-c synchronous_commit={synchronous_commit}"

    def _connected(self, port: int) -> pq.PGconn:
        words = f"host=127.0.0.1 port={port} user={POSTGRESQL_USER} dbname=postgres options='{self._options}'"
        connection = pq.PGconn.connect(words.encode())
        if connection.status != pq.ConnStatus.OK:
            raise RuntimeError(f"PostgreSQL can't be reached: {connection.error_message.decode().strip()}")
        return connection

    def connect(self, port: int) -> _PgConnection:
        return _PgConnection(self._connected(port))

    def stock(self, port: int, keys: int) -> None:
        connection = self._connected(port)
        _checked(connection.exec_(b"DROP TABLE IF EXISTS kv"))
        _checked(connection.exec_(b"CREATE TABLE kv (key text PRIMARY KEY, value text NOT NULL)"))
        rows = ",".join(f"('{key_name(number).decode()}', '{0:032d}')" for number in range(keys))
        _checked(connection.exec_(f"INSERT INTO kv VALUES {rows}".encode()))
        _checked(connection.exec_(b"VACUUM ANALYZE kv"))
        connection.finish()

    def total(self, port: int, keys: int) -> int:
        connection = self._connected(port)
        result = _checked(connection.exec_(b"SELECT sum(value::numeric) FROM kv"))
        connection.finish()
        return int(result.get_value(0, 0))


SYNCHRONOUS = _PostgreSQL("on")
ASYNCHRONOUS = _PostgreSQL("off")
