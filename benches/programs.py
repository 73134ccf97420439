"""The programs and Python packages that the benchmarks use, where they are, and what to install to have them.

It needs the standard library only: it is what decides whether there is more.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

__all__ = ["PACKAGES", "find_program", "missing_packages", "missing_programs", "package_of"]

PACKAGES = {
    "redis-server": "redis-server",
    "redis-benchmark": "redis-tools",
    "etcd": "etcd-server",
    "initdb": "postgresql",
    "strace": "strace",
}
_MODULES = {"redis": "redis-py", "hiredis": "hiredis", "psycopg": "psycopg", "ZEO": "ZEO", "lmdb": "lmdb"}
_POSTGRESQL = Path("/usr/lib/postgresql")


def find_program(name: str) -> str | None:
    """Where the program is; None if it isn't. Debian keeps PostgreSQL's own off the path, a directory a version."""
    return shutil.which(name) or next(iter(sorted(map(str, _POSTGRESQL.glob(f"*/bin/{name}")), reverse=True)), None)


def missing_programs() -> list[str]:
    """Which of the programs are not installed."""
    return [name for name in PACKAGES if find_program(name) is None]


def missing_packages() -> list[str]:
    """Which of the Python packages are not installed."""
    return [name for module, name in _MODULES.items() if importlib.util.find_spec(module) is None]


def package_of(program: str) -> str:
    """Debian's package that has the program."""
    return PACKAGES[program]
