"""What is written twice: a Python module that is the rule, and a C twin beside it that does the same, faster.

The twin `_name.c` is compiled where a compiler was when this was installed; without it, or with MVCC_KV_PURE=1 in the
environment, everything works with Python alone. Tests hold both against each other.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

__all__ = ["compiled_twin"]


def compiled_twin(name: str) -> ModuleType | None:
    """The extension module of this full name; None if there is none, or it is not wanted."""
    if os.environ.get("MVCC_KV_PURE", "") not in ("", "0"):
        return None
    try:
        return import_module(name)
    except ImportError:
        return None
