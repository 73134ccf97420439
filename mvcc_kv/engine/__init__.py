"""The engine: a versioned store, its transactions, and the one commit section. Pure: no files, sockets or clocks.

chains.py       what one key held, newest first: immutable nodes that readers walk without a lock
snapshots.py    which timestamps are being read, and which old versions only they still need
history.py      what the last commits changed: for reads in the past and the change feed
store.py        the ordered index of chains, the commit section, and the collection of versions
transaction.py  buffered writes over a snapshot
"""

from mvcc_kv.engine.history import CommitHistory, Superseded
from mvcc_kv.engine.store import CommitLog, VersionedStore
from mvcc_kv.engine.transaction import Transaction

__all__ = ["CommitHistory", "CommitLog", "Superseded", "Transaction", "VersionedStore"]
