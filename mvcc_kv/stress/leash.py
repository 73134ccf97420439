"""A leash: a program that is started through here ends when its owner does, however that ends.

    python -m mvcc_kv.stress.leash OWNER mvcc_kv serve ...

runs the module `mvcc_kv` with those arguments, for the process whose id is OWNER and who has started it.

    Linux       the system sends SIGKILL when the *thread* that started it has ended, and a stopped process ends too
    elsewhere   a thread of its own looks now and then who its parent is

An owner that is killed stops nobody. Without this its server would go on for good, with its port and its data.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading
import time

__all__ = ["bind", "run_for"]

_PR_SET_PDEATHSIG = 1
_LOOK_S = 0.5


def bind(owner: int) -> None:
    """From now on this process ends when its parent, the owner, does. Ends it at once if the owner is gone already."""
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0:
        _end_without(owner)
    else:
        threading.Thread(target=_look_after, args=(owner,), name="leash", daemon=True).start()


def run_for(owner: int, module: str, arguments: list[str]) -> None:
    """Run the module as a program of its own, which the owner's end ends."""
    bind(owner)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _look_after(owner: int) -> None:
    while True:
        _end_without(owner)
        time.sleep(_LOOK_S)


def _end_without(owner: int) -> None:
    if os.getppid() != owner:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run_for(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
