"""Replies of many lines: what BACKUP and CHANGES answer with, made as the client reads.

    execute()  ->  the first line, and a Stream with the rest
    more()     ->  the next lines: a helping a turn, and only while there is room for what was said already

So a client that reads slowly costs no memory and holds nobody up. BACKUP's stream comes to its end by itself, and
the client's next command waits for that. CHANGES' has none: it ends at the next command, or with the client.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Stream"]


class Stream(Protocol):
    """The lines that are still to come."""

    @property
    def ts(self) -> int:
        """The commit up to which it has told, or whose snapshot it tells of."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether there are no more lines, and never will be."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether `more` would say something now, or at least get on."""
        ...

    @property
    def gives_way(self) -> bool:
        """Whether the client's next command ends it. Else that waits for its end."""
        ...

    def more(self, bytes_max: int) -> bytes:
        """The next lines, of a bounded number: those that begin within `bytes_max`, and at most one turn's work."""
        ...

    def finish(self) -> None:
        """The client will ask for nothing more: what there is to say is said, and then it is over."""
        ...

    def close(self) -> None:
        """End it. Calling it again does nothing."""
        ...
