"""The commands of the line protocol, as `grammar.parse` makes them and sessions execute them."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from mvcc_kv.api import KeyRange, TransactionOptions

__all__ = [
    "HISTORY_VERSIONS",
    "HISTORY_VERSIONS_MAX",
    "SCAN_ITEMS_MAX",
    "Add",
    "Auth",
    "Backup",
    "Changes",
    "Checkpoint",
    "Command",
    "Commit",
    "Delete",
    "Get",
    "Help",
    "History",
    "Kill",
    "Ping",
    "Put",
    "Quit",
    "Rollback",
    "Scan",
    "Start",
    "Stats",
    "Transactions",
]

# A SCAN's reply holds at most this many items; its `next` says where the rest begins.
SCAN_ITEMS_MAX = 1_000
# And a HISTORY's so many versions; the rest are those before its `next`.
HISTORY_VERSIONS_MAX = 1_000
HISTORY_VERSIONS = 100  # unless the client wants another number of them


class Get(msgspec.Struct, frozen=True, gc=False):
    """`tracked`: what others do to the key may be a conflict for this transaction.

    `wants_ttl`: the answer says for how long it is there yet.
    """

    key: bytes
    tracked: bool = True
    wants_ttl: bool = False


class Put(msgspec.Struct, frozen=True, gc=False):
    """`id` lets the client ask what became of it, or send it again. `ttl_s`: for how many seconds, if not for good."""

    key: bytes
    value: bytes
    id: str | None = None
    ttl_s: float | None = None


class Delete(msgspec.Struct, frozen=True, gc=False):
    """`id` as in `Put`."""

    key: bytes
    id: str | None = None


class Add(msgspec.Struct, frozen=True, gc=False):
    """`by` is a JSON number as it was sent; `id` as in `Put`."""

    key: bytes
    by: bytes
    id: str | None = None


class Scan(msgspec.Struct, frozen=True):
    """`tracked` as in `Get`."""

    keys: KeyRange
    limit: int
    reverse: bool
    keys_only: bool
    tracked: bool = True


class History(msgspec.Struct, frozen=True):
    """The versions before the commit at `before_ts`, all if it is None; `tracked` as in `Get`."""

    key: bytes
    limit: int = HISTORY_VERSIONS
    before_ts: int | None = None
    tracked: bool = True


class Start(msgspec.Struct, frozen=True):
    options: TransactionOptions
    wants_object: bool


class Commit(msgspec.Struct, frozen=True):
    """`id` and `after` let the client ask again; `waits`: the reply leaves when the commit is durable."""

    wants_object: bool
    id: str | None = None
    after: int | None = None
    waits: bool = True


class Rollback(msgspec.Struct, frozen=True):
    pass


class Transactions(msgspec.Struct, frozen=True):
    pass


class Kill(msgspec.Struct, frozen=True):
    transaction: int


class Stats(msgspec.Struct, frozen=True):
    pass


class Checkpoint(msgspec.Struct, frozen=True):
    pass


class Backup(msgspec.Struct, frozen=True):
    keys: KeyRange


class Changes(msgspec.Struct, frozen=True):
    """The feed of the commits after `from_ts`, of what they change under `prefix`; from now on if it is None."""

    prefix: bytes
    from_ts: int | None


class Ping(msgspec.Struct, frozen=True):
    pass


class Help(msgspec.Struct, frozen=True):
    pass


class Quit(msgspec.Struct, frozen=True):
    pass


class Auth(msgspec.Struct, frozen=True):
    password: str


Command: TypeAlias = (
    Get
    | Put
    | Delete
    | Add
    | Scan
    | History
    | Start
    | Commit
    | Rollback
    | Transactions
    | Kill
    | Stats
    | Checkpoint
    | Backup
    | Changes
    | Ping
    | Help
    | Quit
    | Auth
)
