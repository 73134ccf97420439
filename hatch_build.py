"""Builds what is written in C too where there is a C compiler, and goes on without it where there is none.

Each `_name.c` in the package becomes an extension module beside it, in the wheel or the editable install; without it
its Python twin does the same. With MVCC_KV_PURE=1 in the environment nothing is compiled. CFLAGS are added to ours.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "mvcc_kv"
FLAGS = ["-O3", "-DNDEBUG", "-shared", "-fPIC", "-fvisibility=hidden"]


class CompiledTwins(BuildHookInterface):
    """Hatchling calls this before it packs a wheel; see `tool.hatch.build.targets.wheel.hooks.custom`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if os.environ.get("MVCC_KV_PURE", "") not in ("", "0"):
            return
        root = Path(self.root)
        for source in sorted((root / PACKAGE).rglob("_*.c")):
            target = source.with_name(f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX')}")
            if self._compile(source, target):
                build_data["artifacts"].append(target.relative_to(root).as_posix())
                build_data["infer_tag"] = True
                build_data["pure_python"] = False

    def _compile(self, source: Path, target: Path) -> bool:
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        flags = [*FLAGS, *shlex.split(os.environ.get("CFLAGS", ""))]
        target.unlink(missing_ok=True)  # an older one is worse than none
        command = [*compiler, *flags, f"-I{sysconfig.get_paths()['include']}", str(source), "-o", str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            why = str(error)
        else:
            why = done.stderr.strip()
            if done.returncode == 0:
                return True
        self.app.display_warning(f"{source.name} was not compiled, its Python twin takes its place: {why[-300:]}")
        return False
