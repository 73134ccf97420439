"""What the figures were measured on: they say little about another machine."""

from __future__ import annotations

import os
import platform
import sysconfig
from pathlib import Path

from mvcc_kv.version import __version__

__all__ = ["describe_machine"]


def describe_machine() -> dict[str, str | int | float | bool]:
    """The machine, how busy it was before, the interpreter and how that was built (profile-guided, link-time)."""
    built_with = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "pgo": "--enable-optimizations" in built_with,
        "lto": "--with-lto" in built_with,
        "mvcc_kv": __version__,
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
