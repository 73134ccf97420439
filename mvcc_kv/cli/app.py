"""The commands of `mvcc-kv`, put together."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from mvcc_kv.cli.backup import backup
from mvcc_kv.cli.changes import changes
from mvcc_kv.cli.check import check
from mvcc_kv.cli.delete import delete
from mvcc_kv.cli.dump import dump
from mvcc_kv.cli.get import get
from mvcc_kv.cli.load import load
from mvcc_kv.cli.play import play
from mvcc_kv.cli.put import put
from mvcc_kv.cli.repair import repair
from mvcc_kv.cli.reporting import note, reporting
from mvcc_kv.cli.restore import restore
from mvcc_kv.cli.serve import serve
from mvcc_kv.cli.shell import shell
from mvcc_kv.cli.stats import stats
from mvcc_kv.cli.stress import stress
from mvcc_kv.cli.verify import verify
from mvcc_kv.version import __version__

__all__ = ["app", "run"]

_USAGE_ERROR = typer.BadParameter.__mro__[1]  # typer shows its subclasses only

app = typer.Typer(
    name="mvcc-kv",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _help(command: Callable[..., Any]) -> str:
    """The command's docstring with each paragraph on one line, for the terminal to break; examples stay as they are."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(it if it.startswith("\b") else " ".join(it.split("\n")) for it in paragraphs)


_SERVER, _KEYS, _ALL = "Run a server", "Work with keys", "Work with all of them"
_SAFE, _LEARN = "Keep the data safe", "See what happens"

app.command("serve", rich_help_panel=_SERVER)(serve)  # reports its own errors: what it doesn't expect is a bug
for panel, name, command in (
    (_KEYS, "shell", shell),
    (_KEYS, "get", get),
    (_KEYS, "put", put),
    (_KEYS, "del", delete),
    (_ALL, "dump", dump),
    (_ALL, "load", load),
    (_ALL, "stats", stats),
    (_SAFE, "backup", backup),
    (_SAFE, "restore", restore),
    (_SAFE, "verify", verify),
    (_SAFE, "repair", repair),
    (_LEARN, "changes", changes),
    (_LEARN, "play", play),
    (_LEARN, "stress", stress),
    (_LEARN, "check", check),
):
    app.command(name, help=_help(command), rich_help_panel=panel)(reporting(command))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mvcc-kv {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A transactional key-value store: snapshots for readers, first committer wins for writers.

    Start a server in one terminal, and look around in another:

    \b
      mvcc-kv serve
      mvcc-kv load data/example.json
      mvcc-kv get greeting
      mvcc-kv shell

    A command works on the server at --url, or with --data-dir on a directory that no server has open.
    """


def run() -> None:
    """Run the command line, and end the process with its status. What is wrong with an option is said in one line."""
    try:
        status = app(standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        if not isinstance(error, _USAGE_ERROR):
            raise
        context = getattr(error, "ctx", None)
        hint = "" if context is None else f" (see {context.command_path} --help)"
        note(f"{error.format_message()}{hint}")  # type: ignore[attr-defined]
        sys.exit(2)
    sys.exit(status)
