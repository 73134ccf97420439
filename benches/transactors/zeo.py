"""Transactions in ZODB over ZEO, with its own client: a persistent object a counter, in a BTree.

That client is blocking, so each connection of the database has a thread. They share one storage and its socket, as
threads of a program do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from threading import Thread
from typing import Any

import transaction
import ZEO
import ZODB
from BTrees.OOBTree import OOBTree
from ZODB.POSException import ConflictError

from benches.transactors.attempts import Done, Job, choices, incremented, key_name
from benches.transactors.cells import Cell

__all__ = ["run_zeo"]


def _stock(root: Any, keys: int) -> None:
    """Make so many counters, at zero."""
    root.cells = OOBTree({key_name(number): Cell(incremented(b"-1")) for number in range(keys)})


def _increment_all(cells: Any, keys: Iterable[bytes]) -> None:
    """Add one to each."""
    for key in keys:
        cell = cells[key]
        cell.value = incremented(cell.value)


def run_zeo(job: Job) -> Done:
    """Do the job. Raises `RuntimeError` if an update was lost."""
    storage = ZEO.client(("127.0.0.1", job.port))
    database = ZODB.DB(storage, pool_size=job.connections, cache_size=2 * job.keys)
    with database.transaction() as connection:
        _stock(connection.root, job.keys)
    counters = [_Counter(database, job, number) for number in range(job.connections)]
    began_at, began_cpu_s = time.perf_counter(), time.process_time()
    for counter in counters:
        counter.until = began_at + job.seconds
        counter.start()
    for counter in counters:
        counter.join()
    took_s, cpu_s = time.perf_counter() - began_at, time.process_time() - began_cpu_s
    done = Done(sum(it.commits for it in counters), sum(it.conflicts for it in counters), took_s, cpu_s)
    with database.transaction() as connection:
        total = sum(int(cell.value) for cell in connection.root.cells.values())
    if total != done.commits * job.keys_each:
        raise RuntimeError(f"{done.commits} transactions on {job.keys_each} keys, but the counters say {total}")
    return done


class _Counter:
    """A thread with a connection of its own, which has seen all counters before: they are in its cache."""

    def __init__(self, database: Any, job: Job, number: int) -> None:
        picked = choices(job)
        start = len(picked) * number // job.connections
        self._keys = picked[start:] + picked[:start]
        self.until = 0.0
        self.commits = self.conflicts = 0
        self._manager = transaction.TransactionManager(explicit=True)
        self._manager.begin()
        self._connection = database.open(self._manager)
        for cell in self._connection.root.cells.values():
            cell._p_activate()
        self._manager.abort()
        thread = Thread(target=self._run)
        self.start, self.join = thread.start, thread.join

    def _run(self) -> None:
        manager, connection = self._manager, self._connection
        while time.perf_counter() < self.until:
            keys = self._keys[self.commits % len(self._keys)]
            manager.begin()
            try:
                _increment_all(connection.root.cells, keys)
                manager.commit()
                self.commits += 1
            except ConflictError:
                manager.abort()
                self.conflicts += 1
