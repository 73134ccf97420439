"""The command line: one file a sub-command, and the only place that knows every room."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """The console script `mvcc-kv`."""
    try:
        from mvcc_kv.cli.app import run

        run()
    except KeyboardInterrupt:
        sys.exit("mvcc-kv: interrupted")
