"""Python's cyclic garbage collector, told what it need not look at; and the C library's memory, given back.

    load    paused     a million version nodes are made; none of it is garbage
    serve   settled    what was loaded is out of its sight; what clients leave behind is not

The collector is there for what goes in a circle, such as a connection and its peer. The store has no circles, but the
collector can't know: nodes, lists of keys and the index are containers to it. Unpaused, loading a million keys is
interrupted time and again (0.3 s in all), and later each full collection walks all of them, 0.04 to 0.13 s in which no
client is served.

So a load is paused, and what is there when a server begins to serve is frozen. The index itself is among it, so keys
that come later are mostly out of sight too: their nodes are tuples of atoms, which a young collection lets go of, and
lists of a thousand keys remain. The thresholds stay as they are: with others SETs were no faster, as far as could be
measured.

Loading makes dictionaries that grow, and each growth leaves the smaller table behind. glibc keeps those of up to 32 MB
for later, as its threshold for giving memory back rises with what was given back before: 34 MB of 292 with a million
keys. Asked to, it lets go of them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["give_back", "paused", "settled"]


@contextmanager
def paused() -> Iterator[None]:
    """Nothing is collected meanwhile, in no thread."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def settled() -> Iterator[None]:
    """What the process holds now is not looked at meanwhile: circles in it are not found until the end."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def give_back() -> bool:
    """Have the C library return to the system what it holds for later; False if it can't, or there was nothing."""
    import ctypes  # takes some milliseconds, and most processes never need it

    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError):
        return False  # not glibc's
