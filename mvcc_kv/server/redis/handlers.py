"""Every module with commands: importing this one fills the table. So the session is to be had from here."""

from mvcc_kv.server.redis import (
    clients,
    config,
    greeting,
    info,
    introspection,
    memory,
    ours,
    pubsub,
    server,
    slowness,
    strings,
    transactions,
)
from mvcc_kv.server.redis.session import RedisSession

__all__ = [
    "RedisSession",
    "clients",
    "config",
    "greeting",
    "info",
    "introspection",
    "memory",
    "ours",
    "pubsub",
    "server",
    "slowness",
    "strings",
    "transactions",
]
