"""The command line: one file a sub-command, and the only place that knows every room."""

from __future__ import annotations

import sys

__all__ = ["main"]

_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


def main() -> None:
    """The console script `mvcc-kv`."""
    try:
        from mvcc_kv.cli.app import run

        run()
    except KeyboardInterrupt:
        print("mvcc-kv: interrupted", file=sys.stderr)
        sys.exit(_INTERRUPTED)
