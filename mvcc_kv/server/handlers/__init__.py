"""The handlers: what a session does for each command.

    keys.py          GET, PUT, DEL, ADD, SCAN, HISTORY
    starting.py      START, and its turn
    transactions.py  COMMIT, ROLLBACK, TRANSACTIONS, KILL
    store.py         STATS, CHECKPOINT, BACKUP, CHANGES
    conversation.py  PING, HELP, AUTH, QUIT

Each takes the session and its command, and gives the reply, or None if that comes later. What it can't do it raises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mvcc_kv.protocol import commands
from mvcc_kv.server.handlers import conversation, keys, starting, store, transactions

if TYPE_CHECKING:
    from mvcc_kv.server.session import Session

__all__ = ["HANDLERS"]

HANDLERS: dict[type[commands.Command], Callable[[Session, Any], bytes | None]] = {
    commands.Get: keys.get,
    commands.Put: keys.put,
    commands.Delete: keys.delete,
    commands.Add: keys.add,
    commands.Scan: keys.scan,
    commands.History: keys.history,
    commands.Start: starting.start,
    commands.Commit: transactions.commit,
    commands.Rollback: transactions.rollback,
    commands.Transactions: transactions.transactions,
    commands.Kill: transactions.kill,
    commands.Stats: store.stats,
    commands.Checkpoint: store.checkpoint,
    commands.Backup: store.backup,
    commands.Changes: store.changes,
    commands.Ping: conversation.ping,
    commands.Help: conversation.usage,
    commands.Quit: conversation.leave,
    commands.Auth: conversation.log_in,
}
