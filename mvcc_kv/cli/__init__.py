"""The command line: one file a sub-command, and the only place that knows every room."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The console script `mvcc-kv`."""
    from mvcc_kv.cli.app import app

    app()
