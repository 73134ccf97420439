"""Every module with commands: importing this one fills the table. So the session is to be had from here."""

<<<<<<< HEAD
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
=======
from mvcc_kv.server.redis import bitfields, bits, counters, greeting, ours, setting, strings, subsequences, transactions
>>>>>>> rstr
from mvcc_kv.server.redis.session import RedisSession

__all__ = [
    "RedisSession",
<<<<<<< HEAD
    "dumping",
    "expiring",
    "greeting",
    "keys",
    "objects",
    "ours",
    "scanning",
    "strings",
=======
    "bitfields",
    "bits",
    "counters",
    "greeting",
    "ours",
    "setting",
    "strings",
    "subsequences",
>>>>>>> rstr
    "transactions",
]
