"""INFO: sections of `name:value`, under the names that clients and dashboards look for."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.greeting import REDIS_VERSION
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.version import __version__

__all__ = ["human_bytes", "resident_bytes"]

_Facts: TypeAlias = "dict[str, object]"
_PAGE_BYTES = resource.getpagesize()


@command("info", -1, "loading stale", group="server", summary="Get information and statistics about the server")
def info(session: RedisSession, arguments: list[bytes]) -> bytes:
    wanted = _wanted([word.decode("utf-8", "replace").lower() for word in arguments[1:]])
    stats = session.services.stats()
    parts = [_section(name, facts(session, stats)) for name, facts in _SECTIONS.items() if name.lower() in wanted]
    return resp.verbatim("\r\n".join(parts).encode(), session.proto)


def _wanted(words: list[str]) -> set[str]:
    every = {name.lower() for name in _SECTIONS}
    wanted = set(words or ("default",))
    if wanted & {"all", "everything"}:
        wanted |= every
    if "default" in wanted:
        wanted |= every - {"commandstats", "latencystats"}
    return wanted


def _section(name: str, facts: _Facts) -> str:
    return "".join([f"# {name}\r\n", *(f"{fact}:{value}\r\n" for fact, value in facts.items())])


def _server(session: RedisSession, stats: dict[str, Any]) -> _Facts:
    house, uptime_s = session.house, int(time.time() - session.house.started_at)
    return {
        "redis_version": REDIS_VERSION,
        "mvcc_kv_version": __version__,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": "0",
        "redis_mode": "standalone",
        "os": f"{platform.system()} {platform.release()} {platform.machine()}",
        "arch_bits": 64 if sys.maxsize > 2**32 else 32,
        "multiplexing_api": "epoll",
        "process_id": os.getpid(),
        "process_supervised": "no",
        "run_id": house.run_id,
        "tcp_port": house.address.rpartition(":")[2],
        "server_time_usec": session.services.store.now_us(),
        "uptime_in_seconds": uptime_s,
        "uptime_in_days": uptime_s // 86_400,
        "hz": 10,
        "configured_hz": 10,
        "executable": sys.executable,
        "config_file": "",
        "io_threads_active": 0,
    }


def _clients(session: RedisSession, stats: dict[str, Any]) -> _Facts:
    house = session.house
    return {
        "connected_clients": len(house.sessions),
        "mvcc_kv_connections": stats.get("connections", len(house.sessions)),
        "cluster_connections": 0,
        "maxclients": house.settings.max_connections,
        "blocked_clients": 0,
        "tracking_clients": 0,
        "clients_in_timeout_table": 0,
    }


def _memory(_: RedisSession, stats: dict[str, Any]) -> _Facts:
    used, peak = resident_bytes(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    total = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    return {
        "used_memory": used,
        "used_memory_human": human_bytes(used),
        "used_memory_rss": used,
        "used_memory_rss_human": human_bytes(used),
        "used_memory_peak": max(used, peak),
        "used_memory_peak_human": human_bytes(max(used, peak)),
        "total_system_memory": total,
        "total_system_memory_human": human_bytes(total),
        "used_memory_lua": 0,
        "used_memory_scripts": 0,
        "number_of_cached_scripts": 0,
        "number_of_functions": 0,
        "maxmemory": 0,
        "maxmemory_human": "0B",
        "maxmemory_policy": "noeviction",
        "mem_fragmentation_ratio": "1.00",
        "mem_allocator": "libc",
        "active_defrag_running": 0,
        "lazyfree_pending_objects": 0,
        "mvcc_kv_versions": stats.get("versions", 0),
        "mvcc_kv_pinned_bytes": stats.get("pinned_bytes", 0),
    }


def _persistence(session: RedisSession, stats: dict[str, Any]) -> _Facts:
    house = session.house
    has_failed = stats.get("log_failure") is not None
    return {
        "loading": 0,
        "async_loading": 0,
        "rdb_changes_since_last_save": stats["visible_ts"] - (stats.get("checkpoint_ts") or 0) if house.keeps else 0,
        "rdb_bgsave_in_progress": int(house.is_saving),
        "rdb_last_save_time": int(house.saved_at),
        "rdb_last_bgsave_status": "ok",
        "rdb_last_bgsave_time_sec": -1,
        "rdb_current_bgsave_time_sec": -1,
        "aof_enabled": int(house.keeps),
        "aof_rewrite_in_progress": 0,
        "aof_rewrite_scheduled": 0,
        "aof_last_rewrite_time_sec": -1,
        "aof_current_rewrite_time_sec": -1,
        "aof_last_bgrewrite_status": "ok",
        "aof_last_write_status": "err" if has_failed else "ok",
        "aof_current_size": stats.get("wal_bytes", 0),
    }


def _stats(session: RedisSession, stats: dict[str, Any]) -> _Facts:
    house = session.house
    return {
        "total_connections_received": house.came_total,
        "total_commands_processed": house.commands_total,
        "instantaneous_ops_per_sec": house.rate.per_second(house.commands_total, session.services.clock()),
        "rejected_connections": 0,
        "expired_keys": stats.get("expired_total", 0),
        "evicted_keys": 0,
        "keyspace_hits": house.lookups.hits,
        "keyspace_misses": house.lookups.misses,
        "pubsub_channels": len(house.exchange.channels),
        "pubsub_patterns": len(house.exchange.patterns),
        "latest_fork_usec": 0,
        "total_forks": 0,
        "tracking_total_keys": 0,
        "unexpected_error_replies": 0,
        "total_error_replies": sum(house.errors.values()),
        "mvcc_kv_commits": stats.get("commits_total", 0),
        "mvcc_kv_conflicts": stats.get("conflicts_total", 0),
        "mvcc_kv_rollbacks": stats.get("rollbacks_total", 0),
    }


def _replication(session: RedisSession, stats: dict[str, Any]) -> _Facts:
    return {
        "role": "master",
        "connected_slaves": 0,
        "master_failover_state": "no-failover",
        "master_replid": session.house.run_id,
        "master_replid2": "0" * 40,
        "master_repl_offset": stats["visible_ts"],
        "second_repl_offset": -1,
        "repl_backlog_active": 0,
        "repl_backlog_size": 1_048_576,
        "repl_backlog_first_byte_offset": 0,
        "repl_backlog_histlen": 0,
    }


def _cpu(_: RedisSession, __: dict[str, Any]) -> _Facts:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "used_cpu_sys": f"{own.ru_stime:.6f}",
        "used_cpu_user": f"{own.ru_utime:.6f}",
        "used_cpu_sys_children": f"{children.ru_stime:.6f}",
        "used_cpu_user_children": f"{children.ru_utime:.6f}",
    }


def _commandstats(session: RedisSession, _: dict[str, Any]) -> _Facts:
    told: _Facts = {}
    for name, tally in session.house.tallies.items():
        took_us = tally.took_us
        told[f"cmdstat_{name}"] = (
            f"calls={tally.calls},usec={took_us},usec_per_call={took_us / max(tally.calls, 1):.2f},"
            f"rejected_calls={tally.rejected},failed_calls={tally.failed}"
        )
    return told


def _errorstats(session: RedisSession, _: dict[str, Any]) -> _Facts:
    return {f"errorstat_{code}": f"count={count}" for code, count in session.house.errors.items()}


def _keyspace(session: RedisSession, stats: dict[str, Any]) -> _Facts:
    keys = stats["keys"]
    return {"db0": f"keys={keys},expires={stats.get('expiring_keys', 0)},avg_ttl=0"} if keys else {}


def _nothing(_: RedisSession, __: dict[str, Any]) -> _Facts:
    return {}


_SECTIONS: dict[str, Callable[[RedisSession, dict[str, Any]], _Facts]] = {
    "Server": _server,
    "Clients": _clients,
    "Memory": _memory,
    "Persistence": _persistence,
    "Stats": _stats,
    "Replication": _replication,
    "CPU": _cpu,
    "Modules": _nothing,
    "Commandstats": _commandstats,
    "Errorstats": _errorstats,
    "Latencystats": _nothing,
    "Cluster": lambda _, __: {"cluster_enabled": 0},
    "Keyspace": _keyspace,
}


def resident_bytes() -> int:
    """How much memory the process has; 0 where the system doesn't tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def human_bytes(count: float) -> str:
    """As Redis writes it.

    >>> human_bytes(512), human_bytes(1536)
    ('512B', '1.50K')
    """
    if count < 1024:
        return f"{int(count)}B"
    for unit in "KMGT":
        count /= 1024
        if count < 1024 or unit == "T":
            break
    return f"{count:.2f}{unit}"
