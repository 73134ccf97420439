"""Ctrl-C for what takes long and has something to say at its end.

first     it is noted, and whoever runs asks for it now and then, stops early and says what there is
second    KeyboardInterrupt, as ever; more are ignored while things are put away
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["interruptible"]

_STDERR = 2
_TOLD = b"\ninterrupted: stopping, and judging what there is; Ctrl-C once more ends it at once\n"


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C came. In any other thread than the main one it never does."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, _: object) -> None:
        if came:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt
        came.append(number)
        os.write(_STDERR, _TOLD)  # not by way of a buffer, in which it may have interrupted somebody

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)
