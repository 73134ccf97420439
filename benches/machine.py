"""What the figures were measured on: they say little about another machine."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from benches.programs import find_program
from mvcc_kv.server.redis.quick import IS_COMPILED
from mvcc_kv.version import __version__

__all__ = ["describe_machine", "describe_peers"]


def describe_machine() -> dict[str, str | int | float | bool]:
    """The machine, how busy it was before, the interpreter and how that was built (profile-guided, link-time)."""
    built_with = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "interpreter": os.path.realpath(sys.executable),
        "debians": _is_debians(),
        "pgo": "--enable-optimizations" in built_with or _is_debians(),
        "lto": "--with-lto" in built_with or "-flto" in (sysconfig.get_config_var("PY_LDFLAGS_NODIST") or ""),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "mvcc_kv": __version__,
        "lane": "compiled" if IS_COMPILED else "Python",
    }


def describe_peers() -> dict[str, str]:
    """The versions of what we are compared with, and of what does the comparing; without those that are missing."""
    programs = {name: _version_said_by(name) for name in ("redis-server", "redis-benchmark", "etcd", "postgres")}
    packages = {name: _version_of(name) for name in ("hiredis", "psycopg", "ZODB", "ZEO", "lmdb")}
    found = {**programs, **packages, "sqlite3": sqlite3.sqlite_version}
    return {name: version for name, version in found.items() if version}


def _version_said_by(name: str) -> str:
    program = find_program(name)
    if program is None:
        return ""
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    match = re.search(r"[0-9]+\.[0-9]+[0-9.]*", said)
    return match[0] if match else ""


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _is_debians() -> bool:
    """Is the interpreter Debian's package? That is built with a profile, but doesn't say so in its settings."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    package = Path(f"/var/lib/dpkg/info/python{version}-minimal.list")
    return sys.base_prefix == "/usr" and package.exists()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
