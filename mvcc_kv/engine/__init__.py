"""The engine: a versioned store, its transactions, and the one commit section. Pure: no files, sockets or clocks.

chains.py       what one key held, newest first: immutable nodes that readers walk without a lock
index.py        the chains by key, in order
snapshots.py    which timestamps are being read, which old versions only they still need, and how much that is
history.py      what the last commits changed: for reads in the past and the change feed
expiry.py       which keys go by themselves, and when
reads.py        what a transaction has read, by key and by range
clashes.py      what open transactions can still clash with
contention.py   which keys conflicts are about
turns.py        who begins next, of those who lost the same key
transaction.py  buffered writes and additions over a snapshot
opened.py       the open transactions
outcomes.py     what became of commits whose client may ask again
versions.py     all of the versions, and when each goes
validation.py   has a transaction lost what it wrote, or read?
commit_log.py   where commits hand their record
section.py      the commit section, and all that the rooms above it share
pinning.py      how much old snapshots may keep alive
sweep.py        keys whose time is up, taken away
direct.py       writes outside of transactions
calm.py         commits that meet nobody
lanes.py        gets and puts by the batch
home.py         where transactions begin, read, and end
following.py    who waits for the next commit
store.py        the face of all that
"""

from mvcc_kv.engine.commit_log import CommitLog
from mvcc_kv.engine.history import CommitHistory, Superseded
from mvcc_kv.engine.store import VersionedStore
from mvcc_kv.engine.transaction import Transaction

__all__ = ["CommitHistory", "CommitLog", "Superseded", "Transaction", "VersionedStore"]
