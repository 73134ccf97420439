"""Every number of the server that can be turned, with its default. Sizes in bytes, times in seconds, 0 = no limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mvcc_kv.engine.changes import CHANGES_BUFFER_BYTES
from mvcc_kv.protocol.resp.requests import BULK_BYTES_MAX, MEMBERS_MAX

__all__ = ["Fsync", "Settings"]

Fsync: TypeAlias = Literal["always", "interval", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a server behaves. The command line's options have the same names."""

    host: str = "127.0.0.1"
    port: int = 8080
    password: str | None = None
    insecure: bool = False

    # What a client may ask for
    max_transaction_bytes: int = 1024
    line_quiet_ms: int = 50
    strict_lines: bool = False
    max_bulk_bytes: int = BULK_BYTES_MAX
    max_array_members: int = MEMBERS_MAX

    # How much a client may hold
    max_connections: int = 10_000
    idle_timeout_s: float = 0.0
    transaction_timeout_s: float = 0.0
    receive_bytes: int = 64 * 1024
    commands_per_turn: int = 256
    output_high_bytes: int = 1024 * 1024
    output_max_bytes: int = 64 * 1024 * 1024
    max_read_set_bytes: int = 16 * 1024 * 1024
    max_pinned_bytes: int = 1024 * 1024 * 1024

    # The change feed
    feed_heartbeat_s: float = 5.0
    changes_buffer_bytes: int = CHANGES_BUFFER_BYTES

    # What the server does by itself
    fsync: Fsync = "always"
    checkpoint_interval_s: float = 300.0
    checkpoint_log_bytes: int = 64 * 1024 * 1024
    retain_seconds: float = 0.0  # of history; both 0: none is kept
    retain_bytes: int = 0
    stop_grace_s: float = 5.0
    busy_poll_us: int = 100
