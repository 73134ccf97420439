"""The server: one thread, one `selectors` loop, and what hangs on it.

settings.py     every number that can be turned
server.py       the loop, the disk and the store put together
loop.py         turns: who is served, and when; door.py lets clients in, wakeup.py makes it turn
wire.py         many sockets at once: wait for the first, receive from each, send to each
rounds.py       what many plain connections have sent, executed in one go
peer.py         a socket, and the connection that thinks for it
timers.py       what happens to a connection when nothing else does
stopping.py     the last turns
connection.py   a connection without its socket: bytes in, replies out, bounded
session.py      a client's state: its commands become replies
handlers/       what it does for each command
opened.py       its open transaction
waiting.py      a START that waits for its turn
streams.py      replies of many lines: backup.py, feed.py
served.py       what sessions stand on: the store, and what they share
notice.py       a transaction that has lost already is told so
scans.py        pages of bounded size and work
disk.py         commits on their way to the disk, and when a checkpoint is written unasked
commits.py      the log, written beside the loop
checkpoints.py  checkpoints written beside the loop: slices of work here, the disk on a worker
worker.py       the thread that waits for the disk
deadlines.py    timers
logs.py         structured logs on standard error
"""

from mvcc_kv.server.listeners import Listeners
from mvcc_kv.server.server import Server
from mvcc_kv.server.settings import Settings

__all__ = ["Listeners", "Server", "Settings"]
