"""The client side of the line protocol: a store over TCP.

    core.py         a conversation, in bytes only: commands out, replies in. No socket, no clock
    encoding.py     commands as bytes
    decoding.py     what results say
    connection.py   one socket and its deadlines around a core
    pool.py         connections kept for the next use, at most so many at once
    inquiry.py      asking what became of a commit whose reply was lost
    changes.py      following a server's commits, on a connection of its own
    store.py        `RemoteStore`: what a lost connection means at each point
    transaction.py  `RemoteTransaction`

`mvcc_kv.connect` puts a `Database` over it.
"""

from mvcc_kv.client.inquiry import Patience
from mvcc_kv.client.store import RemoteStore

__all__ = ["Patience", "RemoteStore"]
