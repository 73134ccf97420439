"""Every module with commands: importing this one fills the table. So the session is to be had from here."""

from mvcc_kv.server.redis import (
    dumping,
    expiring,
    greeting,
    keys,
    objects,
    ours,
    scanning,
    strings,
    transactions,
)
from mvcc_kv.server.redis.session import RedisSession

__all__ = [
    "RedisSession",
    "dumping",
    "expiring",
    "greeting",
    "keys",
    "objects",
    "ours",
    "scanning",
    "strings",
    "transactions",
]
