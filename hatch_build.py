"""Builds the compiled quick lane where there is a C compiler, and goes on without it where there is none.

The wheel, or the editable install, has mvcc_kv/server/redis/_quick.*.so then; without it `quick.py` does the same in
Python. With MVCC_KV_PURE=1 in the environment nothing is compiled.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("mvcc_kv/server/redis/_quick.c")
FLAGS = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden"]


class CompiledLane(BuildHookInterface):
    """Hatchling calls this before it packs a wheel; see `tool.hatch.build.targets.wheel.hooks.custom`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if os.environ.get("MVCC_KV_PURE", "") not in ("", "0"):
            return
        target = SOURCE.with_name(f"_quick{sysconfig.get_config_var('EXT_SUFFIX')}")
        if self._compile(Path(self.root) / SOURCE, Path(self.root) / target):
            build_data["artifacts"].append(target.as_posix())
            build_data["infer_tag"] = True
            build_data["pure_python"] = False

    def _compile(self, source: Path, target: Path) -> bool:
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        include = sysconfig.get_paths()["include"]
        command = [*compiler, *FLAGS, f"-I{include}", str(source), "-o", str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            why = str(error)
        else:
            why = done.stderr.strip()
            if done.returncode == 0:
                return True
        self.app.display_warning(f"the quick lane was not compiled, its Python twin takes its place: {why[-300:]}")
        return False
