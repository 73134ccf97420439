"""Every module with commands: importing this one fills the table. So the session is to be had from here."""

from mvcc_kv.server.redis import (
    bitfields,
    bits,
    counters,
    dumping,
    expiring,
    greeting,
    keys,
    objects,
    ours,
    scanning,
    setting,
    strings,
    subsequences,
    transactions,
)
from mvcc_kv.server.redis.session import RedisSession

__all__ = [
    "RedisSession",
    "bitfields",
    "bits",
    "counters",
    "dumping",
    "expiring",
    "greeting",
    "keys",
    "objects",
    "ours",
    "scanning",
    "setting",
    "strings",
    "subsequences",
    "transactions",
]
