"""Which of its replies a client wants."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Silence"]


class Silence(IntEnum):
    """What CLIENT REPLY made of the replies: said, the next one not, none, said from the one at hand on."""

    NONE = 0
    SKIP = 1
    OFF = 2
    BROKEN = 3
