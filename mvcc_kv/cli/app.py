"""The commands of `mvcc-kv`, put together."""

from __future__ import annotations

import typer

from mvcc_kv.cli.serve import serve

__all__ = ["app"]

app = typer.Typer(
    name="mvcc-kv",
    help="A transactional key-value store: snapshots for readers, first committer wins for writers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)


@app.callback()
def _root() -> None:
    """A transactional key-value store: snapshots for readers, first committer wins for writers."""
