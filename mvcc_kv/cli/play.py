"""`mvcc-kv play`: play a golden script and print what happens, step by step.

    t1: START                    Transaction started
        t2: PUT a 3              Ok
                                 | a: 3@2 -> 2@1   snapshots: t1 at 1

A session's steps stand in its own column of indents, the answers beside them. With --show-chains a line below
each step that changed something draws every key's versions, newest first, `value@commit_ts`, a tombstone as `x`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mvcc_kv.cli.reporting import printable
from mvcc_kv.cli.target import DEFAULT_URL, Password
from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.script import Script, Speak, Step, Turn, differences, parse
from mvcc_kv.stress.script import play as play_script

if TYPE_CHECKING:
    from mvcc_kv.cli.speakers import EngineSpeaker
    from mvcc_kv.engine import VersionedStore

__all__ = ["play"]

HISTORY_BYTES = 16 * 1024 * 1024

_INDENT = 4
_STEP_CHARACTERS_MAX = 56  # the answers of longer steps don't stand in the column
_COLOURS = ("cyan", "magenta", "yellow", "blue", "green")
_VALUE_CHARACTERS_MAX = 40
_PLAIN_STRING = re.compile(r'"[\w.:-]+"')


def play(
    file: Annotated[str, typer.Argument(help="The script.", show_default=False)],
    show_chains: Annotated[
        bool, typer.Option("--show-chains", help="Draw each key's version chain after every step that changed one.")
    ] = False,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="HOST:PORT",
            help=f"Play on this server (such as {DEFAULT_URL}), whose keys it then changes, not on a fresh engine.",
            show_default=False,
        ),
    ] = None,
    password: Password = None,
) -> None:
    """Play a script of several sessions and print every answer beside its step.

    A script is lines of `session: COMMAND`, said one after the other, with # comments between them. Below a line of
    three dashes may stand the answers expected, those that say more than Ok; if others come, they are
    shown as a diff and the exit status is 1. By default it plays on a fresh engine in memory, without a server.

    A script that reads the past (HISTORY, START with "at") plays on an engine that retains it.

    A drawn chain lists a key's versions, newest first, as value@commit_ts; x is a deletion. Below a step, `t1 at 3`
    means that session t1 has a transaction open and reads the state after commit 3.

    \b
      mvcc-kv play tests/golden/lost_update.txt --show-chains
    """
    if show_chains and url is not None:
        raise typer.BadParameter("--show-chains draws the chains of an engine in this process; leave --url away")
    script = _read(file)
    with ExitStack() as resources:
        picture: Callable[[], str] = str
        if url is None:
            speak: Speak
            speak, store = _fresh_engine(script, resources)
            if show_chains:
                picture = _Picture(store, speak)
        else:
            speak = _server(url, password, resources)
        turns = _print_turns(script, speak, picture)
    _judge(script, turns, is_fresh=url is None)


def _read(file: str) -> Script:
    try:
        return parse(Path(file).read_bytes().decode())
    except UnicodeDecodeError:
        raise BadRequestError(f"{file}: a script is UTF-8 text") from None
    except BadRequestError as error:
        error.message = f"{file}: {error.message}"
        raise


def _fresh_engine(script: Script, resources: ExitStack) -> tuple[EngineSpeaker, VersionedStore]:
    from mvcc_kv.cli.speakers import EngineSpeaker
    from mvcc_kv.database import MemoryKeeper
    from mvcc_kv.engine import CommitHistory, VersionedStore

    history = CommitHistory(retain_bytes=HISTORY_BYTES) if script.looks_back else None
    store = VersionedStore(time_us=lambda: time.time_ns() // 1000, history=history)
    speak = EngineSpeaker(store, checkpoint=MemoryKeeper().checkpoint)
    resources.callback(speak.close)
    return speak, store


def _server(url: str, password: str | None, resources: ExitStack) -> Speak:
    from mvcc_kv.cli.speakers import ServerSpeaker

    speak = ServerSpeaker(url, password)
    resources.callback(speak.close)
    return speak


class _Picture:
    """Draws the store's chains and the snapshots being read."""

    def __init__(self, store: VersionedStore, speak: EngineSpeaker) -> None:
        self._store = store
        self._speak = speak

    def __call__(self) -> str:
        chains = [f"{key.decode()}: {self._chain(key)}" for key in self._store.keys()]  # noqa: SIM118 (no mapping)
        oldest_first = sorted(self._speak.snapshots.items(), key=lambda it: (it[1], it[0]))
        snapshots = ", ".join(f"{name} at {start_ts}" for name, start_ts in oldest_first)
        return "   ".join([*chains, *([f"snapshots: {snapshots}"] if snapshots else [])]) or "nothing"

    def _chain(self, key: bytes) -> str:
        return " -> ".join(f"{_version(value)}@{commit_ts}" for commit_ts, value in self._store.chain(key))


def _version(value: bytes | None) -> str:
    text = "x" if value is None else value.decode()
    if _PLAIN_STRING.fullmatch(text):
        text = text[1:-1]  # quotes would only be in the way; the picture isn't read by programs
    return text if len(text) <= _VALUE_CHARACTERS_MAX else f"{text[: _VALUE_CHARACTERS_MAX - 3]}..."


def _print_turns(script: Script, speak: Speak, picture: Callable[[], str]) -> list[Turn]:
    """Play it, and print each turn as it is taken."""
    from rich.console import Console
    from rich.text import Text

    out = Console(highlight=False, soft_wrap=True)
    lane_of = {name: lane for lane, name in enumerate(script.sessions)}
    width = _column(script, lane_of)
    drawn = picture()
    turns: list[Turn] = []
    for turn in play_script(script, speak):
        for line in _above(turn.step, is_first=not turns):
            out.print(Text(line, style="dim"))
        lane = lane_of[turn.step.session]
        said = _said(turn.step, lane)
        out.print(
            Text.assemble(
                (said.ljust(width), _COLOURS[lane % len(_COLOURS)]),
                "  ",
                (printable(turn.answer.text), "red" if turn.answer.text.startswith("Error ") else ""),
            )
        )
        before, drawn = drawn, picture()
        if drawn != before:
            out.print(Text(f"{' ' * width}  | {printable(drawn)}", style="dim"))
        turns.append(turn)
    return turns


def _above(step: Step, *, is_first: bool) -> Iterator[str]:
    """The comments above the step, less the blank lines that would begin the output."""
    for line in step.above:
        if line or not is_first:
            yield line
        is_first = is_first and not line


def _said(step: Step, lane: int) -> str:
    return f"{' ' * (_INDENT * lane)}{step.session}: {step.command}"


def _column(script: Script, lane_of: dict[str, int]) -> int:
    """Where the answers begin: behind the longest step that isn't too long."""
    widths = (len(_said(step, lane_of[step.session])) for step in script.steps)
    return max((width for width in widths if width <= _STEP_CHARACTERS_MAX), default=_STEP_CHARACTERS_MAX)


def _judge(script: Script, turns: list[Turn], *, is_fresh: bool) -> None:
    """Say whether the answers are those expected. Raises `typer.Exit` with status 1 if not."""
    if script.expected is None:
        return
    different = differences(script.expected, turns)
    typer.echo()
    if not different:
        typer.echo("The answers are those expected.")
        return
    typer.echo("The answers are not those expected (- expected, + came):")
    for line in different:
        typer.echo(line)
    if not is_fresh:
        typer.echo("On a server that isn't empty, keys may be there already and timestamps go on from its last commit.")
    raise typer.Exit(1)
