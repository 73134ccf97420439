"""Imports run one way, and the pure rooms stay pure: the rooms of the package, and what each may know.

Of stress/ a few modules reach outside of the process: what puts a server up, what breaks its network, what writes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mvcc_kv

ROOT = Path(mvcc_kv.__file__).parent
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))

BASICS = {"api", "compiled", "errors", "values"}
MAY_IMPORT: dict[str, set[str]] = {
    "version": set(),
    "errors": set(),
    "api": set(),
    "collector": set(),
    "compiled": set(),
    "values": {"errors"},
    "hunch": set(),
    "retry": {"api", "errors", "hunch"},
    "changes": BASICS,
    "database": {*BASICS, "changes", "mapping", "retry"},
    "mapping": BASICS,
    "engine": BASICS,
    "protocol": BASICS,
    "durability": {*BASICS, "collector", "engine"},
    "server": {*BASICS, "engine", "protocol", "version"},
    "client": {*BASICS, "protocol", "version"},
    "stress": {*BASICS, "retry", "version"},
    "stress/disk": {"durability", "stress"},  # a file system of the tested program, which runs in its process
    "stress/pytest_plugin": {"__init__", "stress"},
    "__init__": {*BASICS, "changes", "client", "database", "durability", "engine", "retry", "version"},
    "__main__": {"cli"},
}
MAY_IMPORT["cli"] = {*MAY_IMPORT, "cli"} - {"__main__"}

PURE = {"engine", "protocol"}
IMPURE = {
    "os",
    "io",
    "pathlib",
    "shutil",
    "tempfile",
    "mmap",
    "fcntl",
    "subprocess",
    "multiprocessing",
    "ctypes",
    "sys",
}
IMPURE |= {"socket", "socketserver", "select", "selectors", "ssl", "http", "urllib", "asyncio", "signal", "logging"}
IMPURE |= {"threading", "concurrent", "queue", "sched", "time", "datetime", "random", "secrets", "uuid"}
IMPURE_CALLS = {"__import__", "input", "open", "print"}

OUTSIDE = {
    "os",
    "pathlib",
    "shutil",
    "tempfile",
    "resource",
    "subprocess",
    "multiprocessing",
    "socket",
    "selectors",
    "signal",
}
MAY_REACH_OUTSIDE = {
    "stress/clock.py": {"pathlib"},
    "stress/crew.py": {"multiprocessing", "signal"},
    "stress/leash.py": {"os", "signal"},
    "stress/proxy.py": {"selectors", "socket"},
    "stress/report.py": {"pathlib"},
    "stress/server.py": {"pathlib", "resource", "shutil", "signal", "subprocess"},
}


def imports(tree: ast.AST) -> Iterator[str]:
    """The dotted name of everything that is imported, inside functions too; `from a import b` is `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def violations(path: str, source: str) -> list[str]:
    """What the module at `path`, relative to the package, imports or calls and must not."""
    module = path.removesuffix(".py")
    room = module if module in MAY_IMPORT else module.split("/")[0]
    tree = ast.parse(source)
    found = []
    for name in imports(tree):
        top, *below = name.split(".")
        if not top:
            found.append(f"relative import {name}")
        elif top == "mvcc_kv":
            other = below[0] if below and below[0] in MAY_IMPORT else "__init__"
            if other != room and other not in MAY_IMPORT[room]:
                found.append(f"{room} imports {other}")
        elif room in PURE and top in IMPURE and (room, name) != ("engine", "threading.Lock"):
            found.append(f"{room} imports {name}")
        elif room == "stress" and top in OUTSIDE - MAY_REACH_OUTSIDE.get(path, set()):
            found.append(f"{path} imports {name}")
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    if room in PURE:
        found += [f"{room} calls {f.id}" for f in calls if isinstance(f, ast.Name) and f.id in IMPURE_CALLS]
    return found


@pytest.mark.parametrize("path", SOURCES)
def test_a_module_imports_only_what_its_room_may_know(path: str) -> None:
    assert violations(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    ("path", "source", "violation"),
    [
        ("engine/store.py", "import time", "engine imports time"),
        ("engine/store.py", "from threading import Timer", "engine imports threading.Timer"),
        ("engine/store.py", "def f():\n    from os import path", "engine imports os.path"),
        ("protocol/framing.py", "from threading import Lock", "protocol imports threading.Lock"),
        ("protocol/framing.py", "import socket as s", "protocol imports socket"),
        ("protocol/framing.py", "with open('x') as f: pass", "protocol calls open"),
        ("server/loop.py", "from mvcc_kv.durability import Keeper", "server imports durability"),
        ("engine/store.py", "from mvcc_kv import retry", "engine imports retry"),
        ("client/core.py", "import mvcc_kv", "client imports __init__"),
        ("stress/runner.py", "def f():\n    import mvcc_kv.server.loop", "stress imports server"),
        ("stress/runner.py", "import socket", "stress/runner.py imports socket"),
        ("stress/proxy.py", "import subprocess", "stress/proxy.py imports subprocess"),
        ("stress/schedule/program.py", "import mvcc_kv", "stress imports __init__"),
        ("stress/pytest_plugin.py", "from mvcc_kv.engine import VersionedStore", "stress/pytest_plugin imports engine"),
        ("__init__.py", "from mvcc_kv.cli import main", "__init__ imports cli"),
        ("values.py", "from .errors import Error", "relative import .errors.Error"),
    ],
)
def test_a_violation_is_found(path: str, source: str, violation: str) -> None:
    assert violations(path, source) == [violation]


def test_what_is_allowed_is_not_a_violation() -> None:
    assert violations("engine/store.py", "from threading import Lock\nfrom mvcc_kv.api import Page") == []
    assert violations("cli/serve.py", "import os\nfrom mvcc_kv.server import Server\nimport mvcc_kv") == []
