"""A wall clock that jumps, for a program that is started through here.

    python -m mvcc_kv.stress.clock OFFSET mvcc_kv serve --port 0 ...

runs the module `mvcc_kv` with those arguments. To it `time.time` and `time.time_ns` are off by what the file OFFSET
holds at that moment: nanoseconds, eight bytes, which whoever started it may change at any time. The monotonic clock is
as it is. It is the program's own idea of the time that jumps, not the machine's, so nobody else is disturbed.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Offset", "run_with"]

_OFFSET = struct.Struct("<q")


class Offset:
    """By how much a clock is off, in a file that two processes share."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _OFFSET.size)

    @property
    def ns(self) -> int:
        """What it is now, in nanoseconds."""
        offset_ns: int = _OFFSET.unpack_from(self._shared)[0]
        return offset_ns

    def jump(self, to_ns: int) -> None:
        """Let it be so much from now on."""
        _OFFSET.pack_into(self._shared, 0, to_ns)

    def shifted(self, clock_ns: Callable[[], int]) -> Callable[[], int]:
        """That clock, off by it."""
        return lambda: clock_ns() + self.ns


def run_with(offset: Offset, module: str, arguments: list[str]) -> None:
    """Run the module as a program of its own, which takes the shifted clock for the time."""
    time_ns = offset.shifted(time.time_ns)
    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_with(Offset(Path(sys.argv[1])), sys.argv[2], sys.argv[3:])
