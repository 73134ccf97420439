"""The server: one thread, one `selectors` loop, and what hangs on it.

settings.py     every number that can be turned
loop.py         sockets: accept, receive, send, timers, stop
connection.py   a connection without its socket: bytes in, replies out, bounded
session.py      a client's state: its commands become replies
handlers/       what it does for each command
opened.py       its open transaction
waiting.py      a START that waits for its turn
streams.py      replies of many lines: backup.py, feed.py
served.py       what sessions stand on: the store, and what they share
notice.py       a transaction that has lost already is told so
scans.py        pages of bounded size and work
checkpoints.py  checkpoints written beside the loop: slices of work here, the disk on a worker
worker.py       the thread that waits for the disk
deadlines.py    timers
logs.py         structured logs on standard error
"""

from mvcc_kv.server.listeners import Listeners
from mvcc_kv.server.loop import Server
from mvcc_kv.server.settings import Settings

__all__ = ["Listeners", "Server", "Settings"]
